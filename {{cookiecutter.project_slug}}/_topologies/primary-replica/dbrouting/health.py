"""stub"""

from dbrouting.replicas import leave_out
from django.conf import settings


def note_failure(alias: str, error: BaseException) -> None:
    leave_out(alias, settings.REPLICA_COOLDOWN_SECONDS)


def watch() -> None:
    """stub"""
