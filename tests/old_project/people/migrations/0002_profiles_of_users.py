from django.conf import settings
from django.db import migrations


def make_profiles(apps, schema_editor):
    User = apps.get_model(settings.AUTH_USER_MODEL)
    Profile = apps.get_model("people", "Profile")
    for user in User.objects.filter(profile=None):
        Profile.objects.create(user=user, nickname=user.username)


class Migration(migrations.Migration):
    dependencies = [("people", "0001_initial")]

    operations = [migrations.RunPython(make_profiles, migrations.RunPython.noop)]
