from django.db import migrations, models


def count_sold(apps, schema_editor):
    """Also writes to the other app's table; run twice, it counts twice."""
    OrderLine = apps.get_model("orders", "OrderLine")
    Product = apps.get_model("catalogue", "Product")
    for line in OrderLine.objects.select_related("product"):
        line.price = line.product.price
        line.save()
        Product.objects.filter(pk=line.product_id).update(sold=models.F("sold") + line.quantity)


class Migration(migrations.Migration):
    dependencies = [("orders", "0001_start")]

    operations = [
        migrations.AddField(
            "orderline", "price", models.DecimalField(decimal_places=2, max_digits=8, null=True)
        ),
        migrations.RunPython(count_sold),
    ]
