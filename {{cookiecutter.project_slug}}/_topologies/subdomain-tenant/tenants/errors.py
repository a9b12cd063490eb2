class TenantError(Exception):
    """What was asked for can't be done; the message says why, and what to do."""


class TenantBusyError(TenantError):
    """Another process is at work on the tenant."""
