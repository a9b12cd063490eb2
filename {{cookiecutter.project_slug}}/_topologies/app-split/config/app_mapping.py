"""What the environment says about the map from apps to databases."""

from django.core.exceptions import ImproperlyConfigured

from config.env import env

VARIABLE = "DATABASE_APPS_MAPPING"


def apps_switched_by_environment() -> dict[str, str]:
    """Pairs such as ``billing=billing_db,orders=default``.

    So an app that was moved is switched, and switched back, without a new version of the code.
    """
    items = [item.strip() for item in env.str(VARIABLE, default="").split(",") if item.strip()]
    pairs = dict((part.strip() for part in item.partition("=")[::2]) for item in items)
    if not all(label and alias and "=" not in alias for label, alias in pairs.items()):
        raise ImproperlyConfigured(
            f"{VARIABLE}={','.join(items)!r} must be pairs such as billing=billing_db, with commas between them. "
            "Mend it in .env."
        )
    return pairs
