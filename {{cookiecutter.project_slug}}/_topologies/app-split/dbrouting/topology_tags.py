"""What ``current_tags`` says here."""


def topology_tags(request: object) -> dict[str, str]:
    """Nothing: each app has its own database, so there is none to name before a query fails."""
    return {}
