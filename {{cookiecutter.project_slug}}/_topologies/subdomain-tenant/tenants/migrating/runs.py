"""Migrate many tenants: each one's failure is its own, and what a run didn't reach is left to the next."""

import signal
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Queue
from types import FrameType
from typing import Any, NamedTuple, NoReturn

from django.core.management.base import CommandError, OutputWrapper
from django.core.management.commands.migrate import Command as MigrateCommand
from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.template.defaultfilters import pluralize
from tqdm import tqdm

from dbrouting.aliases import let_go
from dbrouting.inspection.findings import few
from dbrouting.overrides import in_database
from dbrouting.reachability import describe
from dbrouting.tenant_context import shared_context
from tenants.errors import TenantError
from tenants.locks import TenantLocks, run_lock
from tenants.migrating.bulk import applied_in_bulk, applied_on
from tenants.migrating.plans import MigrationError, Plan, Plans, PreparedPlan, import_receivers, in_one_line
from tenants.migrating.state import Applied, code_migrations, remember, to_text
from tenants.models import Tenant

AGAIN = "python manage.py migrate_tenants"
# What was done is remembered in the shared database so often; seconds.
REMEMBER_EVERY = 0.5


class Outcome(NamedTuple):
    """What became of a tenant. ``applied`` are its records now, ``None`` where something remains to be done."""

    tenant: Tenant
    migrations: list[str]
    applied: Applied | None
    error: str = ""


@dataclass
class Report:
    total: int
    migrated: list[Outcome] = field(default_factory=list)
    failed: list[Outcome] = field(default_factory=list)
    up_to_date: int = 0

    def add(self, outcome: Outcome) -> None:
        if outcome.error:
            self.failed.append(outcome)
        elif outcome.migrations:
            self.migrated.append(outcome)
        else:
            self.up_to_date += 1

    @property
    def unreached(self) -> int:
        """Those whose turn didn't come before the run was stopped."""
        return self.total - len(self.migrated) - len(self.failed) - self.up_to_date

    def in_words(self) -> str:
        return f"Migrated {in_words(len(self.migrated))}; {self.up_to_date} up to date already."


def migrate_tenants(tenants: list[Tenant], jobs: int = 1) -> Report:
    """Apply what is missing, to so many tenants at once.

    The first Ctrl-C or SIGTERM lets the tenants at hand be finished. TenantError if another run is at work.
    """
    import_receivers()
    report = Report(len(tenants))
    with shared_context(), run_lock(), stop_requests() as stop, progress(len(tenants)) as bar, Memory() as memory:
        known = read_in_bulk(tenants)
        todo = [tenant for tenant in tenants if not is_done(tenant, known.get(tenant.alias))]
        report.up_to_date = len(tenants) - len(todo)
        bar.update(report.up_to_date)
        for outcome in work_off(todo, jobs, stop):
            report.add(outcome)
            memory.note(outcome)
            bar.update()
    return report


def progress(total: int) -> "tqdm[NoReturn]":
    """A bar, for people only."""
    return tqdm(total=total, unit="tenant", leave=False, disable=None)


def read_in_bulk(tenants: list[Tenant]) -> dict[str, Applied]:
    """TenantError if nothing can be done at all."""
    for app_label, names in code_migrations().conflicts.items():
        raise TenantError(
            f"{app_label} has several last migrations: {', '.join(sorted(names))}. Run: "
            "python manage.py makemigrations --merge"
        )
    aliases = [tenant.alias for tenant in tenants]
    try:
        return applied_in_bulk(aliases)
    except DatabaseError as error:
        raise TenantError(describe(aliases[0], error, then=AGAIN)) from error


def is_done(tenant: Tenant, applied: Applied | None) -> bool:
    """Nothing is missing, and whoever applied the last one reached the end."""
    return applied is not None and tenant.migrations == to_text(applied) and code_migrations().all <= applied


def work_off(tenants: list[Tenant], jobs: int, stop: threading.Event) -> Iterator[Outcome]:
    """Each tenant's outcome, as soon as it is there; no further tenant once ``stop`` is set."""
    plans, todo = Plans(), deque(tenants)
    if jobs == 1:
        with Worker(plans) as worker:
            while todo and not stop.is_set():
                yield worker.migrate(todo.popleft())
        return
    outcomes: Queue[Outcome | None] = Queue()

    def work() -> None:
        try:
            with Worker(plans) as worker:
                while not stop.is_set():
                    outcomes.put(worker.migrate(todo.popleft()))
        except IndexError:  # nothing is left to be done
            return
        finally:
            connections.close_all()
            outcomes.put(None)

    with ThreadPoolExecutor(jobs) as executor:
        running = [executor.submit(work) for _ in range(jobs)]
        try:
            for _ in running:
                while outcome := outcomes.get():
                    yield outcome
        finally:
            stop.set()
        for job in running:
            job.result()


