import uuid

import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Message",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("handler", models.CharField(max_length=200)),
                ("payload", models.TextField()),
                ("written_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("next_try_at", models.DateTimeField(db_index=True, default=django.utils.timezone.now)),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("last_error", models.TextField(blank=True)),
            ],
            options={
                "ordering": ["pk"],
            },
        ),
        migrations.CreateModel(
            name="Receipt",
            fields=[
                ("key", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("handled_at", models.DateTimeField(db_index=True, default=django.utils.timezone.now, editable=False)),
            ],
        ),
    ]
