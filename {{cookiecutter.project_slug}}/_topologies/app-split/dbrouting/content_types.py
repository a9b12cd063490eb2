"""Content types of renamed models: they keep their permissions, also where their app is in another database.

Django renames a content type beside each ``RenameModel``, on the databases where the routers allow the *app*. The rows
to rename are where the content types are, which knows of the migration too, without its tables.
"""

from typing import Any, cast

from django.apps import apps
from django.contrib.contenttypes.management import RenameContentType
from django.contrib.contenttypes.models import ContentType
from django.db import router
from django.db.migrations import Migration, RenameModel
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.models.signals import pre_migrate

TABLE = (ContentType._meta.app_label, str(ContentType._meta.model_name))


class RenameBesideTheUsers(RenameContentType):
    """Does nothing after Django's own, which has left no content type of the old name.

    Nor on an empty server where the migration comes before the one that makes the content types' table.
    """

    def database_forwards(self, app_label: str, editor: Any, before: ProjectState, after: ProjectState) -> None:
        if TABLE in before.models:
            super().database_forwards(TABLE[0], editor, before, after)

    def database_backwards(self, app_label: str, editor: Any, before: ProjectState, after: ProjectState) -> None:
        if TABLE in before.models:
            super().database_backwards(TABLE[0], editor, before, after)


def rename_content_types(using: str, plan: list[tuple[Migration, bool]], **kwargs: Any) -> None:
    if not router.allow_migrate_model(using, ContentType):
        return
    for migration, _ in plan:
        operations = cast(list[Operation], migration.operations)  # of this instance, whatever its class says
        operations[:] = [each for one in operations for each in with_content_type(migration.app_label, one)]


def with_content_type(app_label: str, operation: Operation) -> list[Operation]:
    if not isinstance(operation, RenameModel):
        return [operation]
    return [operation, RenameBesideTheUsers(app_label, operation.old_name_lower, operation.new_name_lower)]


pre_migrate.connect(rename_content_types, sender=apps.get_app_config("contenttypes"))
