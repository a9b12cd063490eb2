"""Any management command, once for each tenant, as if that tenant were the whole project.

The command knows nothing of tenants: its queries go where the routers send the active tenant's. What Django's
commands call ``--database`` has the tenant's alias for its default, so that none goes to ``default`` unasked.
"""

import shlex
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import Any, NamedTuple, TextIO, cast

from django.core.management import ManagementUtility, get_commands
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS, connections

from dbrouting.aliases import let_go
from dbrouting.blocks import everything_ended
from dbrouting.contexts import ContextThreadPoolExecutor
from dbrouting.tenant_context import tenant_context
from tenants.held_output import held_output, holding, in_turn, shared_streams
from tenants.migrating.runs import stop_requests
from tenants.models import Tenant

# What options that take an alias are called; "--backend" of a task queue, say, has the same default.
DATABASE_OPTIONS = frozenset({"database", "using"})
# They make or change the tables of all databases, serve or work until they are ended, or are about files.
OF_THE_PROJECT = frozenset(
    {
        *("bootstrap", "runserver", "test", "testserver", "db_worker"),
        *("makemigrations", "optimizemigration", "squashmigrations", "lintmigrations"),
        *("makemessages", "compilemessages", "collectstatic", "findstatic", "startapp", "startproject"),
    }
)
TENANTS_APP = Tenant._meta.app_label


class Failure(NamedTuple):
    reason: str
    status: int


# Runs the command for a tenant, which has that number among them.
Turn = Callable[[int, Tenant], Failure | None]


def run_on_tenants(
    tenants: Sequence[Tenant],
    words: list[str],
    announce: Callable[[str], object],
    *,
    jobs: int = 1,
    show_traceback: bool = False,
    **streams: TextIO,
) -> dict[str, Failure]:
    """Run the command ``words`` for each tenant; the others have their turn if one fails. Gives name → failure.

    Mistakes in ``words`` are told before the first tenant. ``announce`` is given a heading before each. With ``jobs``
    above 1, so many have their turn at once, in threads, and each one's output comes in one piece.
    """
    name, *arguments = words
    require_runnable(name)
    parse(fetch(name), name, arguments, DEFAULT_DB_ALIAS)

    def turn(number: int, tenant: Tenant) -> Failure | None:
        in_turn(announce, f"Tenant {tenant.name} ({number} of {len(tenants)}):")
        try:
            run(tenant, name, arguments, **streams)
        except (Exception, SystemExit) as error:
            if (failure := failure_of(error)).status:
                in_turn(announce, f"Failed for {tenant.name}: {failure.reason}")
                if show_traceback:
                    traceback.print_exception(error)
                return failure
        finally:
            let_go(tenant.alias)
            sys.stdout.flush()  # the headings are on another stream
        return None

    if jobs == 1:
        outcomes = [turn(number, tenant) for number, tenant in enumerate(tenants, start=1)]
    else:
        streams = {name: holding(stream) for name, stream in streams.items()}
        outcomes = at_once(jobs, turn, tenants)
    return {tenant.name: failure for tenant, failure in zip(tenants, outcomes, strict=True) if failure}


def at_once(jobs: int, turn: Turn, tenants: Sequence[Tenant]) -> list[Failure | None]:
    """The first Ctrl-C or SIGTERM lets the turns at hand end, and there is none after them."""

    def held_turn(number: int, tenant: Tenant) -> Failure | None:
        if stop.is_set():
            return Failure("it had no turn before the run was stopped", 1)
        try:
            with held_output():
                return turn(number, tenant)
        finally:
            connections.close_all()  # the thread's own

    with shared_streams(), stop_requests() as stop, ContextThreadPoolExecutor(jobs) as pool:
        return list(pool.map(held_turn, count(1), tenants))


def run(tenant: Tenant, name: str, arguments: list[str], **streams: TextIO) -> None:
    """A command object of its own for each: some keep what they were doing in themselves.

    The project was checked once for all of them.
    """
    command = fetch(name)
    options = parse(command, name, arguments, tenant.alias)
    positional = options.pop("args", ())
    with tenant_context(tenant), everything_ended():
        command.execute(*positional, **{**options, "skip_checks": True, **streams})


def fetch(name: str) -> BaseCommand:
    """The command as ``manage.py`` finds it, and its words for one that there isn't."""
    command: Any = ManagementUtility([sys.argv[0], name]).fetch_command(name)
    command._called_from_command_line = True
    return cast(BaseCommand, command)


def parse(command: BaseCommand, name: str, arguments: list[str], alias: str) -> dict[str, Any]:
    """The options of ``command``; where it would take ``default`` unless told, it takes ``alias``."""
    parser = command.create_parser(sys.argv[0], name)
    give_default(parser, alias)
    return vars(parser.parse_args(arguments))


def give_default(parser: CommandParser, alias: str) -> None:
    for action in parser._actions:
        if action.dest in DATABASE_OPTIONS and action.default == DEFAULT_DB_ALIAS:
            action.default = alias


def require_runnable(name: str) -> None:
    """Raise CommandError for what has no tenant to be run for, or knows its tenants itself."""
    if name == "migrate":
        raise CommandError("`migrate` takes its turn with others at a tenant. Type: python manage.py migrate_tenants")
    if get_commands().get(name) == TENANTS_APP:
        raise CommandError(f"`{name}` knows its tenants itself. Type: python manage.py {name} --help")
    if name in OF_THE_PROJECT:
        raise CommandError(f"`{name}` is about the whole project, not about a tenant. Type: python manage.py {name}")


def failure_of(error: BaseException) -> Failure:
    """What ended a command, in words, and the exit status that it meant; 0 if it ended well."""
    if isinstance(error, CommandError):
        return Failure(str(error), error.returncode)
    if not isinstance(error, SystemExit):
        return Failure(f"{type(error).__name__}: {error}", 1)
    if isinstance(error.code, str):
        return Failure(error.code, 1)
    return Failure(f"it exited with the status {error.code}", error.code or 0)


def raise_failures(failures: dict[str, Failure], words: list[str], count: int) -> None:
    """One error for those that failed, with the words that run the command for them again."""
    if not failures:
        return
    reasons = "\n".join(f"  {name}: {failure.reason}" for name, failure in failures.items())
    others = "The others are done. " if len(failures) < count else ""
    statuses = {failure.status for failure in failures.values()}
    raise CommandError(
        f"`{shlex.join(words)}` failed for {len(failures)} of {count} tenants:\n{reasons}\n"
        f"{others}Mend the cause and run it again for these:\n  {again(failures, words)}",
        returncode=statuses.pop() if len(statuses) == 1 else 1,
    )


def again(names: Iterable[str], words: list[str]) -> str:
    chosen = [word for name in names for word in ("--tenant", name)]
    return shlex.join(["python", "manage.py", "run_on_tenants", *chosen, *words])
