"""What is no row of a table, and would be left behind: counters; and what stays where it is, and is said to."""

from collections.abc import Iterator

from django.apps import apps
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import router
from django.db.models import Model

from dbrouting.moving.move import Move
from dbrouting.provisioning import quoted
from dbrouting.routers import OUTBOX

# The last key that a table has given out: no later row may get it, even if its own row is gone. (MySQL, unlike MariaDB,
# remembers the answer for a day: information_schema_stats_expiry. New rows still come after all that are there.)
LAST_KEY = {
    "sqlite": "SELECT seq FROM sqlite_sequence WHERE name = %(stored)s",
    "postgresql": "SELECT pg_sequence_last_value(pg_get_serial_sequence(%(quoted)s, %(column)s)::regclass)",
    "mysql": (
        "SELECT auto_increment - 1 FROM information_schema.tables "
        "WHERE table_schema = DATABASE() AND table_name = %(stored)s"
    ),
}
COUNT_ON = {
    "sqlite": [
        "DELETE FROM sqlite_sequence WHERE name = %(table)s",
        "INSERT INTO sqlite_sequence (name, seq) VALUES (%(table)s, %(last)s)",
    ],
    "postgresql": ["SELECT setval(pg_get_serial_sequence(%(quoted)s, %(column)s), %(last)s)"],
    "mysql": ["ALTER TABLE {quoted} AUTO_INCREMENT = {next}"],
}


def count_on(move: Move, model: type[Model]) -> None:
    """Let new rows get keys that the old table never gave out."""
    field = model._meta.auto_field
    if field is None or field not in model._meta.local_fields:
        return
    table = model._meta.db_table
    stored = move.engine.stored_as(move.old, table)
    names = {"table": table, "stored": stored, "quoted": quoted(move.old, table), "column": field.column}
    with move.old.cursor() as cursor:
        cursor.execute(LAST_KEY[move.old.vendor], names)
        row = cursor.fetchone()
    if row is None or row[0] is None:
        return
    with move.new.cursor() as cursor:
        for statement in COUNT_ON[move.new.vendor]:
            cursor.execute(statement.format(**names, next=row[0] + 1), {**names, "last": row[0]})


def carry_receipts(move: Move) -> None:
    """A message to the app that was handled, and is still there, is not to be handled again on the new side."""
    if apps.is_installed(OUTBOX):
        from outbox.receipts import carry  # has models, which can't be imported unless they are installed

        carry(move.source, move.target)


def remarks(move: Move) -> Iterator[str]:
    """What a move doesn't touch."""
    yield from remarks_about_messages(move)
    home = router.db_for_write(ContentType)
    yield f"Content types and permissions of {move.app_label} stay on {home!r}, with the users: nothing changes there."
    models = {model._meta.model_name for model in apps.get_app_config(move.app_label).get_models()}
    kept = ContentType.objects.using(home).filter(app_label=move.app_label).exclude(model__in=models)
    if stale := sorted(kept.values_list("model", flat=True)):
        yield (
            f"Content types without a model: {', '.join(stale)}. They are older than this move: "
            "python manage.py remove_stale_contenttypes"
        )
    pointing = sorted(
        f"{model._meta.label}.{field.name}"
        for model in apps.get_models()
        for field in model._meta.private_fields
        if isinstance(field, GenericForeignKey) and model._meta.app_label != move.app_label
    )
    if pointing:
        yield f"Generic foreign keys may point to its rows, and find them only in one database: {', '.join(pointing)}."


def remarks_about_messages(move: Move) -> Iterator[str]:
    if not apps.is_installed(OUTBOX):
        return
    from outbox.aliases import has_tables  # as above
    from outbox.draining import backlog

    if has_tables(move.source) and (waiting := backlog(move.source).waiting):
        yield (
            f"Messages wait in the outbox of {move.source!r}: {waiting}. They stay there, and are handled as long as "
            "DATABASES lists it: python manage.py drain_outbox"
        )
