"""The ground floor, what runs in every query: small, and standing on nothing from the floors above."""

import ast
import io
import json
import tokenize
from pathlib import Path

import pytest
from baking import COMBINATIONS, SQLITE, TOPOLOGIES, Combination
from conftest import Bake
from processes import run

GROUND_LIMIT = 500
OVERRIDES_LIMIT = 120
# Beside what runs in every query: what runs once or twice in a request.
PER_REQUEST = {"middleware.py", "consistency.py", "replication.py", "hosts.py", "site_cache.py"}
PER_REQUEST_LIMIT = 200
# Beside the routing: the database backend, whose connections are taken on each request.
BACKEND = {"stock.py", "wrapper.py", "base.py", "sessions.py", "transactions.py"}
BACKEND_LIMIT = 400
ON_EVERY_GROUND = {"blocks", "mapping", "overrides", "routers"}
GROUND = {
    "app-split": ON_EVERY_GROUND,
    "primary-replica": ON_EVERY_GROUND
    | {"consistency", "middleware", "pinning", "replica_routers", "replicas", "replication", "writes"},
    "subdomain-tenant": ON_EVERY_GROUND
    | {"hosts", "middleware", "site_cache", "tenant_connections", "tenant_context", "tenant_names"}
    | {"tenant_backend/base", "tenant_backend/stock", "tenant_backend/wrapper"}
    | {"schemas/sessions", "schemas/transactions"},
}
# What an engine changes is data; what keeps the tenants apart is code.
# And MySQL's positions, which are the longest.
VARIANTS = [
    *SQLITE,
    *(item for item in COMBINATIONS if item.tenant_isolation == "schema"),
    Combination("primary-replica", "mysql", "database"),
]
SAMPLES = ("accounts", "catalogue", "orders", "demo")
PROJECT_PACKAGES = ("config", "dbrouting", *SAMPLES)
IMPORTS = """
import grimp, json, sys
graph = grimp.build_graph(*sys.argv[1:], cache_dir=None)
print(json.dumps({module: sorted(graph.find_modules_directly_imported_by(module)) for module in graph.modules}))
"""
IGNORED_TOKENS = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


def lines_of_code(source: str) -> int:
    """Lines that hold code: no blanks, comments or docstrings."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    lines = {
        line for token in tokens if token.type not in IGNORED_TOKENS for line in range(token.start[0], token.end[0] + 1)
    }
    return len(lines - docstring_lines(ast.parse(source)))


def docstring_lines(tree: ast.Module) -> set[int]:
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)]
    bodies += [node.body for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef)]
    return {
        line
        for body in bodies
        if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)
        for line in range(body[0].lineno, (body[0].end_lineno or 0) + 1)
    }


def ground_files(project: Path, topology: str) -> list[Path]:
    """Not every name exists in every variant; those that do are counted."""
    return [path for name in sorted(GROUND[topology]) if (path := project / "dbrouting" / f"{name}.py").is_file()]


def test_only_code_is_counted() -> None:
    source = (
        '"""Doc."""\n\n# comment\nimport os\n\n\ndef f():\n    """Doc\n    more.\n    """\n    return """a\n    b"""\n'
    )
    assert lines_of_code(source) == 4


def test_every_topology_has_a_ground_floor() -> None:
    assert set(GROUND) == set(TOPOLOGIES)


@pytest.mark.parametrize("combination", VARIANTS, ids=str)
def test_the_ground_floor_is_small(baked: Bake, combination: Combination) -> None:
    sizes = {
        path.name: lines_of_code(path.read_text("utf-8"))
        for path in ground_files(baked(combination), combination.topology)
    }
    assert sizes["overrides.py"] <= OVERRIDES_LIMIT, sizes
    assert sum(sizes.pop(name, 0) for name in BACKEND) <= BACKEND_LIMIT, sizes
    assert sum(sizes.pop(name, 0) for name in PER_REQUEST) <= PER_REQUEST_LIMIT, sizes
    assert sum(sizes.values()) <= GROUND_LIMIT, sizes


@pytest.mark.parametrize("combination", VARIANTS, ids=str)
def test_the_ground_floor_imports_nothing_from_above(baked: Bake, combination: Combination) -> None:
    project = baked(combination)
    imports = json.loads(run(project, "python", "-c", IMPORTS, *PROJECT_PACKAGES, PYTHONPATH="."))
    files = ground_files(project, combination.topology)
    ground = {".".join(path.relative_to(project).with_suffix("").parts) for path in files}
    upward = {module: above for module in sorted(ground) if (above := sorted(set(imports[module]) - ground))}
    assert upward == {}


@pytest.mark.parametrize("combination", VARIANTS, ids=str)
def test_routing_knows_nothing_of_the_sample_apps(baked: Bake, combination: Combination) -> None:
    """The sample apps are there to be replaced by the reader's own."""
    imports = json.loads(run(baked(combination), "python", "-c", IMPORTS, *PROJECT_PACKAGES, PYTHONPATH="."))
    dependent = {
        module: samples
        for module, imported in imports.items()
        if module.startswith("dbrouting.")
        and (samples := [name for name in imported if name.partition(".")[0] in SAMPLES])
    }
    assert dependent == {}
