from django.db import DatabaseError


class TenantError(Exception):
    """What was asked for can't be done; the message says why, and what to do."""


class TenantBusyError(TenantError):
    """Another process is at work on the tenant."""


# What went wrong is told in these errors' own words, without a traceback: the server's and the disk's failures are too.
EXPLAINED = (TenantError, DatabaseError, OSError)
