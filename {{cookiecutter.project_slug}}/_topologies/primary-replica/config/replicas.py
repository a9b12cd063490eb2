"""The replicas of a database: which there are, and what keeps their readers from old rows."""

from typing import Any

from django.core.exceptions import ImproperlyConfigured

from config import engine
from config.env import env, from_url, seconds, switch, whereabouts


def replicas_of(primary: str) -> dict[str, tuple[dict[str, Any], int]]:
    """By alias, ``replica1`` and so on, what ``replica`` says of each URL in REPLICA_URLS."""
    urls = env.str("REPLICA_URLS", default="").split()
    return {f"replica{number}": replica(f"replica{number}", url, primary) for number, url in enumerate(urls, start=1)}


def replica(alias: str, url: str, primary: str) -> tuple[dict[str, Any], int]:
    """The configuration of a replica, whose sessions refuse to write, and its weight: ``?weight=`` of its URL."""
    entry = f"entry {alias.removeprefix('replica')} of REPLICA_URLS"
    config = engine.read_only(from_url(alias, entry, url))
    weight = config["OPTIONS"].pop("weight", 1)
    if not isinstance(weight, int) or weight < 1:
        raise ImproperlyConfigured(
            f"{entry}, the URL of the database {alias!r}{whereabouts(url)}: weight={weight} must be a whole number "
            "above 0. Mend it in .env; a replica with weight=2 serves twice the requests of one with weight=1."
        )
    # In tests the replicas are the primary's test database.
    return {**config, "ENGINE": "dbrouting.replica_backend", "TEST": {"MIRROR": primary}}, weight


# After a write its author's next requests read a replica only if it has replayed the write, told by the servers' own
# positions. False for servers that tell none, such as Aurora's: then they read the primary for PRIMARY_PIN_SECONDS,
# more than a replica ever lags behind; 0 leaves only the rest of the writing request on the primary.
REPLICA_POSITIONS = switch("REPLICA_POSITIONS", default=True)
PRIMARY_PIN_SECONDS = seconds("PRIMARY_PIN_SECONDS", default=10)
# How long a client remembers the position; longer than a replica ever lags, but it costs next to nothing.
PRIMARY_PIN_COOKIE = "primary_pin"
PRIMARY_PIN_COOKIE_AGE = seconds("PRIMARY_PIN_COOKIE_AGE", default=3600)
# The header that does the cookie's work for clients without cookies, both ways, such as "X-Primary-Pin"; "" for none.
PRIMARY_PIN_HEADER = env.str("PRIMARY_PIN_HEADER", default="")

# A replica that fails, or lags more than so many seconds, is not chosen until it has been well for the cooldown. Every
# process looks after its replicas so often; with 0 it never looks, and hears of failures from its own reads alone.
REPLICA_MAX_LAG_SECONDS = seconds("REPLICA_MAX_LAG_SECONDS", default=30.0)
REPLICA_CHECK_SECONDS = seconds("REPLICA_CHECK_SECONDS", default=2.0)
REPLICA_COOLDOWN_SECONDS = seconds("REPLICA_COOLDOWN_SECONDS", default=10.0)
