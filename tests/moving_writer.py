"""Writes to a project's billing, again and again, and prints the number of each invoice whose writing was committed.

It ends when its standard input does, as a process of the site would that knows nothing of a move.
"""

import os
import select
import sys
import time
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path.cwd()))
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"

import django

django.setup()

from billing.models import Invoice, Payment  # noqa: E402  Django is up now
from django.db import DatabaseError, connection  # noqa: E402  Django is up now

PAUSE = 0.02
BEGINNING = 200_000


def write(number: int) -> None:
    """A new invoice with a payment, and a change to what is older."""
    invoice = Invoice.objects.create(order_id=number, amount=number)
    Payment.objects.create(invoice=invoice, amount=number)
    Invoice.objects.filter(order_id=number // 2).update(amount=0)
    Payment.objects.filter(invoice__order_id=number - 7).delete()


def main() -> None:
    for number in count(BEGINNING):
        try:
            write(number)
            print(number, flush=True)
        except DatabaseError:
            connection.close()
        if select.select([sys.stdin], [], [], 0)[0]:
            return
        time.sleep(PAUSE)


main()
