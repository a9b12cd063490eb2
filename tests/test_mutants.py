"""The table of faults in tests/mutants.py speaks of the code as it is. Whether tests notice them is found by hand."""

import ast
from collections import Counter

import pytest
from baking import SKELETON, TEMPLATE
from mutants import MUTANTS, Mutant, mutated

DBROUTING = TEMPLATE / SKELETON / "_topologies" / "primary-replica" / "dbrouting"


@pytest.mark.once
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_fault_fits_in_one_place_and_compiles(mutant: Mutant) -> None:
    source = (DBROUTING / mutant.file).read_text("utf-8")

    changed = ast.dump(ast.parse(mutated(mutant, source)))

    assert changed != ast.dump(ast.parse(source))


@pytest.mark.once
def test_no_two_faults_have_one_name() -> None:
    assert [name for name, count in Counter(mutant.name for mutant in MUTANTS).items() if count > 1] == []
