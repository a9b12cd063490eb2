from django.contrib.auth import get_user_model
from django.contrib.auth.management.commands import changepassword
from django.db.models import Model

from dbrouting.commands import OnHome


class Command(OnHome, changepassword.Command):
    def get_model(self) -> type[Model]:
        return get_user_model()
