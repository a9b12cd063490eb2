"""What asking the routers costs, beside a query: the generated routers against those of Django's documentation.

Run it as `python bench/routing.py` in the environment of the tests. All figures are medians of the same run, so that
only their ratios mean something; the machine's speed does not matter.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).parent.parent

MEASURE = '''
import statistics
import timeit

import django

django.setup()

from django.db import connections, router
from django.db.utils import ConnectionRouter

from catalogue.models import Product
from dbrouting.overrides import in_database
from dbrouting.targets import get_targets


class DocumentedRouter:
    """The shape of the routers that Django's documentation shows: a set of labels and an alias."""

    route_app_labels = {"auth", "contenttypes"}

    def db_for_read(self, model, **hints):
        if model._meta.app_label in self.route_app_labels:
            return "auth_db"
        return None

    db_for_write = db_for_read


def median(function, number):
    """Microseconds a call."""
    return statistics.median(timeit.repeat(function, number=number, repeat=15)) / number * 1e6


_, context = next(get_targets().each({}))
context.__enter__()
documented = ConnectionRouter([DocumentedRouter()])
none = ConnectionRouter([])
alias = router.db_for_read(Product)
list(Product.objects.all())

ask = {
    "no router": median(lambda: none.db_for_read(Product), 20000),
    "the documentation's": median(lambda: documented.db_for_read(Product), 20000),
    "generated": median(lambda: router.db_for_read(Product), 20000),
}
with in_database(alias):
    ask["generated, in an override"] = median(lambda: router.db_for_read(Product), 20000)
query = median(lambda: Product.objects.order_by("pk").first(), 300)

print(f"one query of one row: {query:.0f} us")
for name, cost in ask.items():
    ratio = cost / ask["the documentation's"]
    share = cost / query
    print(f"{name:>27}: {cost:5.2f} us a decision, {share:6.2%} of the query, {ratio:5.2f} times the documentation's")
'''


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for topology in ("app-split", "primary-replica", "subdomain-tenant"):
            answers = {"project_name": f"bench {topology}", "topology": topology}
            project = cookiecutter(str(TEMPLATE), no_input=True, output_dir=folder, extra_context=answers)
            measure(Path(project), topology)


def measure(project: Path, topology: str) -> None:
    print(f"\n{topology}")
    bootstrap = [sys.executable, "manage.py", "bootstrap", "--verbosity=0"]
    subprocess.run(bootstrap, cwd=project, check=True, capture_output=True)
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"}
    subprocess.run([sys.executable, "-c", MEASURE], cwd=project, check=True, env=environment)


if __name__ == "__main__":
    main()
