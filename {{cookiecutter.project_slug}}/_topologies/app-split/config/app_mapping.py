"""What the environment says about the map from apps to databases."""

from django.core.exceptions import ImproperlyConfigured

from config.env import env

VARIABLE = "DATABASE_APPS_MAPPING"


def apps_switched_by_environment() -> dict[str, str]:
    """Pairs such as ``billing=billing_db,orders=default``.

    So an app that was moved is switched, and switched back, without a new version of the code.
    """
    items = [item.strip() for item in env.str(VARIABLE, default="").split(",") if item.strip()]
    pairs: list[list[str]] = [[part.strip() for part in item.split("=")] for item in items]
    if not all(len(pair) == 2 and all(pair) for pair in pairs):
        raise ImproperlyConfigured(
            f"{VARIABLE}={','.join(items)!r} must be pairs such as billing=billing_db, with commas between them. "
            "Mend it in .env."
        )
    return dict(pairs)
