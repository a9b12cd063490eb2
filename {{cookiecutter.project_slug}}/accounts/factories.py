import factory
from factory.django import Password

from accounts.models import User
from dbrouting.factories import RoutedModelFactory


class UserFactory(RoutedModelFactory[User]):
    """A customer without a usable password; pass `password="…"` for one who can log in."""

    class Meta:
        model = User
        django_get_or_create = ("username",)

    username = factory.Sequence(lambda n: f"customer{n}")
    email = factory.LazyAttribute(lambda user: f"{user.username}@example.com")
    password = Password(None)
