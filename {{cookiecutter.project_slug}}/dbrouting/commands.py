"""Commands on the databases that they are about: Django's, and with ``OnEachTarget`` the project's own.

Django's own mean ``default`` unless told, whatever the routers say: users are made where nobody logs in, dumps are
empty, fixtures are skipped. A command here is one of Django's behind a base class of this module:

>>> class Command(OnEveryDatabase, clearsessions.Command): ...
"""

from collections.abc import Mapping, Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import router
from django.db.models import Model

from dbrouting.aliases import apps_on, is_listed, let_go, migratable_aliases
from dbrouting.reachability import missing_tables_explained, require_reachable, variable_of
from dbrouting.targets import DatabaseTargets, get_targets


class RoutedCommand(BaseCommand):
    """Takes its databases from the project's targets: ``--database``, and what else they offer, still win."""

    requires_migrations_checks = False  # Django's looks at "default" alone
    _called_from_command_line: bool

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """The targets' ``--database`` takes the place of Django's, whose choices are the listed aliases."""
        return super().create_parser(prog_name, subcommand, conflict_handler="resolve", **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        get_targets().add_arguments(parser)

    def get_check_kwargs(self, options: dict[str, Any]) -> Any:
        """No check connects: a database that is down must not keep the others from their turn."""
        kwargs: dict[Any, Any] = super().get_check_kwargs(options)
        return {**kwargs, "databases": []}

    @property
    def name(self) -> str:
        return type(self).__module__.rpartition(".")[2]

    def is_told_by_program(self, options: dict[str, Any]) -> bool:
        return options["database"] is not None and not self._called_from_command_line

    def concerns(self, alias: str, options: dict[str, Any]) -> bool:
        """Whether the database has what the command is about."""
        return bool(apps_on(alias))

    def say_where(self, alias: str, options: dict[str, Any]) -> None:
        """Beside the output, which may be piped into a file."""
        if options["verbosity"] >= 1:
            self.stderr.write(f"Database {alias} ({variable_of(alias)}):", self.style.MIGRATE_HEADING)

    def act_on(self, alias: str, *args: Any, **options: Any) -> str | None:
        """Do what Django's command does, on ``alias``."""
        again = f"python manage.py {self.name} --database={alias}"
        require_reachable(alias, then=again)
        try:
            with get_targets().inside(alias), missing_tables_explained(alias, again):
                return super().handle(*args, **{**options, "database": alias})
        finally:
            if not is_listed(alias):
                let_go(alias)


class OnHome(RoutedCommand):
    """Acts on the one database where a model is written."""

    def get_model(self) -> type[Model]:
        raise NotImplementedError

    def concerns(self, alias: str, options: dict[str, Any]) -> bool:
        return router.allow_migrate_model(alias, self.get_model())

    def handle(self, *args: Any, **options: Any) -> str | None:
        model = self.get_model()
        alias = get_targets().home(model, options)
        if not self.concerns(alias, options):
            raise CommandError(f"{alias!r} doesn't hold {model._meta.label}. {homes(self, options)}")
        self.say_where(alias, options)
        return self.act_on(alias, *args, **options)


class OnEveryDatabase(RoutedCommand):
    """Acts on every database that has what the command is about; if one fails, the others still have their turn."""

    def handle(self, *args: Any, **options: Any) -> None:
        self.act_on_each(self.aliases(options), *args, **options)

    def act_on_each(self, aliases: list[str], *args: Any, **options: Any) -> None:
        failures = {}
        for alias in aliases:
            self.say_where(alias, options)
            try:
                self.act_on(alias, *args, **options)
            except CommandError as error:
                failures[alias] = error
        raise_failures(self.name, failures, aliases, DatabaseTargets())

    def aliases(self, options: dict[str, Any]) -> list[str]:
        """Where to act. What a program names is Django's to judge: test runners name every alias they made."""
        found = list(get_targets().databases(options))
        if self.is_told_by_program(options):
            return found
        concerned = [alias for alias in found if self.concerns(alias, options)]
        if not concerned:
            raise CommandError(f"There is nothing for `{self.name}` on {', '.join(found)}. {homes(self, options)}")
        return concerned


class OnEachTarget(BaseCommand):
    """A command of the project's own, written as if there were one of everything: queries go where the routers say.

    ``handle_target`` is called for each target, in its context; if one fails, the others still have their turn.

    >>> class Command(OnEachTarget):
    ...     def handle_target(self, label: str, *args: Any, **options: Any) -> None: ...
    """

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        get_targets().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        targets = get_targets()
        labels, failures = [], {}
        for label, context in targets.each(options):
            labels.append(label)
            try:
                with context:
                    self.handle_target(label, *args, **options)
            except Exception as error:
                failures[label] = error
        if not labels:
            self.stderr.write(f"There are no {targets.kind} yet.", self.style.WARNING)
        raise_failures(type(self).__module__.rpartition(".")[2], failures, labels, targets)

    def handle_target(self, label: str, *args: Any, **options: Any) -> None:
        """What the command does; ``label`` names the target if there is more than one."""
        raise NotImplementedError


def homes(command: RoutedCommand, options: dict[str, Any]) -> str:
    """Where to run ``command`` instead."""
    there = [alias for alias in migratable_aliases() if command.concerns(alias, options)]
    return f"Run it on: {', '.join(there)}." if there else "The routers allow it on no database."


def raise_failures(
    name: str, failures: Mapping[str, Exception], labels: Sequence[str], targets: DatabaseTargets
) -> None:
    """One error for those that failed; the only one as it is."""
    if not failures:
        return
    if len(labels) == 1:
        raise failures[labels[0]]
    reasons = "\n".join(f"  {label}: {in_words(error)}" for label, error in failures.items())
    raise CommandError(
        f"`{name}` failed on {len(failures)} of {len(labels)} {targets.kind}:\n{reasons}\n"
        + ("The others are done. " if len(failures) < len(labels) else "")
        + f"Mend the cause and run it again on these: {targets.again}."
    )


def in_words(error: Exception) -> str:
    return str(error) if isinstance(error, CommandError) else f"{type(error).__name__}: {error}"
