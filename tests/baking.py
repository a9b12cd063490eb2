"""The template as git would ship it, the combinations of answers it allows, and projects baked from them."""

import itertools
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

TEMPLATE = Path(__file__).parent.parent
SKELETON = "{{cookiecutter.project_slug}}"
SCAFFOLDING = ("_topologies", "_engines", "_pairs", "_includes")
VARIABLES = json.loads((TEMPLATE / "cookiecutter.json").read_text("utf-8"))


class Combination(NamedTuple):
    topology: str
    database_engine: str
    tenant_isolation: str

    def __str__(self) -> str:
        return "-".join(self)


def is_legal(combination: Combination) -> bool:
    """What the pre_gen hook accepts; test_generator compares the two."""
    needs = ("subdomain-tenant", "postgresql")
    return combination.tenant_isolation == "database" or combination[:2] == needs


def all_combinations() -> list[Combination]:
    return [Combination(*choices) for choices in itertools.product(*(VARIABLES[name] for name in Combination._fields))]


TOPOLOGIES: list[str] = VARIABLES["topology"]
ENGINES: list[str] = VARIABLES["database_engine"]
COMBINATIONS = [combination for combination in all_combinations() if is_legal(combination)]
SQLITE = [combination for combination in COMBINATIONS if combination.database_engine == "sqlite"]


def variants(combinations: list[Combination]) -> pytest.MarkDecorator:
    """Parametrize a test so that one worker, with one set of servers, takes all that is about a combination."""
    return pytest.mark.parametrize(
        "combination",
        [pytest.param(item, id=str(item), marks=pytest.mark.xdist_group(str(item))) for item in combinations],
    )


every_variant = variants(COMBINATIONS)


def shipped_files() -> list[str]:
    """The files a user gets: tracked ones, and those about to be, but nothing that git ignores."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=TEMPLATE,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return sorted(name for name in set(listing.split("\0")) if name and (TEMPLATE / name).is_file())


def skeleton_files() -> list[str]:
    return [name.removeprefix(f"{SKELETON}/") for name in shipped_files() if name.startswith(f"{SKELETON}/")]


def copy_of_template(target: Path) -> Path:
    for name in shipped_files():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(TEMPLATE / name, target / name)
    return target


def files_of(project: Path) -> dict[str, bytes]:
    """Every file of a project by its relative path."""
    return {path.relative_to(project).as_posix(): path.read_bytes() for path in project.rglob("*") if path.is_file()}


def overlays_of(combination: Combination) -> tuple[str, ...]:
    """The folders that a combination of answers chooses; most pairs have none."""
    topology, engine, isolation = combination
    pairs = (f"_pairs/{topology}-{choice}/" for choice in (engine, isolation, f"{engine}-{isolation}"))
    return f"_topologies/{topology}/", f"_engines/{engine}/", *pairs


def expected_files(combination: Combination) -> Iterator[str]:
    """The skeleton and the chosen overlays, and the one file the hook writes."""
    chosen = overlays_of(combination)
    yield ".env"
    for name in skeleton_files():
        if name.endswith("/NEXT_STEPS.txt"):
            continue
        overlay = next((prefix for prefix in chosen if name.startswith(prefix)), None)
        if overlay or name.partition("/")[0] not in SCAFFOLDING:
            yield name.removeprefix(overlay or "")
