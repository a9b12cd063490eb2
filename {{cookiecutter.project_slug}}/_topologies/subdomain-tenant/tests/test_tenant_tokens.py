"""A signed word is good on the site that made it and on no other, also where the other is a copy of it."""

from collections.abc import Callable
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib import admin
from django.contrib.auth.tokens import PasswordResetTokenGenerator, default_token_generator
from django.contrib.auth.views import PasswordResetConfirmView
from django.core.signing import BadSignature, SignatureExpired, get_cookie_signer
from django.test import Client
from django.urls import path
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from accounts.factories import UserFactory
from accounts.models import User
from dbrouting.per_tenant import tokens
from dbrouting.tenant_context import CurrentTenant, NoActiveTenantError, shared_context, tenant_context

urlpatterns = [
    path("admin/", admin.site.urls),
    path("reset/<uidb64>/<token>/", PasswordResetConfirmView.as_view(success_url="/")),
]


class OfTheMail(PasswordResetTokenGenerator):
    """As packages make them: with a value and a salt of their own."""

    key_salt = "mail"

    def _make_hash_value(self, user: Any, timestamp: int) -> str:
        return f"{user.pk}{timestamp}"


@pytest.fixture
def user() -> User:
    return UserFactory.create(password="hashed")


def copied_to(tenant: CurrentTenant, user: User) -> User:
    """The same user on ``tenant``, equal in everything that Django makes a token of."""
    with tenant_context(tenant, switch=True):
        copy: User = User.objects.get(pk=user.pk) if User.objects.filter(pk=user.pk).exists() else user
        copy.save(using=tenant.alias)
        return User.objects.get(pk=user.pk)


@pytest.mark.django_db
@pytest.mark.parametrize("generator", [default_token_generator, OfTheMail()])
def test_a_password_reset_is_refused_on_a_copy_of_its_site(
    generator: PasswordResetTokenGenerator, user: User, globex: CurrentTenant
) -> None:
    token = generator.make_token(user)
    copy = copied_to(globex, user)

    assert generator.check_token(user, token)
    with tenant_context(globex, switch=True):
        assert not generator.check_token(copy, token)
        assert generator.check_token(copy, generator.make_token(copy))


@pytest.mark.django_db
def test_with_djangos_own_tokens_it_would_not_be(
    user: User, globex: CurrentTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: the user above is the same to Django on both sites."""
    monkeypatch.setattr(PasswordResetTokenGenerator, "_make_token_with_timestamp", tokens._make_token)
    token = default_token_generator.make_token(user)

    with tenant_context(globex, switch=True):
        assert default_token_generator.check_token(copied_to(globex, user), token)


@pytest.mark.django_db
def test_a_password_reset_link_is_refused_on_a_copy_of_its_site(
    user: User, globex: CurrentTenant, settings: LazySettings, site_client: Client
) -> None:
    settings.ROOT_URLCONF = __name__
    copied_to(globex, user)
    link = f"/reset/{urlsafe_base64_encode(force_bytes(user.pk))}/{default_token_generator.make_token(user)}/"

    at_home = site_client.get(link)
    elsewhere = site_client.get(link, headers={"host": "globex.localhost"})

    assert at_home.status_code == 302  # to the form for a new password
    assert elsewhere.status_code == 200
    assert elsewhere.context["validlink"] is False


@pytest.mark.django_db
def test_tokens_survive_a_change_of_the_secret_key(user: User, settings: LazySettings) -> None:
    token, text = default_token_generator.make_token(user), tokens.dumps("tea")
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another"

    assert default_token_generator.check_token(user, token)
    assert tokens.loads(text) == "tea"


def test_what_is_signed_is_refused_on_another_site(globex: CurrentTenant) -> None:
    text = tokens.dumps({"invoice": 7}, "invoices", compress=True)

    assert tokens.loads(text, "invoices") == {"invoice": 7}
    for site in (tenant_context(globex, switch=True), shared_context(switch=True)):
        with site, pytest.raises(BadSignature):
            tokens.loads(text, "invoices")


def test_what_is_signed_is_for_one_purpose_and_for_a_time() -> None:
    text = tokens.dumps("tea", "invoices")

    with pytest.raises(BadSignature):
        tokens.loads(text, "receipts")
    with pytest.raises(SignatureExpired):
        tokens.loads(text, "invoices", max_age=-1)


def test_a_signed_cookie_is_refused_on_another_site(globex: CurrentTenant) -> None:
    cookie = get_cookie_signer(salt="basket").sign("7")

    assert get_cookie_signer(salt="basket").unsign(cookie) == "7"
    with tenant_context(globex, switch=True), pytest.raises(BadSignature):
        get_cookie_signer(salt="basket").unsign(cookie)


@pytest.mark.no_tenant
@pytest.mark.parametrize(
    "use",
    [
        lambda: tokens.dumps("tea"),
        lambda: tokens.loads("tea:1:signature"),
        lambda: default_token_generator.make_token(User(pk=1)),
        lambda: default_token_generator.check_token(User(pk=1), "1-signature"),
    ],
)
def test_without_a_site_nothing_is_signed_or_accepted(use: Callable[[], object]) -> None:
    with pytest.raises(NoActiveTenantError):
        use()
