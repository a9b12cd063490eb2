"""One spelling for each host name, whoever wrote it: a browser, a form, a settings file."""

from django.http.request import split_domain_port


def normalise_host(host: str) -> str:
    """``host`` in lower case and punycode, without port and trailing dot; ``""`` if it is no host name.

    Python's codec follows the older of two standards. Where they differ (``straße``) it would silently name
    somebody else's domain, so such a name is refused: write it in punycode.
    """
    host = host.strip().lower()
    if not host.isascii():
        try:
            encoded = host.encode("idna").decode("ascii")
            if encoded.encode("ascii").decode("idna") != host:
                return ""
        except UnicodeError:
            return ""
        host = encoded
    domain, _ = split_domain_port(host)
    return domain


def spellings(host: str) -> list[str]:
    """The names a host may be registered under, the exact one first: ``www.`` leads where the bare name does."""
    host = normalise_host(host)
    bare = host.removeprefix("www.")
    return [host] if bare == host else [host, bare]
