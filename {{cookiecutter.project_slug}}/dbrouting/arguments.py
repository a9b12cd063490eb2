"""Numbers that commands take. What is none is refused by argparse, which names the option."""

from argparse import ArgumentTypeError


def at_least_one(written: str) -> int:
    if not written.isdecimal() or int(written) < 1:
        raise ArgumentTypeError(f"{written!r} is no number of 1 or more.")
    return int(written)


def seconds(written: str) -> float:
    try:
        value = float(written)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ArgumentTypeError(f"{written!r} is no number of seconds, 0 or more.")
    return value