class Worker:
    """Migrates one tenant after the other, in one thread."""

    def __init__(self, plans: Plans) -> None:
        self._plans = plans
        self._prepared: dict[int, PreparedPlan] = {}
        self._locks = TenantLocks()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *error: object) -> None:
        self._locks.close()

    def migrate(self, tenant: Tenant) -> Outcome:
        connection = connections[tenant.alias]
        try:
            connection.ensure_connection()
        except DatabaseError as error:
            reason = describe(tenant.alias, error, then=f"{AGAIN} --tenant {tenant.name}")
            return Outcome(tenant, [], None, reason)
        try:
            with in_database(tenant.alias, write=True):  # packages' data migrations know of routers only
                return self._migrate(tenant, connection)
        except (MigrationError, TenantError) as error:
            return Outcome(tenant, [], None, str(error))
        except Exception as error:
            return Outcome(tenant, [], None, in_one_line(error))
        finally:
            let_go(tenant.alias)

    def _migrate(self, tenant: Tenant, connection: BaseDatabaseWrapper) -> Outcome:
        applied = applied_on(connection)
        if is_done(tenant, applied):
            return Outcome(tenant, [], applied)
        with self._locks.hold(tenant.alias):
            applied = applied_on(connection)  # another command may just have been at work
            plan = self._plans.of(connection, applied)
            done = self._prepare(plan).run(connection, is_new=tenant.migrations != to_text(applied))
            return Outcome(tenant, done, plan.result)

    def _prepare(self, plan: Plan) -> PreparedPlan:
        if id(plan) not in self._prepared:
            self._prepared[id(plan)] = self._plans.prepare(plan)
        return self._prepared[id(plan)]


class Memory:
    """Remembers what was done: soon, and many at once."""

    def __init__(self) -> None:
        self._written = time.monotonic()
        self._keys: dict[str, list[str | None]] = defaultdict(list)

    def __enter__(self) -> "Memory":
        return self

    def __exit__(self, *error: object) -> None:
        remember(self._keys)

    def note(self, outcome: Outcome) -> None:
        if outcome.applied is not None:
            self._keys[to_text(outcome.applied)].append(outcome.tenant.key)
        if time.monotonic() - self._written >= REMEMBER_EVERY:
            remember(self._keys)
            self._keys.clear()
            self._written = time.monotonic()


@contextmanager
def stop_requests() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets; the second does what it always did."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def set_stop(number: int, frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.signal(number, set_stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def in_words(count: int) -> str:
    return f"{count} tenant{pluralize(count)}"


class Pending(NamedTuple):
    """Tenants that need the same: the migrations with what they do, or why that can't be told."""

    tenants: list[Tenant]
    migrations: dict[str, list[str]]
    error: str = ""


def pending(tenants: list[Tenant]) -> list[Pending]:
    """What ``migrate_tenants`` would do; nothing is written and no lock is taken."""
    plans = Plans()
    groups: dict[int, Pending] = {}
    with shared_context():
        known = read_in_bulk(tenants)
        for tenant in tenants:
            if code_migrations().all <= known.get(tenant.alias, frozenset()):
                continue
            try:
                plan = plans.of(connections[tenant.alias], applied_on(connections[tenant.alias]))
            except Exception as error:
                groups[id(tenant)] = Pending([tenant], {}, in_one_line(error))
                continue
            finally:
                let_go(tenant.alias)
            if plan.migrations:
                described = {str(migration): operations_of(migration) for migration in plan.migrations}
                groups.setdefault(id(plan), Pending([], described)).tenants.append(tenant)
    return list(groups.values())


def operations_of(migration: object) -> list[str]:
    describe_operation = MigrateCommand.describe_operation
    return [describe_operation(operation, False)[0] for operation in getattr(migration, "operations", [])]


def print_plan(tenants: list[Tenant], stdout: OutputWrapper) -> list[Pending]:
    """Each group of tenants with what they need."""
    groups = pending(tenants)
    for group in groups:
        stdout.write(f"{few([tenant.name for tenant in group.tenants])}:")
        if group.error:
            stdout.write(f"  {group.error}")
        for migration, operations in group.migrations.items():
            stdout.write(f"  {migration}")
            stdout.writelines(f"    {operation}\n" for operation in operations)
    waiting = sum(len(group.tenants) for group in groups)
    stdout.write(f"{in_words(len(tenants) - waiting)} up to date, {waiting} not.")
    return groups


def migrate_or_look(
    tenants: list[Tenant], options: dict[str, Any], stdout: OutputWrapper
) -> dict[str, BaseException | None]:
    """What Django's ``migrate`` does with its options, for tenants: by alias, the error or ``None``."""
    results: dict[str, BaseException | None] = dict.fromkeys(tenant.alias for tenant in tenants)
    if options["plan"] or options["check_unapplied"]:
        groups = print_plan(tenants, stdout) if options["plan"] else pending(tenants)
        errors = {tenant.alias: group.error for group in groups for tenant in group.tenants}
        results |= {alias: CommandError(error) for alias, error in errors.items() if error}
        if options["check_unapplied"]:
            results |= {alias: SystemExit(1) for alias, error in errors.items() if not error}
        return results
    report = migrate_tenants(tenants)
    if options["verbosity"] >= 1:
        stdout.write(report.in_words())
    results |= {outcome.tenant.alias: CommandError(outcome.error) for outcome in report.failed}
    if report.unreached:
        results["the rest"] = CommandError(f"{in_words(report.unreached)} had no turn before the run was stopped")
    return results
