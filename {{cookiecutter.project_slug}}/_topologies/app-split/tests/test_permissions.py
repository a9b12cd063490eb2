"""Content types and permissions are those of a project with one database, whatever databases the models are in."""

from collections.abc import Iterator

import pytest
from django.apps import apps
from django.contrib.auth.decorators import permission_required
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db import connections
from django.db.migrations import Migration, RenameModel
from django.db.migrations.state import ProjectState
from django.db.models import Model
from django.db.models.signals import pre_migrate
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.test.utils import override_settings
from typed import typed

from accounts.factories import UserFactory
from accounts.models import User
from billing.models import Invoice
from catalogue.models import Product
from dbrouting.content_types import RenameBesideTheUsers
from orders.models import Order

pytestmark = pytest.mark.django_db

# One of each database.
MODELS = [User, Product, Order, Invoice]


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    """Content types that a test makes go with it, and the manager would go on giving out their ids."""
    yield
    ContentType.objects.clear_cache()


def every_permission() -> set[tuple[str, ...]]:
    names = ("content_type__app_label", "content_type__model", "codename", "name")
    return set(Permission.objects.values_list(*names))


def every_content_type() -> set[tuple[str, str]]:
    return set(ContentType.objects.values_list("app_label", "model"))


def a_page(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


def test_they_are_those_that_one_database_would_have() -> None:
    found = every_content_type(), every_permission()
    ContentType.objects.all().delete()

    with override_settings(DATABASE_ROUTERS=[]):
        for config in apps.get_app_configs():
            create_permissions(config, using="auth_db", verbosity=0)

    assert found == (every_content_type(), every_permission())


@pytest.mark.parametrize("model", MODELS)
def test_a_permission_is_held_through_a_group(model: type[Model]) -> None:
    user, group = UserFactory.create(), Group.objects.create(name="staff")
    name = f"view_{model._meta.model_name}"
    group.permissions.add(Permission.objects.get(codename=name))
    assert not user.has_perm(f"{model._meta.app_label}.{name}")

    user.groups.add(group)

    user = User.objects.get(pk=user.pk)
    assert user.has_perm(f"{model._meta.app_label}.{name}")
    assert not user.has_perm(f"{model._meta.app_label}.change_{model._meta.model_name}")
    assert list(User.objects.with_perm(f"{model._meta.app_label}.{name}")) == [user]


@pytest.mark.parametrize("model", MODELS)
def test_a_view_asks_for_a_permission(rf: RequestFactory, model: type[Model]) -> None:
    name = f"view_{model._meta.model_name}"
    view = permission_required(f"{model._meta.app_label}.{name}", raise_exception=True)(a_page)
    request = rf.get("/")
    request.user = UserFactory.create()
    with pytest.raises(PermissionDenied):
        view(request)

    request.user.user_permissions.add(Permission.objects.get(codename=name))

    request.user = User.objects.get(pk=request.user.pk)
    assert view(request).status_code == 200


def test_only_the_content_types_of_models_that_are_gone_are_removed() -> None:
    before = every_content_type(), every_permission()
    stale = ContentType.objects.create(app_label="orders", model="gone")
    Permission.objects.create(content_type=stale, codename="view_gone", name="Can view gone")

    typed("remove_stale_contenttypes", "--no-input", "--include-stale-apps")

    assert (every_content_type(), every_permission()) == before


def rename(model: type[Model], *, backwards: bool = False) -> None:
    """What `migrate` adds to the operation on the database of the content types; the table may be elsewhere."""
    label = model._meta.app_label
    migration = type("Rename", (Migration,), {"operations": [RenameModel(model.__name__, "Renamed")]})("0002", label)
    plan = [(migration, backwards)]
    pre_migrate.send(apps.get_app_config("contenttypes"), using="auth_db", plan=plan, apps=apps)
    state, editor = ProjectState.from_apps(apps), connections["auth_db"].schema_editor()
    for operation in migration.operations[1:]:
        run = operation.database_backwards if backwards else operation.database_forwards
        run(label, editor, state, state)


@pytest.mark.parametrize("model", MODELS)
def test_a_renamed_model_keeps_its_permissions(model: type[Model]) -> None:
    label = model._meta.app_label
    kept = ContentType.objects.get_for_model(model)

    rename(model)
    assert ContentType.objects.get(app_label=label, model="renamed").pk == kept.pk

    rename(model, backwards=True)
    assert ContentType.objects.get(app_label=label, model=model._meta.model_name).pk == kept.pk


def test_a_model_that_is_renamed_before_there_are_content_types_is_no_error() -> None:
    """On an empty server nothing says which of the two comes first."""
    operation = RenameBesideTheUsers("orders", "order", "purchase")
    empty = ProjectState()

    operation.database_forwards("orders", connections["auth_db"].schema_editor(), empty, empty)

    assert ContentType.objects.filter(app_label="orders", model="order").exists()
