"""What the generator promises whatever the variant: the right files, whole files, the same files each time."""

import ast
import json
import re
import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from baking import (
    COMBINATIONS,
    ENGINES,
    SCAFFOLDING,
    SKELETON,
    SQLITE,
    TEMPLATE,
    TOPOLOGIES,
    VARIABLES,
    Combination,
    expected_files,
    files_of,
    overlays_of,
    skeleton_files,
)
from processes import environment, run

pytestmark = pytest.mark.once

HOSTILE = 'Tom\'s "Shop" \\ \\n 🛒 café {{ x }} {% y %} ${HOME} # <b> %s'
COOKIECUTTER = (sys.executable, "-m", "cookiecutter", "--no-input")

# PostgreSQL's own words, of triggers, tables, roles and its log.
OF_POSTGRESQL = re.compile(
    "'REPLICA'|REPLICA IDENTITY|REPLICATION|rds[_.](?:logical_)?replication|[Rr]eplication[ _]slot|pg_stat_replication"
)
# Words that only make sense in one topology; a project must not show that others exist.
TRACES = {
    "app-split": ["tenant", "replica"],
    "primary-replica": ["tenant", "app-split", "app_split", "AppSplit", "DATABASE_APPS_MAPPING"],
    "subdomain-tenant": ["replica", "app-split", "app_split", "AppSplit", "DATABASE_APPS_MAPPING"],
}


def as_answer(text: str) -> str:
    """`text` for `name=…`: cookiecutter renders what it is given there, so braces have to be spelt out."""
    return re.sub(r"\{[{%#]", lambda braces: "{{ '" + braces[0] + "' }}", text)


def texts_of(project: Path) -> Iterator[tuple[str, str]]:
    for name, content in files_of(project).items():
        yield name, content.decode("utf-8")


# Overlays


def overlay_files(folder: str) -> set[str]:
    return {name.removeprefix(folder) for name in skeleton_files() if name.startswith(folder)} - {"NEXT_STEPS.txt"}


@pytest.mark.parametrize("combination", COMBINATIONS, ids=str)
def test_no_overlay_replaces_a_file(combination: Combination) -> None:
    skeleton = [name for name in skeleton_files() if name.partition("/")[0] not in SCAFFOLDING]
    merged = skeleton + [name for folder in overlays_of(combination) for name in overlay_files(folder)]
    assert sorted(merged) == sorted(set(merged))


def test_every_choice_has_an_overlay_and_every_overlay_a_choice() -> None:
    folders = {tuple(name.split("/")[:2]) for name in skeleton_files() if name.startswith(("_topologies", "_engines"))}
    choices = {("_topologies", name) for name in TOPOLOGIES} | {("_engines", name) for name in ENGINES}
    assert folders == choices
    pairs = {name.split("/")[1] for name in skeleton_files() if name.startswith("_pairs/")}
    isolations = VARIABLES["tenant_isolation"]
    others = [*ENGINES, *isolations, *(f"{engine}-{isolation}" for engine in ENGINES for isolation in isolations)]
    assert pairs <= {f"{topology}-{other}" for topology in TOPOLOGIES for other in others}


def test_a_topology_says_what_to_do_next(template: Path, tmp_path: Path) -> None:
    for topology in TOPOLOGIES:
        output = run(tmp_path, *COOKIECUTTER, str(template), f"topology={topology}", f"project_slug=my-{topology}")
        position = -1
        for step in (f"cd my-{topology}", "uv sync", "manage.py bootstrap", "manage.py runserver", "uv run pytest"):
            assert output.find(step) > position, f"{step!r} is missing or out of order in:\n{output}"
            position = output.find(step)
        assert ("acme.localhost" in output) == (topology == "subdomain-tenant")


def test_a_server_engine_says_that_the_server_must_run(template: Path, tmp_path: Path) -> None:
    for engine in ENGINES:
        output = run(tmp_path, *COOKIECUTTER, str(template), f"database_engine={engine}", f"project_slug=my-{engine}")
        assert ("must be running" in output) == (engine != "sqlite")


# Which files


def test_holds_the_skeleton_and_the_chosen_overlays(project: Path, combination: Combination) -> None:
    made_by_running = re.compile(r"\.sqlite3|^staticfiles/|\.(mypy|ruff|pytest)_cache/|__pycache__/")
    found = {name for name in files_of(project) if not made_by_running.search(name)}
    assert found == set(expected_files(combination))


