from django.conf import settings
from django.core.exceptions import ValidationError

from dbrouting.hosts import normalise_host
from dbrouting.tenant_names import MAX_LENGTH, RESERVED, is_tenant_name


def validate_name(name: str) -> None:
    if not is_tenant_name(name):
        raise ValidationError(
            f"{name!r} can't be the name of a tenant: use at most {MAX_LENGTH} lower-case letters, digits and single "
            f"underscores between them, a letter first, and none of: {', '.join(sorted(RESERVED))}."
        )


def validate_host(host: str) -> None:
    bare = normalise_host(host)
    if not bare:
        raise ValidationError(
            f"{host!r} is no host name: write it without scheme or path; letters beyond ASCII may need punycode."
        )
    if bare.removeprefix("www.") == settings.TENANT_BASE_DOMAIN:
        raise ValidationError(f"{host!r} is the base domain, where the shared site is.")
