"""The README's recipes for error trackers and logs, pasted into a project as printed there, say whose error it was."""

import re
from pathlib import Path

import pytest
from baking import Combination, variants
from conftest import Bootstrapped
from processes import run

pytestmark = pytest.mark.once

# Requests that fail, sync and async; what Sentry would be sent is printed.
FAIL = """
import os
import sys

import django

sys.path.insert(0, os.getcwd())
django.setup()

import sentry_sdk
from asgiref.sync import async_to_sync
from django.test import AsyncClient, Client
from sentry_sdk.transport import Transport

from catalogue.models import Product


class Printed(Transport):
    def capture_envelope(self, envelope):
        if event := envelope.get_event():
            print("sent:", event["exception"]["values"][-1]["type"], dict(sorted(event["tags"].items())))


class AcmesClient(AsyncClient):  # Django's adds a host to its own one instead of replacing it
    async def request(self, **request):
        others = [(name, value) for name, value in request["headers"] if name != b"host"]
        return await super().request(**{**request, "headers": [*others, (b"host", b"acme.localhost")]})


def fail(*args, **kwargs):
    raise ZeroDivisionError


def query(*args, **kwargs):
    Product.objects.extra(where=["nothing"]).count()


sentry_sdk.get_client().transport = Printed({})
from catalogue import urls

for callback in (fail, query):
    urls.urlpatterns[0].callback = callback
    Client(raise_request_exception=False).get("/", headers={"host": "acme.localhost"})
    async_to_sync(AcmesClient(raise_request_exception=False).get)("/")
"""


def recipe(project: Path, beginning: str) -> str:
    """The code in the project's README that begins so."""
    (found,) = re.findall(
        rf"^```python\n({re.escape(beginning)}.*?)^```",
        (project / "README.md").read_text("utf-8"),
        re.DOTALL | re.MULTILINE,
    )
    return found


@variants([Combination("subdomain-tenant", "sqlite", "database")])
def test_sentry_and_the_log_are_told_the_tenant(
    bootstrapped: Bootstrapped, combination: Combination, tmp_path: Path
) -> None:
    project, databases = bootstrapped(combination)
    settings = tmp_path / "settings_of_the_readme.py"
    settings.write_text(f"from config.settings import *\n{recipe(project, 'import sentry_sdk')}")
    script = tmp_path / "fail.py"
    script.write_text(FAIL)
    printed = run(
        project,
        "python",
        str(script),
        DJANGO_SETTINGS_MODULE=settings.stem,
        PYTHONPATH=str(tmp_path),
        SENTRY_DSN="https://key@localhost/1",
        **databases.environment,
    )
    tags = "{'database.alias': 'tenant_acme', 'tenant': 'acme'}"
    assert printed.count(f"sent: ZeroDivisionError {tags}") == printed.count(f"sent: OperationalError {tags}") == 2
    assert printed.count("[tenant=acme database.alias=tenant_acme] Internal Server Error: /") == 4
