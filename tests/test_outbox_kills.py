"""A deletion that is followed in another database is killed step by step: in the end it is undone, or followed."""

import json

import pytest
from baking import COMBINATIONS, Combination, variants
from conftest import Bootstrapped
from test_tenant_kills import Killable, killable

pytestmark = pytest.mark.once

# The row, the message, what follows, the receipt, the message again. Before that Django deletes what is beside the row.
LAST = 5
DELETE = """
from accounts.models import User
User.objects.filter(username="gone").delete()
"""
# How things are once the outboxes are drained, and a customer with an invoice for the next deletion.
SETTLE = f"""
import io, json
from django.core.management import call_command
from accounts.factories import UserFactory
from accounts.models import User
from billing.factories import InvoiceFactory
from billing.models import Invoice
from dbrouting.orphans import find_orphans
from orders.factories import OrderFactory
from outbox.aliases import outboxes
from outbox.draining import backlog

call_command("drain_outbox", stdout=io.StringIO())
print(json.dumps({{
    "is_undone": User.objects.filter(username="gone").exists(),
    "of_nobody": Invoice.objects.filter(customer=None).count(),
    "orphans": find_orphans(Invoice._meta.get_field("customer")).rows,
    "waiting": sum(backlog(alias).waiting for alias in outboxes()),
}}))
{DELETE}
order = OrderFactory.create(customer=UserFactory.create(username="gone"))
InvoiceFactory.create(order=order)
"""


def settle(shop: Killable) -> dict[str, int]:
    return json.loads(shop.done("manage", "shell", "--verbosity=0", "-c", SETTLE)["output"])


@variants([combination for combination in COMBINATIONS if combination.topology == "app-split"])
def test_a_deletion_killed_at_any_step_is_undone_or_followed(
    bootstrapped: Bootstrapped, combination: Combination
) -> None:
    undone = []
    with killable(*bootstrapped(combination)) as shop:
        of_nobody = settle(shop)["of_nobody"]
        steps = shop.done("manage", "shell", "--verbosity=0", "-c", DELETE)["statements"]
        for step in range(steps - LAST, steps + 1):  # the first is about the one that wasn't killed
            of_nobody += 1
            found = settle(shop)
            undone.append(bool(found.pop("is_undone")))
            assert found == {"of_nobody": of_nobody - undone[-1], "orphans": 0, "waiting": 0}, step
            if step < steps:
                shop.kill("manage", "shell", "--verbosity=0", "-c", DELETE, before_statement=step)
    finished, *killed = undone
    assert not finished
    assert killed == sorted(killed, reverse=True)  # up to the commit
    assert {*killed} == {True, False}
