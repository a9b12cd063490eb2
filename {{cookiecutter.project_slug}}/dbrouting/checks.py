"""System checks: what would go wrong on some database, said before it does. None of them connects to one."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.apps import AppConfig, apps
from django.conf import settings
from django.core import checks
from django.core.cache.backends.db import BaseDatabaseCache
from django.core.checks import CheckMessage, Error, register
from django.core.management import BaseCommand, find_commands, get_commands, load_command_class
from django.db import connections, router
from django.db.models import Model
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils.module_loading import import_string

from dbrouting.aliases import apps_on, is_somebody_elses, usable_aliases
from dbrouting.mapping import DatabaseMapping
from dbrouting.migration_guard import data_operations, unguarded_operations
from dbrouting.overrides import OverrideRouter
from dbrouting.reachability import variable_of

TAG = "dbrouting"
# The label that Django asks routers about for the table of a database cache; no installed app has it.
CACHE_LABEL = "django_cache"
# Apps whose tables refer to each other's and to the users'.
CONTRIB_LABELS = ("admin", "auth", "contenttypes", "sessions")
# What a URL can set besides OPTIONS.
SWITCHES = ("ATOMIC_REQUESTS", "AUTOCOMMIT", "CONN_HEALTH_CHECKS", "DISABLE_SERVER_SIDE_CURSORS")


@register(TAG)
def check_mapping(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """``in_database({…})`` and unlisted aliases need a mapping that can hold them."""
    if isinstance(settings.DATABASES, DatabaseMapping):
        return []
    return [
        Error(
            "DATABASES is a plain dictionary.",
            hint="Write DATABASES = DatabaseMapping({…}), from dbrouting.mapping, in config/databases.py.",
            id="dbrouting.E001",
        )
    ]


@register(TAG)
def check_override_router(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Without the router, ``in_database`` would silently do nothing."""
    if any(issubclass(router_class, OverrideRouter) for router_class in router_classes()):
        return []
    return [
        Error(
            "DATABASE_ROUTERS has no override router, so in_database() has no effect.",
            hint="Add dbrouting.overrides.OverrideRouter before the routers that it may overrule.",
            id="dbrouting.E002",
        )
    ]


def router_classes() -> list[type]:
    return [import_string(item) if isinstance(item, str) else type(item) for item in settings.DATABASE_ROUTERS]


