"""Signed words that are good on the site that made them and on no other, also where the other is a copy of it.

A link that resets a password depends on the user's row, which a clone shares; a signed cookie on the secret key, which
all sites share. Here the site's id is part of that key. Where no site is active, nothing is signed and nothing checked.
"""

from typing import Any

from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.core import signing
from django.utils.encoding import force_bytes

from dbrouting.tenant_context import site_id

SALT = "dbrouting.per_tenant.tokens"


def key_of_site(key: str | bytes) -> bytes:
    return force_bytes(key) + site_id().encode()


class SiteSigner(signing.TimestampSigner):
    """``TimestampSigner`` for one site. As settings.SIGNING_BACKEND it signs Django's signed cookies too."""

    def signature(self, value: str | bytes, key: str | bytes | None = None) -> str:
        return super().signature(value, key_of_site(key or self.key))


def dumps(content: Any, salt: str = SALT, *, compress: bool = False) -> str:
    """``content`` as a text for links and forms, which ``loads`` accepts on this site only.

    Give each purpose a ``salt`` of its own, or a text that was made for one of them is good for another.
    """
    return SiteSigner(salt=salt).sign_object(content, compress=compress)


def loads(text: str, salt: str = SALT, *, max_age: float | None = None) -> Any:
    """The content of ``text``; BadSignature if it is another site's, forged, or older than so many seconds."""
    return SiteSigner(salt=salt).unsign_object(text, max_age=max_age)


_make_token = PasswordResetTokenGenerator._make_token_with_timestamp


def make_token_of_site(self: PasswordResetTokenGenerator, user: Any, timestamp: int, secret: str | bytes) -> str:
    """In place of Django's: views, forms and packages hold generators, and classes of their own, from import on."""
    token: str = _make_token(self, user, timestamp, key_of_site(secret))
    return token


PasswordResetTokenGenerator._make_token_with_timestamp = make_token_of_site  # type: ignore[method-assign]  # on purpose
