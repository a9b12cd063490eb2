from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from dbrouting.migration_guard import runs_on

CURRENCIES = {"CHF": "Swiss franc", "EUR": "Euro", "GBP": "Pound sterling", "USD": "US dollar"}


@runs_on("default")
def add_currencies(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    currency = apps.get_model("reference", "Currency")
    for code, name in CURRENCIES.items():
        currency.objects.get_or_create(code=code, defaults={"name": name})


class Migration(migrations.Migration):
    dependencies = [("reference", "0001_initial")]

    operations = [migrations.RunPython(add_currencies, migrations.RunPython.noop)]