def test_stray_files_of_a_working_copy_are_not_baked(template: Path, tmp_path: Path) -> None:
    copy = tmp_path / "template"
    run(tmp_path, "cp", "-r", str(template), str(copy))
    skeleton = copy / SKELETON
    topology = skeleton / "_topologies" / TOPOLOGIES[0]
    for folder in (skeleton, skeleton / "dbrouting", topology / "dbrouting"):
        for cache in (".ruff_cache", ".mypy_cache", ".pytest_cache", "__pycache__"):
            (folder / cache / "0.1").mkdir(parents=True)
            (folder / cache / "0.1" / "stray").write_bytes(b"\x8c{{ nothing }}\xff")
    run(tmp_path, *COOKIECUTTER, str(copy))
    assert set(files_of(tmp_path / "my-shop")) == set(expected_files(SQLITE[0]))


def test_the_working_copy_bakes_what_git_ships(fresh: Callable[..., Path], tmp_path: Path) -> None:
    run(tmp_path, *COOKIECUTTER, str(TEMPLATE), "project_slug=of-working-copy")
    from_working_copy = files_of(tmp_path / "of-working-copy")
    assert set(from_working_copy) == set(files_of(fresh(project_slug="of-working-copy")))


def test_git_would_not_take_secrets_or_databases(fresh: Callable[..., Path]) -> None:
    project = fresh()
    for name in (
        "data/default.sqlite3",
        ".venv/file",
        ".ruff_cache/file",
        "config/__pycache__/file",
        "media/file",
        "staticfiles/file",
    ):
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).touch()
    run(project, "git", "init", "--quiet")
    untracked = run(project, "git", "ls-files", "--others", "--exclude-standard").splitlines()
    assert set(untracked) == set(expected_files(SQLITE[0])) - {".env"}


@pytest.mark.parametrize("combination", COMBINATIONS, ids=str)
def test_shows_no_trace_of_the_other_topologies(fresh: Callable[..., Path], combination: Combination) -> None:
    words = re.compile("|".join(TRACES[combination.topology]), re.IGNORECASE)
    traces = [
        f"{name}: {line.strip()}"
        for name, text in [(name, f"{name}\n{text}") for name, text in texts_of(fresh(**combination._asdict()))]
        for line in text.splitlines()
        if words.search(OF_POSTGRESQL.sub("", line)) and "tenant_isolation" not in line
    ]
    assert traces == []


# Words that only make sense in one isolation.
ISOLATION_WORDS = {
    "database": {"place_of", "database of its own: its shop", "tenants' databases are on the same server"},
    "schema": {"SET LOCAL search_path", "dbrouting.schemas", "PostgreSQL schema"},
}


@pytest.mark.parametrize("isolation", VARIABLES["tenant_isolation"])
def test_shows_no_trace_of_the_other_isolation(fresh: Callable[..., Path], isolation: str) -> None:
    project = fresh(topology="subdomain-tenant", database_engine="postgresql", tenant_isolation=isolation)
    text = "\n".join(text for _, text in texts_of(project))
    assert {word for words in ISOLATION_WORDS.values() for word in words if word in text} == ISOLATION_WORDS[isolation]


# Whole files


def test_python_and_html_and_css_are_free_of_jinja() -> None:
    """They are copied as they are, so they can be linted, formatted and read in the template."""
    assert {"*.py", "*.html", "*.css"} <= set(VARIABLES["_copy_without_render"])
    for name in skeleton_files():
        if name.endswith((".py", ".html", ".css")):
            assert "cookiecutter" not in (TEMPLATE / SKELETON / name).read_text("utf-8"), name


def test_no_brace_is_left_over(project: Path) -> None:
    for name, text in texts_of(project):
        if name.endswith((".py", ".html", ".css")):
            continue
        without_legal = re.sub(r"\$\{\{.*?\}\}", "", text)
        without_legal = re.sub(r"```mermaid.*?```", "", without_legal, flags=re.DOTALL)
        assert re.findall(r"\{\{.*|\}\}.*|\{%.*|%\}.*|\{#.*", without_legal) == [], name
        assert "cookiecutter." not in text, name


def test_no_mark_of_a_merge_is_left_over(project: Path) -> None:
    for name, text in texts_of(project):
        assert re.findall(r"^(?:<{7}|={7}|>{7})(?: .*)?$", text, flags=re.MULTILINE) == [], name