@register(TAG)
def check_unguarded_migrations(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    return [
        checks.Warning(
            f"{operation} doesn't say on which database it runs.",
            hint='Decorate the function with @runs_on("alias") from dbrouting.migration_guard, '
            'or give RunSQL hints={"runs_on": "alias"}.',
            id="dbrouting.W001",
        )
        for operation in unguarded_operations()
    ]


@register(TAG)
def check_migrations_run_somewhere(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """A misspelt alias would make a data migration do nothing, and be recorded as done."""
    return [
        Error(
            f"{operation} runs on {' or '.join(operation.patterns)}, where {operation.app_label} never is.",
            hint=f"Name a database that holds it: {', '.join(_homes(operation.app_label)) or 'none that is listed'}.",
            id="dbrouting.E003",
        )
        for operation in data_operations()
        if operation.patterns and not any(_may_match(pattern, operation.app_label) for pattern in operation.patterns)
    ]


def _may_match(pattern: str, app_label: str) -> bool:
    """A check must not query, so it can't know which unlisted aliases a shell pattern will find."""
    is_alias = not set("*?[") & set(pattern)
    return not is_alias or (pattern in connections.settings and router.allow_migrate(pattern, app_label))


def _homes(app_label: str) -> list[str]:
    return [alias for alias in usable_aliases() if router.allow_migrate(alias, app_label)]


@register(TAG)
def check_switches_are_no_text(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    return text_switches(usable_aliases())


def text_switches(aliases: Iterable[str]) -> list[CheckMessage]:
    """django-environ knows Python's words only: ``?ATOMIC_REQUESTS=false`` is a text, and so switches it on."""
    return [
        Error(
            f"{switch} of {alias!r} is the text {value!r}, which counts as true.",
            hint=f"Write {switch}=True or {switch}=False in {variable_of(alias)}.",
            id="dbrouting.E007",
        )
        for alias in aliases
        for switch in SWITCHES
        if isinstance(value := connections.settings[alias].get(switch), str)
    ]


def atomic_aliases() -> list[str]:
    """The listed databases on which Django opens a transaction for each request."""
    return [alias for alias in usable_aliases() if connections.settings[alias]["ATOMIC_REQUESTS"]]


@register(TAG)
def check_views_fit_atomic_requests(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    return refused_views(settings.ROOT_URLCONF)


def refused_views(urlconf: str) -> list[CheckMessage]:
    """The asynchronous views that Django would answer with a RuntimeError, because of ``ATOMIC_REQUESTS``."""
    aliases = atomic_aliases()
    if not aliases:
        return []
    return [
        Error(
            f"The asynchronous view {pattern.lookup_str} can't be served: ATOMIC_REQUESTS of {culprits[0]!r} is on.",
            hint=f"Turn it off in {variable_of(culprits[0])} and use atomic_for(Model) where a view needs it, "
            f"or decorate this view with @transaction.non_atomic_requests.",
            id="dbrouting.E008",
        )
        for pattern in patterns_in(get_resolver(urlconf).url_patterns)
        if iscoroutinefunction(pattern.callback)
        and (culprits := [alias for alias in aliases if alias not in exempt_aliases(pattern.callback)])
    ]


def patterns_in(patterns: Iterable[URLPattern | URLResolver]) -> Iterator[URLPattern]:
    for pattern in patterns:
        if isinstance(pattern, URLPattern):
            yield pattern
        else:
            yield from patterns_in(pattern.url_patterns)


def exempt_aliases(view: Callable[..., Any]) -> set[str]:
    """What ``@transaction.non_atomic_requests`` noted; Django reads it in the same way."""
    aliases: set[str] = getattr(view, "_non_atomic_requests", set())
    return aliases


@register(TAG)
def check_aliases_differ(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """What one alias records as migrated would seem done under the other, whose tables would never be made."""
    sharing = defaultdict(list)
    for alias in usable_aliases():
        if apps_on(alias):
            sharing[fingerprint_of(alias)].append(alias)
    return [
        Error(
            f"The aliases {' and '.join(map(repr, aliases))} are one database, and so share a record of migrations.",
            hint=f"Name another database in {variable_of(aliases[-1])}, or put all their apps on one alias.",
            id="dbrouting.E009",
        )
        for aliases in sharing.values()
        if len(aliases) > 1
    ]


def fingerprint_of(alias: str) -> str:
    """Equal for aliases that are configured alike; those who differ may still lead to the same database."""
    config = connections.settings[alias]
    return repr({key: value for key, value in sorted(config.items()) if key not in ("TEST", "VARIABLE")})


@register(TAG)
def check_aliases_are_used(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """One that mirrors another in tests is a copy of that, and gets its tables from there; others are only read."""
    return [
        checks.Info(
            f"No app lives on {alias!r}, so `migrate` leaves it alone.",
            hint="Let a router put an app there, or take it out of DATABASES; if it is somebody else's database, add "
            '"dbrouting.I001" to SILENCED_SYSTEM_CHECKS.',
            id="dbrouting.I001",
        )
        for alias in usable_aliases()
        if not is_somebody_elses(alias) and not apps_on(alias)
    ]


def unrouted_models(aliases: Iterable[str]) -> list[CheckMessage]:
    """The models whose table none of ``aliases`` may hold, which are to be one of each kind that there is."""
    aliases = tuple(aliases)
    return [
        Error(
            f"No database may have the table of {', '.join(model._meta.label for model in models)}.",
            hint=f'Give "{config.label}" a home in config/databases.py: the routers refuse it everywhere.',
            obj=config.label,
            id="dbrouting.E004",
        )
        for config in apps.get_app_configs()
        if (models := [model for model in config.get_models() if is_unrouted(model, aliases)])
    ]


def is_unrouted(model: type[Model], aliases: Iterable[str]) -> bool:
    has_table = model._meta.managed and not model._meta.proxy
    return has_table and not any(router.allow_migrate_model(alias, model) for alias in aliases)


@register(TAG)
def check_commands_are_ours(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Django takes a command from the first app that has it; another's ``migrate`` would know of one database."""
    owners = get_commands()
    return [
        Error(
            f"`manage.py {name}` is that of {owners[name]}, which knows nothing of the other databases.",
            hint=f'Put "dbrouting" before "{owners[name]}" in INSTALLED_APPS.',
            id="dbrouting.E010",
        )
        for name in find_commands(str(Path(__file__).parent / "management"))
        if owners[name] != __package__ and not is_built_on_ours(load_command_class(owners[name], name), name)
    ]


def is_built_on_ours(command: BaseCommand, name: str) -> bool:
    ours: type[BaseCommand] = import_string(f"{__package__}.management.commands.{name}.Command")
    return isinstance(command, ours)


@register(TAG)
def check_targets(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    return unimportable("DATABASE_TARGETS")


def unimportable(name: str, load: Callable[[str], object] = import_string) -> list[CheckMessage]:
    """Whether the setting ``name`` leads to code: most are used so late that a visitor would meet the mistake."""
    path = getattr(settings, name, None)
    try:
        load(path or "")
    except (ImportError, ValueError) as error:
        return [
            Error(
                f"{name} is {path!r}, which can't be imported: {error}",
                hint=f"Mend {name} in config/databases.py.",
                id="dbrouting.E011",
            )
        ]
    return []


def unknown_labels(labels: Iterable[str]) -> list[str]:
    """Those that no app has, which a router would never be asked about."""
    return [label for label in labels if label not in apps.app_configs and label != CACHE_LABEL]


def user_labels() -> list[str]:
    """The installed apps that must not be separated from the users, theirs first."""
    user_label = settings.AUTH_USER_MODEL.partition(".")[0]
    return [label for label in dict.fromkeys((user_label, *CONTRIB_LABELS)) if label in apps.app_configs]


def middleware_before(path: str) -> list[str]:
    """What runs before the middleware at ``path``; all there is, if that is missing."""
    paths = list(settings.MIDDLEWARE)
    return paths[: paths.index(path)] if path in paths else paths


def database_caches() -> list[str]:
    """The aliases of the caches that are tables."""
    backends = {alias: import_string(cache["BACKEND"]) for alias, cache in settings.CACHES.items()}
    return [alias for alias, backend in backends.items() if issubclass(backend, BaseDatabaseCache)]
