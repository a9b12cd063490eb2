"""Faults put into a baked project, one at a time: do its own tests notice each?

    uv run python tests/mutants.py                          # all of them, in half an hour
    uv run python tests/mutants.py --topology subdomain-tenant
    uv run python tests/mutants.py pinning.py merged        # those whose file or name contains one of the words
    uv run python tests/mutants.py --tests tests/test_model.py    # which of them that file alone notices

What survives needs a test, or a reason in the table why nobody could tell: the exit code counts those without. Once
the code has changed so that a fault no longer fits, tests/test_mutants.py says so: mend the table with it.
"""

import argparse
import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from baking import Combination, copy_of_template
from mutant_tables import Mutant, Table, app_split, primary_replica, subdomain_tenant
from processes import environment
from servers import PostgreSQL, kept_folder, postgresql_binaries

AT_ONCE = 2
# A fault may let a test wait for ever, and is noticed by that: so many times what the tests take without, or seconds.
PATIENCE, AT_LEAST = 5, 60
TABLES = (app_split.TABLE, primary_replica.TABLE, subdomain_tenant.TABLE)


class Projects:
    """A project for each combination, baked when it is first needed, and the server of those that need one."""

    def __init__(self, folder: Path, server: PostgreSQL | None) -> None:
        self.folder = folder
        self.server = server
        self.template = copy_of_template(folder / "template")
        self._baked: dict[Combination, Path] = {}
        self._limits: dict[Combination, float] = {}
        self._names = (f"mutant_{number}" for number in itertools.count())

    def baked(self, combination: Combination) -> Path:
        if combination not in self._baked:
            target = self.folder / str(combination)
            answers = [f"{name}={answer}" for name, answer in combination._asdict().items()]
            command = [sys.executable, "-m", "cookiecutter", "--no-input", "-o", target, self.template, *answers]
            subprocess.run([*command, "project_slug=my-shop"], check=True, capture_output=True)
            self._baked[combination] = target / "my-shop"
        return self._baked[combination]

    def environment(self) -> dict[str, str]:
        """Databases of its own for each run of a suite, for two run at once."""
        if self.server is None:
            return {}
        name = next(self._names)
        return {
            "DATABASE_URL": self.server.url(name),
            "AUTH_DATABASE_URL": self.server.url(f"{name}_auth"),
            "ORDERS_DATABASE_URL": self.server.url(f"{name}_orders"),
            "DATABASE_ADMIN_URL": "",
            "TENANT_DATABASE_PREFIX": name,
        }

    def failure_without(self, combination: Combination, tests: Sequence[str]) -> str:
        """What fails already in the project as it is; empty if nothing does."""
        begun = time.monotonic()
        failure = self.first_failure(self.baked(combination), combination, tests)
        self._limits[combination] = max(PATIENCE * (time.monotonic() - begun), AT_LEAST)
        return failure

    def verdict(self, table: Table, mutant: Mutant, tests: Sequence[str]) -> str:
        """The test that notices ``mutant`` in a copy of its project; empty if none does."""
        project = self.baked(table.combination(mutant))
        with tempfile.TemporaryDirectory() as folder:
            copy = shutil.copytree(project, Path(folder) / project.name)
            file = copy / mutant.file
            file.write_text(mutated(mutant, file.read_text("utf-8")), "utf-8")
            first = [f"tests/{name}" for name in table.first[mutant.file]]
            for selection in [tests] if tests else [first, []]:
                if noticed := self.first_failure(copy, table.combination(mutant), selection):
                    return noticed
        return ""

    def first_failure(self, project: Path, combination: Combination, tests: Sequence[str]) -> str:
        variables = {} if combination.database_engine == "sqlite" else self.environment()
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-rfE", "--show-capture=no", "--tb=no", *tests]
        with subprocess.Popen(
            [*command, "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:randomly"],
            cwd=project,
            env=environment(PWD=str(project), **variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
        ) as process:
            limit = self._limits.get(combination)
            try:
                output, _ = process.communicate(timeout=limit)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                return f"no end within {limit:.0f} seconds"
        if process.returncode == 0:
            return ""
        failed = [line for line in output.splitlines() if line.startswith(("FAILED ", "ERROR "))]
        return failed[0].split(" - ")[0] if failed else f"pytest's exit code {process.returncode}"


@contextlib.contextmanager
def projects(needs_server: bool) -> Iterator[Projects]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = None
        if needs_server:
            server = PostgreSQL(stack.enter_context(kept_folder()), "primary", postgresql_binaries())
            server.create()
        yield Projects(folder, server)


def mutated(mutant: Mutant, source: str) -> str:
    """``source`` with the fault; ValueError if the table speaks of another text."""
    found = source.count(mutant.original)
    if found != 1:
        raise ValueError(
            f"{mutant.name!r}: {mutant.file} has its original text {found} times. Mend tests/mutant_tables."
        )
    return source.replace(mutant.original, mutant.mutated)


def chosen(table: Table, words: Sequence[str]) -> list[Mutant]:
    return [one for one in table.mutants if not words or any(word in one.file or word in one.name for word in words)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="parts of files' or mutants' names")
    parser.add_argument("--topology", choices=[table.topology for table in TABLES], help="the faults of this one alone")
    parser.add_argument("--tests", nargs="+", default=[], help="run these tests of the project alone")
    options = parser.parse_args()
    tables = [table for table in TABLES if options.topology in (None, table.topology)]
    pairs = [(table, mutant) for table in tables for mutant in chosen(table, options.words)]
    if not pairs:
        parser.error(f"No mutant's file or name contains {' or '.join(options.words)}.")
    combinations = dict.fromkeys(table.combination(mutant) for table, mutant in pairs)
    needs_server = any(combination.database_engine != "sqlite" for combination in combinations)
    with projects(needs_server) as found, ThreadPoolExecutor(AT_ONCE) as pool:
        for combination in combinations:
            if failure := found.failure_without(combination, options.tests):
                parser.error(f"Without any mutant the tests of {combination} fail already: {failure}")
        survivors = []
        verdicts = pool.map(lambda pair: found.verdict(*pair, options.tests), pairs)
        for (_, mutant), noticed in zip(pairs, verdicts, strict=True):
            if not noticed:
                survivors.append(mutant)
            reason = f"survived: {mutant.survives or mutant.harm}"
            print(f"{mutant.file:28} {mutant.name}\n{'':28} {noticed or reason}", flush=True)
    unexplained = [mutant for mutant in survivors if not mutant.survives]
    print(f"{len(pairs) - len(survivors)} of {len(pairs)} killed; {len(unexplained)} of the others unexplained")
    return len(unexplained)


if __name__ == "__main__":
    sys.exit(main())