def test_no_brace_is_eaten(project: Path, combination: Combination) -> None:
    sources = ("", *overlays_of(combination))
    for name, text in texts_of(project):
        source = next((path for path in sources_of(name, sources) if path.is_file()), None)
        if source is not None and name.endswith((".yml", ".yaml")):
            expressions = re.compile(r"\$\{\{.*?\}\}")
            assert expressions.findall(text) == expressions.findall(source.read_text("utf-8")), name
        for diagram in re.findall(r"```mermaid.*?```", text, flags=re.DOTALL):
            assert diagram.count("{") == diagram.count("}"), name


def sources_of(name: str, folders: tuple[str, ...]) -> list[Path]:
    return [TEMPLATE / SKELETON / folder / name for folder in folders]


def assert_all_parse(project: Path) -> None:
    for name, text in texts_of(project):
        if name.endswith(".py"):
            ast.parse(text, name)
        elif name.endswith(".toml"):
            tomllib.loads(text)
        elif name.endswith((".yml", ".yaml")):
            list(yaml.safe_load_all(text))
        elif name.endswith(".json"):
            json.loads(text)


@pytest.mark.parametrize("combination", COMBINATIONS, ids=str)
def test_hostile_texts_give_files_that_parse(fresh: Callable[..., Path], combination: Combination) -> None:
    texts = dict.fromkeys(["project_name", "description", "author_name"], as_answer(HOSTILE))
    project = fresh(**combination._asdict(), **texts, project_slug="hostile")
    assert_all_parse(project)
    metadata = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["project"]
    assert metadata["description"] == HOSTILE
    assert [author["name"] for author in metadata["authors"]] == [HOSTILE]


@pytest.mark.parametrize("combination", SQLITE, ids=str)
def test_hostile_texts_leave_a_project_that_passes_its_checks(
    fresh: Callable[..., Path], combination: Combination
) -> None:
    texts = dict.fromkeys(["project_name", "description", "author_name"], as_answer(HOSTILE))
    project = fresh(**combination._asdict(), **texts, project_slug="hostile")
    run(project, "python", "manage.py", "check")


@pytest.mark.parametrize("combination", SQLITE, ids=str)
def test_two_bakes_give_the_same_tracked_files(fresh: Callable[..., Path], combination: Combination) -> None:
    first, second = (files_of(fresh(**combination._asdict())) for _ in range(2))
    assert first.pop(".env") != second.pop(".env")
    assert first == second


# .env


def test_env_is_the_example_with_a_key_and_private(fresh: Callable[..., Path]) -> None:
    project = fresh()
    lines = (project / ".env").read_text("utf-8").splitlines()
    example = (project / ".env.example").read_text("utf-8").splitlines()
    assert [line for line in lines if line not in example] == [lines[example.index("DJANGO_SECRET_KEY=")]]
    assert len(lines[example.index("DJANGO_SECRET_KEY=")]) > len("DJANGO_SECRET_KEY=") + 50
    assert stat.S_IMODE((project / ".env").stat().st_mode) == 0o600


def test_the_readme_lists_the_variables_that_the_settings_read(project: Path, combination: Combination) -> None:
    code = "\n".join(
        path.read_text("utf-8") for folder in ("config", "dbrouting") for path in (project / folder).glob("*.py")
    )
    read = set(re.findall(r'(?:env\.\w+|seconds|database)\((?:"[^"]*", )?"([A-Z_]+)"', code))
    listed = set(
        re.findall(
            r"^\| `([A-Z_]+)` \|", (project / "README.md").read_text("utf-8").partition("## Settings")[2], re.MULTILINE
        )
    )
    shown = set(re.findall(r"^(?:# )?([A-Z_]+)=", (project / ".env.example").read_text("utf-8"), re.MULTILINE))
    of_servers = {"DATABASE_CONN_MAX_AGE"} if combination.database_engine == "sqlite" else set()
    assert read - listed == of_servers
    assert [name for name in listed | shown if name not in code] == []
    assert shown <= listed


# Baking over an existing project


