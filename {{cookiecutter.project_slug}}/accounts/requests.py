from django.http import HttpRequest

from accounts.models import User


class AuthenticatedHttpRequest(HttpRequest):
    """The request as a view behind `login_required` sees it; for type checkers, never instantiated."""

    user: User
