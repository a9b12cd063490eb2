"""Faults, one table for each topology; ``mutants.py`` puts them into a project."""

from typing import NamedTuple

from baking import Combination


class Mutant(NamedTuple):
    """``original``, which ``file`` holds once, becomes ``mutated``. Unnoticed, it would cost the project ``harm``.

    ``survives`` says why no test could tell, of those that no test notices. The project is on SQLite, unless ``needs``
    names the engine and isolation that the file, or the test that notices, is about.
    """

    name: str
    file: str
    original: str
    mutated: str
    harm: str
    survives: str = ""
    needs: tuple[str, str] = ("sqlite", "database")


class Table(NamedTuple):
    """``first`` are of each file the tests that know it best: most faults are noticed there, within seconds."""

    topology: str
    first: dict[str, tuple[str, ...]]
    mutants: tuple[Mutant, ...]

    def combination(self, mutant: Mutant) -> Combination:
        """What must be baked to have the file of ``mutant``."""
        return Combination(self.topology, *mutant.needs)
