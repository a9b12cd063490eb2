"""``check_databases`` looks at the tables, where Django's own commands trust the records, and only looks."""

import json
from collections.abc import Callable, Set
from contextlib import ExitStack
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import OperationalError, connections, models, router
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Model

from catalogue.factories import CategoryFactory
from catalogue.models import Category
from dbrouting.aliases import lent, usable_aliases
from dbrouting.inspection import inspector, records, tables
from dbrouting.inspection.findings import SEVERITIES, Finding
from dbrouting.inspection.histories import History
from dbrouting.inspection.inspector import Inspector, Report
from dbrouting.inspection.routing import findings_about_routing
from dbrouting.management.commands.check_databases import exit_code
from orders.models import Order, OrderLine

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("every_database")]

ORDER_TABLES = {model._meta.db_table for model in (Order, OrderLine)}


@pytest.fixture
def home() -> str:
    """The alias that orders are on."""
    return router.db_for_write(Order)


@pytest.fixture
def see(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let an alias seem to have other tables than it has: to make and drop some ends a transaction on MySQL."""

    def pretend(alias: str, without: Set[str] = frozenset(), besides: Set[str] = frozenset()) -> None:
        names = set(connections[alias].introspection.table_names()) - without | besides
        monkeypatch.setattr(connections[alias].introspection, "table_names", lambda cursor=None: sorted(names))

    return pretend


def findings_on(alias: str) -> list[Finding]:
    return Inspector().inspect(alias).findings


def only_finding(alias: str) -> Finding:
    [finding] = findings_on(alias)
    return finding


def tables_of(*models_there: type[Model]) -> set[str]:
    return {model._meta.db_table for model in models_there}


def run_command(*arguments: str) -> tuple[int, str]:
    """The exit code, and what is printed."""
    out = StringIO()
    try:
        call_command("check_databases", *arguments, stdout=out)
    except SystemExit as stop:
        return int(stop.code or 0), out.getvalue()
    return 0, out.getvalue()


# Well


def test_a_project_that_is_migrated_is_well() -> None:
    code, output = run_command()

    assert code == 0
    assert all(f"{alias}  " in output for alias in usable_aliases())
    assert output.endswith("Found: error: 0, warning: 0, info: 0.\n")


def test_nothing_but_questions_is_asked() -> None:
    asked: list[str] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        asked.append(sql.split()[0].upper())
        return execute(sql, params, many, context)

    with ExitStack() as stack:
        for alias in usable_aliases():
            stack.enter_context(connections[alias].execute_wrapper(note))
        run_command()

    assert set(asked) <= {"SELECT", "SHOW", "PRAGMA"}
    assert "SELECT" in asked


def test_each_connection_is_let_go_before_the_next_database(monkeypatch: pytest.MonkeyPatch) -> None:
    let_go: list[str] = []
    monkeypatch.setattr(inspector, "let_go", let_go.append)

    run_command()

    assert let_go == usable_aliases()


# Missing


def test_tables_that_are_missing_though_recorded_are_found_where_migrate_sees_nothing(home: str, see: Any) -> None:
    see(home, without=ORDER_TABLES)

    call_command("migrate", "--check", verbosity=0)
    finding = only_finding(home)

    assert finding.severity == "error"
    assert "orders_order, orders_orderline" in finding.what
    assert finding.commands == (
        f"python manage.py migrate orders zero --fake --database={home}",
        f"python manage.py migrate --database={home}",
    )


def test_a_table_that_is_missing_beside_others_of_its_app_is_made_alone(home: str, see: Any) -> None:
    see(home, without=tables_of(OrderLine))

    [command] = only_finding(home).commands

    assert f"create_tables('{home}', 'orders_orderline')" in command


def test_an_app_is_not_forgotten_with_dependants_whose_tables_are_there(see: Any) -> None:
    alias = router.db_for_write(ContentType)
    see(alias, without=tables_of(ContentType))

    [command] = only_finding(alias).commands

    assert f"create_tables('{alias}', 'django_content_type')" in command


def test_dependants_that_live_elsewhere_keep_no_app_from_being_forgotten(
    see: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    alias = router.db_for_write(ContentType)
    monkeypatch.setattr(tables, "lives_on", lambda label, alias: False)
    see(alias, without=tables_of(ContentType))

    forgotten, _ = only_finding(alias).commands

    assert forgotten == f"python manage.py migrate contenttypes zero --fake --database={alias}"


def test_what_migrate_fills_is_forgotten_before_it_would_fill_it(home: str) -> None:
    history = Inspector().histories.of(connections[home])
    history.order = [("catalogue", "0001_initial"), *history.order]

    assert list(tables.to_forget({"catalogue", "contenttypes"}, history)) == ["contenttypes", "catalogue"]


def test_a_missing_table_of_an_app_without_migrations_is_made_by_migrate(
    home: str, see: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(History, "is_migrated", lambda self, model: model._meta.app_label != "orders")
    see(home, without=tables_of(OrderLine))

    assert only_finding(home).commands == (f"python manage.py migrate --run-syncdb --database={home}",)


def test_a_table_that_migrations_do_not_make_is_not_missed(
    home: str, see: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    inspecting = Inspector()
    history = inspecting.histories.of(connections[home])
    monkeypatch.setattr(history.tables(connections[home])["orders_orderline"]._meta, "managed", False)
    see(home, without=tables_of(OrderLine))

    assert inspecting.inspect(home).findings == []


def test_apps_that_lost_all_their_tables_are_forgotten_with_what_they_depend_on_first(see: Any) -> None:
    alias = router.db_for_write(ContentType)
    connection = connections[alias]
    see(alias, without=set(Inspector().histories.of(connection).tables(connection)))

    *forgotten, migrated = only_finding(alias).commands

    assert forgotten[0] == f"python manage.py migrate contenttypes zero --fake --database={alias}"
    assert not any("migrate auth " in command for command in forgotten)  # the first took it along
    assert migrated == f"python manage.py migrate --database={alias}"


def test_a_column_that_is_missing_though_recorded_is_found(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    inspecting = Inspector()
    history = inspecting.histories.of(connections[home])
    order = history.tables(connections[home])["orders_order"]
    models.IntegerField(null=True).contribute_to_class(order, "gift")

    [finding] = inspecting.inspect(home).findings

    assert (finding.severity, "orders_order lacks" in finding.what, "gift" in finding.what) == ("error", True, True)
    assert f"add_columns('{home}', 'orders_order', 'gift')" in finding.commands[0]


# Records


def forget_orders(alias: str) -> None:
    """The record of their migration, and of those that need it."""
    graph = MigrationLoader(connections[alias]).graph
    for key in graph.backwards_plan(("orders", "0001_initial")):
        MigrationRecorder(connections[alias]).record_unapplied(*key)


def test_migrations_that_are_not_applied_are_listed_with_the_command(home: str, see: Any) -> None:
    forget_orders(home)
    see(home, without=ORDER_TABLES)

    finding = only_finding(home)

    assert finding.severity == "error"
    assert "orders.0001_initial" in finding.what
    assert finding.commands == (f"python manage.py migrate --database={home}",)


def test_tables_whose_migration_lost_its_record_are_not_made_again(home: str) -> None:
    forget_orders(home)

    early, pending = findings_on(home)

    assert "orders_order, orders_orderline" in early.what
    assert early.commands == (f"python manage.py migrate orders --fake-initial --database={home}",)
    assert "orders.0001_initial" in pending.what


def test_a_database_that_was_never_migrated_says_so(home: str, see: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MigrationRecorder, "applied_migrations", lambda self: {})
    see(home, without=set(connections[home].introspection.table_names()))

    assert only_finding(home).what == "It was never migrated."


def test_a_record_without_a_migration_is_a_left_over(home: str) -> None:
    MigrationRecorder(connections[home]).record_applied("orders", "0099_gone")

    finding = only_finding(home)

    assert finding.severity == "warning"
    assert "orders.0099_gone" in finding.what
    assert f"forget('{home}', 'orders', '0099_gone')" in finding.commands[0]


def test_what_a_squashed_migration_stands_for_is_no_left_over(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    migration = MigrationLoader(None).disk_migrations["orders", "0001_initial"]
    monkeypatch.setattr(type(migration), "replaces", [("orders", "0001_old")])
    MigrationRecorder(connections[home]).record_applied("orders", "0001_old")

    assert findings_on(home) == []


def test_records_of_apps_that_are_not_here_are_no_fault(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "lives_on", lambda label, alias: label == "orders")
    recorder = MigrationRecorder(connections[home])
    recorder.record_unapplied("catalogue", "0001_initial")
    recorder.record_applied("shelves", "0001_initial")
    recorder.record_applied("orders", "0099_gone")

    severities = {finding.what.split()[0]: finding.severity for finding in findings_on(home)}

    assert (severities["Migrations"], severities["shelves.0001_initial"]) == ("info", "info")
    assert list(severities.values()) == sorted(severities.values(), key=SEVERITIES.index)  # the worst comes first


def test_records_that_contradict_each_other_are_found() -> None:
    alias = router.db_for_write(ContentType)
    MigrationRecorder(connections[alias]).record_unapplied("contenttypes", "0001_initial")

    errors = [finding for finding in findings_on(alias) if finding.severity == "error"]

    assert errors
    assert all("contenttypes.0001_initial, which it needs, isn't" in finding.what for finding in errors)
    assert f"record('{alias}', 'contenttypes', '0001_initial')" in errors[0].commands[0]


# Strays


@pytest.fixture
def unwanted(monkeypatch: pytest.MonkeyPatch) -> str:
    """An alias where the routers allowed the catalogue, and no longer do."""
    alias = router.db_for_write(Category)
    allow = router.allow_migrate

    def refuse(db: str, app_label: str, **hints: Any) -> bool:
        return app_label != "catalogue" and allow(db, app_label, **hints)

    monkeypatch.setattr(router, "allow_migrate", refuse)
    return alias


def about_strays(alias: str) -> Finding:
    [finding] = (found for found in findings_on(alias) if found.what.startswith("The routers don't allow catalogue"))
    return finding


def test_rows_that_no_query_finds_are_counted(unwanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "ENOUGH_ROWS", 1)
    monkeypatch.setattr(tables, "apps_on", lambda alias: ["orders"])  # what else is there differs by topology
    CategoryFactory.create_batch(2)

    finding = about_strays(unwanted)

    assert finding.severity == "warning"
    assert "hold: more than 1 rows in catalogue_category." in finding.what
    assert f"drop_tables('{unwanted}', 'catalogue_category', 'catalogue_product')" in finding.what
    assert not any("drop" in command for command in finding.commands)  # whoever types them all loses nothing


def test_empty_tables_that_the_routers_do_not_allow_may_go(unwanted: str) -> None:
    finding = about_strays(unwanted)

    assert (finding.severity, finding.what.endswith("They are empty.")) == ("info", True)
    assert f"drop_tables('{unwanted}', 'catalogue_category', 'catalogue_product')" in finding.commands[0]


def test_a_database_without_apps_may_be_somebody_elses(
    unwanted: str, see: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "apps_on", lambda alias: [])
    see(unwanted, besides={"shelf"})
    CategoryFactory.create()

    assert about_strays(unwanted).severity == "info"
    assert not any("shelf" in finding.what for finding in findings_on(unwanted))


def test_tables_that_no_app_knows_are_mentioned_and_familiar_ones_are_not(home: str, see: Any, settings: Any) -> None:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "cached"}}
    see(home, besides={"shelf", "cached", "spatial_ref_sys"})

    finding = only_finding(home)

    assert (finding.severity, finding.what) == ("info", "Tables that no installed app knows: shelf.")


def test_what_may_not_be_looked_at_is_said_beside_what_was_found(
    home: str, see: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(model: type[Model], cursor: Any) -> list[str]:
        raise OperationalError("permission denied")

    monkeypatch.setattr(tables, "missing_columns", refuse)
    see(home, without=tables_of(OrderLine))

    missing, refused = findings_on(home)

    assert "orders_orderline" in missing.what
    assert (refused.severity, "permission denied" in refused.what) == ("error", True)


# Unreachable


def test_a_database_that_is_down_does_not_keep_the_others_from_being_checked(
    home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(connections[home], "ensure_connection", refuse)

    code, output = run_command("--json")

    reports = {report["alias"]: report for report in json.loads(output)["databases"]}
    assert code == 2
    assert f"'{home}' can't be reached: connection refused" in reports[home]["problem"]
    assert not reports[home]["reachable"]
    assert all(reports[alias]["server"] for alias in usable_aliases() if alias != home)


def test_a_file_that_is_missing_is_not_made_by_looking_for_it(tmp_path: Path) -> None:
    path = tmp_path / "missing.sqlite3"

    with lent({"ENGINE": "django.db.backends.sqlite3", "NAME": str(path)}) as alias:
        report = Inspector().inspect(alias)

    assert "there is no such file" in report.problem
    assert not path.exists()


def test_a_server_that_refuses_the_writes_routed_to_it_is_found(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspector, "answers_yes", lambda connection, question: True)

    assert "refuses to write" in only_finding(home).what


# Routing


@pytest.fixture
def lost_model(monkeypatch: pytest.MonkeyPatch) -> str:
    class Nowhere:
        def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
            return False if app_label == "orders" else None

    monkeypatch.setitem(router.__dict__, "routers", [Nowhere(), *router.routers])
    return Order._meta.label


def test_a_model_that_is_allowed_nowhere_is_an_error(lost_model: str) -> None:
    found = [finding for finding in findings_about_routing() if f"{lost_model} " in finding.what]

    assert [finding.severity for finding in found] == ["error"]
    assert "on no database" in found[0].what
    assert found[0].commands == (f"python manage.py show_routing {lost_model}",)


def test_a_model_without_a_table_of_its_own_needs_no_database(lost_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Order._meta, "managed", False)

    assert not any(f"{lost_model} " in finding.what for finding in findings_about_routing())


def test_a_model_that_is_read_where_it_has_no_table_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Archive:
        def db_for_read(self, model: type[Model], **hints: Any) -> str | None:
            return "archive" if model is Order else None

    monkeypatch.setitem(router.__dict__, "routers", [Archive(), *router.routers])

    [error] = [finding.what for finding in findings_about_routing() if finding.severity == "error"]

    assert error.startswith("orders.Order is read from or written to archive")


def test_a_table_that_nothing_reads_or_writes_is_pointed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Everywhere:
        def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
            return True

    monkeypatch.setitem(connections.settings, "spare", connections.settings[usable_aliases()[0]])
    monkeypatch.setitem(router.__dict__, "routers", [Everywhere(), *router.routers])

    warnings = [finding.what for finding in findings_about_routing() if finding.severity == "warning"]

    assert any("orders.Order has a table on" in what and "spare" in what for what in warnings)


# What monitors read


def test_the_exit_code_is_of_the_worst() -> None:
    well, down = Report("one", "SQLite 3"), Report("two", problem="refused")
    warned = Report("three", "SQLite 3", findings=[Finding("warning", "stray")])
    broken = Report("four", "SQLite 3", findings=[Finding("error", "missing")])

    assert exit_code([well, warned], [], "error") == 0
    assert exit_code([well, warned], [], "warning") == 1
    assert exit_code([well, broken], [], "error") == 1
    assert exit_code([well], [Finding("error", "nowhere")], "error") == 1
    assert exit_code([broken, down], [], "error") == 2


def test_one_database_can_be_checked_alone(home: str) -> None:
    report = json.loads(run_command("--json", f"--database={home}")[1])

    assert [found["alias"] for found in report["databases"]] == [home]
    assert set(report["databases"][0]) == {"alias", "reachable", "problem", "server", "read_only", "findings"}


def test_databases_at_the_same_point_share_what_is_computed(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []

    def load(connection: Any, **options: Any) -> MigrationLoader:
        loaded.append(connection.alias)
        return MigrationLoader(connection, **options)

    monkeypatch.setattr("dbrouting.inspection.histories.MigrationLoader", load)
    inspecting = Inspector()
    inspecting.inspect(home)
    inspecting.inspect(home)

    assert loaded == [home]
