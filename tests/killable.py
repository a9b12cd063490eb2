"""Runs a baked project's commands in processes that can be killed at a step; each line it reads is an order.

Each order has a process of its own, forked from this one, which has started Django and connected to nothing. What a
step is, the project's code doesn't know: a statement that changes something, or the return from a function.
"""

import contextlib
import io
import json
import os
import pkgutil
import re
import signal
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path.cwd()))
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"

import django

django.setup()

from django.core.management import call_command  # noqa: E402  Django is up now
from django.db.backends.signals import connection_created  # noqa: E402  Django is up now
from django.test import Client  # noqa: E402  Django is up now

CHANGES = re.compile(r"\s*(INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|TRUNCATE|COPY|RENAME)\b", re.IGNORECASE)


class Steps:
    """Counts the statements that change something, and kills this process before the one with the number ``last``."""

    def __init__(self, last: int | None) -> None:
        self.last = last
        self.done = 0

    def __call__(self, execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        if CHANGES.match(str(sql)):
            if self.done == self.last:
                die()
            self.done += 1
        return execute(sql, params, many, context)

    def watch(self, connection: Any, **kwargs: object) -> None:
        if self not in connection.execute_wrappers:
            connection.execute_wrappers.append(self)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_after(path: str) -> None:
    """Once the function at ``path`` has done its work."""
    where, _, name = path.rpartition(".")
    home = pkgutil.resolve_name(where)  # a module, or a class in it
    function = getattr(home, name)

    def replacement(*args: Any, **kwargs: Any) -> None:
        function(*args, **kwargs)
        die()

    setattr(home, name, replacement)


def run(order: dict[str, Any]) -> dict[str, Any]:
    steps = Steps(order.get("before_statement"))
    connection_created.connect(steps.watch)
    if path := order.get("after"):
        die_after(path)
    output = io.StringIO()
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            answer = ORDERS[order["do"]](*order["words"])
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}", "output": output.getvalue()}
    return {"answer": answer, "output": output.getvalue(), "statements": steps.done}


def status(host: str) -> int:
    return Client(headers={"host": host}, raise_request_exception=False).get("/").status_code


def upload(tenant: str, name: str) -> None:
    """A file of the tenant's, whatever the project does to keep it apart."""
    from django.core.files.base import ContentFile
    from django.core.files.storage import default_storage

    from dbrouting.tenant_context import tenant_context
    from tenants.models import Tenant

    with tenant_context(Tenant.objects.get(name=tenant)):
        default_storage.save(name, ContentFile(b"theirs"))


def administrate(page: str, tenant: str, fields: str) -> int:
    """Send a form of the shared site's admin, as a superuser."""
    from accounts.models import User
    from dbrouting.tenant_context import shared_context
    from tenants.models import Tenant

    client = Client(headers={"host": "localhost"})
    with shared_context():
        user, _ = User.objects.get_or_create(username="root", is_staff=True, is_superuser=True)
        client.force_login(user)
    home = "/admin/tenants/tenant/"
    return client.post(
        f"{home}{page}/" if page == "add" else f"{home}{Tenant.objects.get(name=tenant).pk}/{page}/", json.loads(fields)
    ).status_code


ORDERS = {"manage": call_command, "status": status, "upload": upload, "administrate": administrate}


def in_a_process(order: dict[str, Any]) -> dict[str, Any]:
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writer, json.dumps(run(order)).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        text = answer.read()
    _, ended = os.waitpid(child, 0)
    return {"killed": True} if os.WIFSIGNALED(ended) else json.loads(text)


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(in_a_process(json.loads(line))), flush=True)
