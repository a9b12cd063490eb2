from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("orders", "0003_label")]

    operations = [
        migrations.RunSQL("UPDATE orders_order SET status = 'placed' WHERE status = ''", migrations.RunSQL.noop),
    ]
