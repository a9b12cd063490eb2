from django.contrib.auth.models import AbstractUser


class User(AbstractUser):
    """The project's own user model from the first migration: swapping it in later is very hard."""

    @property
    def display_name(self) -> str:
        """What other apps copy when they must remember who this was."""
        return self.get_full_name() or self.get_username()
