"""Where values enter the project: real environment variables, and ``.env`` for those that aren't set."""

import copy
import warnings
from pathlib import Path
from typing import Any, TypeVar

import environ
from django.core.exceptions import ImproperlyConfigured

from config import engine

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
env.read_env(BASE_DIR / ".env")

Number = TypeVar("Number", int, float)
ON_OR_OFF = dict.fromkeys(env.BOOLEAN_TRUE_STRINGS, True) | dict.fromkeys(("false", "off", "n", "no", "0"), False)


def database(alias: str, variable: str) -> dict[str, Any]:
    """The configuration of ``alias`` from the URL in ``variable``, with what the engine needs.

    The variable's name travels along, so that an error about a database can say where its URL is.
    """
    url: str = env.str(variable, default="")
    if not url:
        raise ImproperlyConfigured(
            f"The database {alias!r} has no URL: {variable} is not set. "
            f"Add a line such as {variable}={engine.EXAMPLE_URL} to .env; .env.example shows them all."
        )
    return from_url(alias, variable, url)


def from_url(alias: str, variable: str, url: str) -> dict[str, Any]:
    """The configuration of ``alias`` from ``url``, which was found in ``variable``."""
    settings = copy.deepcopy(engine.SETTINGS)  # databases must not share what is changed for one of them
    if env.str("DATABASE_CONN_MAX_AGE", default=""):
        settings["CONN_MAX_AGE"] = seconds("DATABASE_CONN_MAX_AGE", default=0)
    try:
        config = parsed(url)
        options = {**engine.OPTIONS, **config.get("OPTIONS", {})}
        return engine.adapt({**settings, **config, "OPTIONS": options, "VARIABLE": variable}, BASE_DIR)
    except ValueError as error:
        raise ImproperlyConfigured(
            f"{variable}, the URL of the database {alias!r}{whereabouts(url)}, can't be used: {error}. "
            f"Mend it in .env; it looks like {engine.EXAMPLE_URL}"
        ) from None


def parsed(url: str) -> dict[str, Any]:
    """What ``url`` says. Raises ValueError with a reason that holds no password."""
    if url.count("://") > 1:
        raise ValueError("it is more than one URL; where several may be, spaces are between them")
    if "," in hosts_of(url) and not engine.TAKES_HOST_LISTS:
        raise ValueError(
            "it lists several hosts, and the driver connects to one: name a proxy in front of them, or a name in DNS "
            "that leads to the right one"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            config: dict[str, Any] = env.db_url_config(url)
    except (ValueError, UserWarning):
        # The error's own words may quote the password.
        raise ValueError("it is no database URL; a password's / ? # % @ must be written %2F %3F %23 %25 %40") from None
    if config.get("ENGINE") != engine.ENGINE:
        raise ValueError(
            f"it starts with {url.partition(':')[0]!r}, and this project is set up for {engine.ENGINE} "
            "(config/engine.py)"
        )
    if not config.get("NAME"):
        raise ValueError("it names no database")
    return config


def hosts_of(url: str) -> str:
    return authority_of(url).rpartition("@")[2]


def whereabouts(url: str) -> str:
    """Words that tell ``url`` from others; none if what looks like its host might be a part of its password."""
    return f" on {hosts_of(url)}" if "@" in authority_of(url) and url.count("@") == 1 else ""


def authority_of(url: str) -> str:
    """User, password and hosts."""
    return url.partition("://")[2].partition("/")[0]


def seconds(variable: str, default: Number) -> Number:
    return number(variable, default, "of seconds")


def number(variable: str, default: Number, what: str) -> Number:
    """What ``variable`` says, or ``default``, whose type decides whether fractions will do.

    ``env.float`` would make a number of almost any text: 13 of ``1e3``.
    """
    text = env.str(variable, default="")
    try:
        value = type(default)(text or default)
    except ValueError:
        value = type(default)(-1)
    if not 0 <= value < float("inf"):
        kind = "whole number" if isinstance(default, int) else "number"
        raise ImproperlyConfigured(f"{variable}={text!r} must be a {kind} {what}, 0 or more. Mend it in .env.")
    return value


def switch(variable: str, default: bool) -> bool:
    """What ``variable`` says, or ``default``; ``env.bool`` would take a misspelt ``true`` for off."""
    text = env.str(variable, default="").lower()
    if text and text not in ON_OR_OFF:
        raise ImproperlyConfigured(f"{variable}={text!r} must be true or false. Mend it in .env.")
    return ON_OR_OFF.get(text, default)
