"""The tables of faults speak of the code as it is. Whether tests notice them is found by hand, with mutants.py."""

import ast
from collections import Counter

import pytest
from baking import SKELETON, TEMPLATE, overlays_of
from mutant_tables import Mutant, Table
from mutants import TABLES, mutated

FAULTS = [pytest.param(table, mutant, id=mutant.name) for table in TABLES for mutant in table.mutants]


@pytest.mark.once
@pytest.mark.parametrize(("table", "mutant"), FAULTS)
def test_a_fault_fits_in_one_place_and_compiles(table: Table, mutant: Mutant) -> None:
    places = [TEMPLATE / SKELETON / overlay / mutant.file for overlay in ("", *overlays_of(table.combination(mutant)))]
    source = next(place for place in places if place.is_file()).read_text("utf-8")

    changed = ast.dump(ast.parse(mutated(mutant, source)))

    assert changed != ast.dump(ast.parse(source))


@pytest.mark.once
def test_no_two_faults_have_one_name() -> None:
    names = Counter((table.topology, mutant.name) for table in TABLES for mutant in table.mutants)
    assert [name for name, count in names.items() if count > 1] == []
