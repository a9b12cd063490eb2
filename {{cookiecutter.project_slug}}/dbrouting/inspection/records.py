"""What ``django_migrations`` says, beside the migrations that there are."""

from django.apps import apps

from dbrouting.aliases import lives_on
from dbrouting.inspection.findings import MANAGE, Finding, Findings, few, in_shell
from dbrouting.inspection.histories import History, Key


def differences_of_records(alias: str, history: History) -> Findings:
    """Migrations that should be recorded, and aren't."""
    for key, needed in history.contradictions:
        yield Finding(
            "error",
            f"{dotted(key)} is recorded as applied and {dotted(needed)}, which it needs, isn't: `migrate` refuses to "
            "run. If what it made is there:",
            (in_shell("record", alias, *needed),),
        )
    if history.contradictions:
        return
    migrate = f"{MANAGE} migrate --database={alias}"
    here = {label for label in apps.app_configs if lives_on(label, alias)}
    if pending := [dotted(key) for key in history.unapplied if key[0] in here]:
        what = f"Migrations that aren't applied: {few(pending)}." if history.applied else "It was never migrated."
        yield Finding("error", what, (migrate,))
    elif history.unapplied:
        elsewhere = [dotted(key) for key in history.unapplied]
        yield Finding("info", f"Migrations of apps that live elsewhere aren't recorded: {few(elsewhere)}.", (migrate,))


def left_over_records(alias: str, history: History) -> Findings:
    """Migrations that are recorded, and that nobody has."""
    for key in history.unknown:
        is_here = key[0] in apps.app_configs and lives_on(key[0], alias)
        what = f"{dotted(key)} is recorded as applied, and there is no such migration."
        yield Finding("warning" if is_here else "info", what, (in_shell("forget", alias, *key),))


def dotted(key: Key) -> str:
    return ".".join(key)
