from django.db import migrations, models


def make_labels(apps, schema_editor):
    Label = apps.get_model("orders", "Label")
    for name in ("gift", "express"):
        Label.objects.create(name=name)


class Migration(migrations.Migration):
    dependencies = [("orders", "0002_orderline_price")]

    operations = [
        migrations.CreateModel(
            name="Label",
            fields=[
                ("id", models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=30)),
            ],
        ),
        migrations.AddField("order", "labels", models.ManyToManyField(blank=True, to="orders.Label")),
        migrations.RunPython(make_labels, migrations.RunPython.noop),
    ]
