"""``--jobs N``, of commands that can be at work on several tenants at once."""

from django.core.management.base import CommandParser

from dbrouting.arguments import at_least_one


def add_jobs(parser: CommandParser, doing: str) -> None:
    parser.add_argument(
        "--jobs", type=at_least_one, default=1, metavar="N", help=f"{doing} so many tenants at once; 1 by default."
    )
