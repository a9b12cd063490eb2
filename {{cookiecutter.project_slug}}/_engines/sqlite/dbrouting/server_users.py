"""SQLite has no users: whoever may write the file may do everything."""

from django.db.backends.utils import CursorWrapper


def create(cursor: CursorWrapper, user: str, password: str) -> bool:
    return False


def allow(cursor: CursorWrapper, user: str, name: str) -> str:
    return ""
