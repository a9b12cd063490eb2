"""``--jobs N``, of commands that can be at work on several tenants at once."""

from argparse import ArgumentTypeError

from django.core.management.base import CommandParser


def add_jobs(parser: CommandParser, doing: str) -> None:
    parser.add_argument(
        "--jobs", type=at_least_one, default=1, metavar="N", help=f"{doing} so many tenants at once; 1 by default."
    )


def at_least_one(written: str) -> int:
    if not written.isdecimal() or int(written) < 1:
        raise ArgumentTypeError(f"{written!r} is no number of 1 or more.")
    return int(written)
