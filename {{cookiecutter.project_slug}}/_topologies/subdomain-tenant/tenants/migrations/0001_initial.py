import uuid

import django.db.models.deletion
from django.db import migrations, models

import tenants.validators
from config.engine import EXACT_COLLATION


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Tenant",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                (
                    "name",
                    models.CharField(
                        db_collation=EXACT_COLLATION,
                        max_length=20,
                        unique=True,
                        validators=[tenants.validators.validate_name],
                    ),
                ),
                (
                    "key",
                    models.CharField(db_collation=EXACT_COLLATION, editable=False, max_length=20, unique=True),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("creating", "Creating"),
                            ("active", "Active"),
                            ("suspended", "Suspended"),
                            ("deleting", "Deleting"),
                        ],
                        default="creating",
                        editable=False,
                        max_length=10,
                    ),
                ),
                (
                    "migrations",
                    models.TextField(default="", editable=False, help_text="Applied there, an app.name in each line."),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="Domain",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "host",
                    models.CharField(
                        db_collation=EXACT_COLLATION,
                        max_length=253,
                        unique=True,
                        validators=[tenants.validators.validate_host],
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="domains", to="tenants.tenant"
                    ),
                ),
            ],
            options={
                "ordering": ["host"],
            },
        ),
        migrations.CreateModel(
            name="Blueprint",
            fields=[
                ("fingerprint", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("script", models.TextField()),
                ("refusal", models.TextField()),
                ("made_at", models.DateTimeField(auto_now_add=True)),
            ],
        ),
    ]