def test_overwriting_keeps_env_and_renews_the_rest(template: Path, tmp_path: Path) -> None:
    command = (*COOKIECUTTER, "--overwrite-if-exists", str(template), "topology=primary-replica")
    run(tmp_path, *command)
    project = tmp_path / "my-shop"
    first = files_of(project)
    (project / ".env").write_text("DJANGO_SECRET_KEY=mine\n")
    (project / "config" / "databases.py").write_text("broken")
    (project / "manage.py").write_text("broken")
    run(tmp_path, *command)
    second = files_of(project)
    assert second.pop(".env") == b"DJANGO_SECRET_KEY=mine\n"
    del first[".env"]
    assert second == first
    assert [name for name in SCAFFOLDING if (project / name).exists()] == []


def test_replaying_gives_the_same_project(template: Path, tmp_path: Path) -> None:
    """A replay file holds the answers as they were typed: braces in it reach the hooks unrendered."""
    replay = tmp_path / "replay"
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"replay_dir": str(replay), "cookiecutters_dir": str(tmp_path / "cloned")}))
    answers = [f"project_name={as_answer(HOSTILE)}", "project_slug=replayed", "topology=subdomain-tenant"]
    typed, replayed = tmp_path / "typed", tmp_path / "again"
    options = ("--config-file", str(config), str(template))
    run(tmp_path, *COOKIECUTTER, *options, "-o", str(typed), *answers)
    (file,) = replay.glob("*.json")
    assert json.loads(file.read_text("utf-8"))["cookiecutter"]["project_name"] == HOSTILE
    run(tmp_path, *COOKIECUTTER[:3], *options, "-o", str(replayed), "--replay-file", str(file))
    first, second = files_of(typed / "replayed"), files_of(replayed / "replayed")
    assert first.pop(".env") != second.pop(".env")
    assert first == second


# A broken template says so


def test_an_overlay_that_would_replace_a_file_is_refused(template: Path, tmp_path: Path, empty_folder: Path) -> None:
    copy = tmp_path / "template"
    run(tmp_path, "cp", "-r", str(template), str(copy))
    (copy / SKELETON / "_engines" / "sqlite" / "manage.py").write_text("")
    (copy / SKELETON / "_engines" / "sqlite" / "config" / "databases.py").write_text("")
    result = subprocess.run(
        [*COOKIECUTTER, str(copy)], cwd=empty_folder, env=environment(), capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert "would replace config/databases.py, manage.py" in result.stderr


# Questions and source


def asked_variables() -> set[str]:
    return {name for name in VARIABLES if not name.startswith("_")}


def test_every_question_and_every_choice_has_a_label() -> None:
    prompts = VARIABLES["__prompts__"]
    assert set(prompts) == asked_variables()
    for name in asked_variables():
        if isinstance(VARIABLES[name], list):
            assert set(prompts[name]) == {"__prompt__", *VARIABLES[name]}
    assert "[" not in json.dumps(prompts), "rich would take a square bracket for markup"


@pytest.mark.parametrize("command", [("check",), ("format", "--check", "--diff")], ids=" ".join)
def test_source_passes_ruff(command: tuple[str, ...]) -> None:
    run(TEMPLATE, "python", "-m", "ruff", *command, "--no-cache")


@pytest.mark.parametrize("command", [("check",), ("format", "--check", "--diff")], ids=" ".join)
def test_the_skeleton_passes_the_ruff_of_a_project(
    template: Path, fresh: Callable[..., Path], tmp_path: Path, command: tuple[str, ...]
) -> None:
    """Overlays import what the merge will put beside them; ruff takes the braces of the folder's name for a glob."""
    skeleton = tmp_path / "skeleton"
    run(tmp_path, "cp", "-r", str(template / SKELETON), str(skeleton))
    run(tmp_path, "cp", str(fresh() / "pyproject.toml"), str(skeleton))
    sources = "src = ['.', '_topologies/*', '_engines/*', '_pairs/*']"
    run(skeleton, "python", "-m", "ruff", *command, "--no-cache", "--config", sources)


@pytest.mark.parametrize("combination", COMBINATIONS, ids=str)
def test_workflows_are_valid(fresh: Callable[..., Path], combination: Combination) -> None:
    for root in (TEMPLATE, fresh(**combination._asdict())):
        workflows = [str(path) for path in (root / ".github" / "workflows").glob("*.yml")]
        assert workflows, f"{root} has no workflow"
        run(root, "check-jsonschema", "--builtin-schema", "vendor.github-workflows", *workflows)
