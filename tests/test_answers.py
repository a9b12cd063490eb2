"""Answers that cannot become a project are refused, all at once, each with the answer that would do."""

import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from baking import ENGINES, TEMPLATE, TOPOLOGIES, VARIABLES, Combination, all_combinations, is_legal
from cookiecutter.exceptions import FailedHookException
from cookiecutter.utils import create_env_with_context
from processes import environment
from test_generator import HOSTILE

pytestmark = pytest.mark.once

GOOD = {name: value for name, value in VARIABLES.items() if isinstance(value, str) and not name.startswith("_")} | {
    "project_slug": "my-shop",
    "topology": TOPOLOGIES[0],
    "database_engine": ENGINES[0],
    "tenant_isolation": "database",
}


@pytest.fixture
def refusal(tmp_path: Path) -> Callable[..., str]:
    """What the pre_gen hook says to the answers, or nothing: the hook alone, rendered as cookiecutter does."""

    def refuse(**answers: str) -> str:
        context = {"cookiecutter": GOOD | {"_template": "gh:org/template"} | answers}
        source = (TEMPLATE / "hooks" / "pre_gen_project.py").read_text("utf-8")
        hook = tmp_path / "hook.py"
        hook.write_text(create_env_with_context(context).from_string(source).render(**context), "utf-8")
        result = subprocess.run([sys.executable, hook], capture_output=True, encoding="utf-8", check=False)
        assert result.returncode == (1 if result.stderr else 0)
        return result.stderr

    return refuse


@pytest.mark.parametrize(
    "slug", ["a", "my-shop", "my_shop", "shop2", "a" * 40, "configuration", "django-shop", "orders-site"]
)
def test_a_plain_slug_is_accepted(refusal: Callable[..., str], slug: str) -> None:
    assert refusal(project_slug=slug) == ""


@pytest.mark.parametrize(
    ("slug", "instead"),
    [
        ("My-Shop", "my-shop"),
        ("2shops", "shops"),
        ("my shop", "my-shop"),
        ("café", "cafe"),
        ("shop.one", "shop-one"),
        ("../shop", "shop"),
        ("shop-", "shop"),
        ("_shop", "shop"),
        ("a" * 41, "a" * 40),
        ("店", "my-shop"),
        ("config", "config-site"),
        ("django", "django-site"),
        ("factory_boy", "factory_boy-site"),
    ],
)
def test_a_slug_that_cannot_name_everything_is_refused(refusal: Callable[..., str], slug: str, instead: str) -> None:
    error = refusal(project_slug=slug)
    assert "project_slug" in error
    assert f"Instead: project_slug={instead}\n" in error
    assert refusal(project_slug=instead) == ""


def test_names_of_packages_and_dependencies_are_refused(
    refusal: Callable[..., str], fresh: Callable[..., Path]
) -> None:
    taken = {"django", "factory", "tests", "postgres"}
    for topology in TOPOLOGIES:
        for engine in ENGINES:
            project = fresh(topology=topology, database_engine=engine)
            taken |= {path.parent.name for path in project.glob("*/__init__.py")}
            taken |= dependencies(project)
    accepted = [name for name in sorted(taken) if not refusal(project_slug=name)]
    assert accepted == []


def dependencies(project: Path) -> set[str]:
    metadata = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))
    groups = metadata.get("dependency-groups", {}).values()
    requirements = metadata["project"]["dependencies"] + [item for group in groups for item in group]
    names = [item for item in requirements if isinstance(item, str)]
    return {
        "".join(part if part.isalnum() or part in "-_" else " " for part in name).split()[0].lower() for name in names
    }


@pytest.mark.parametrize("domain", ["example.com", "localhost", "a.b-c.example", "xn--bcher-kva.example", "1.example"])
def test_a_host_name_is_accepted(refusal: Callable[..., str], domain: str) -> None:
    assert refusal(domain_name=domain) == ""


@pytest.mark.parametrize(
    ("domain", "instead"),
    [
        ("https://example.com/shop", "example.com"),
        ("example.com:8000", "example.com"),
        ("*.example.com", "example.com"),
        ("Example.COM", "example.com"),
        ("example.com.", "example.com"),
        (".example.com", "example.com"),
        ("Bücher.example", "xn--bcher-kva.example"),
        ("127.0.0.1", "example.com"),
        ("-a.example", "example.com"),
        ("a..example", "example.com"),
        ("my shop.example", "example.com"),
        (f"{'a' * 64}.example", "example.com"),
        ("", "example.com"),
    ],
)
def test_a_domain_that_is_no_host_is_refused(refusal: Callable[..., str], domain: str, instead: str) -> None:
    error = refusal(domain_name=domain)
    assert f"Instead: domain_name={instead}\n" in error
    assert ("punycode" in error) == (not domain.isascii())


@pytest.mark.parametrize("variable", ["project_name", "description", "author_name"])
@pytest.mark.parametrize("character", ["\n", "\r", "\t", "\0", "\x1b", "\x7f", "\x85", "\u2028"])
def test_a_line_break_or_control_character_is_refused(
    refusal: Callable[..., str], variable: str, character: str
) -> None:
    assert f"Instead: {variable}=My Shop\n" in refusal(**{variable: f"My{character}Shop"})


@pytest.mark.parametrize("name", ["", "  "])
def test_an_empty_project_name_is_refused(refusal: Callable[..., str], name: str) -> None:
    assert "project_name is empty" in refusal(project_name=name)


@pytest.mark.parametrize(
    "text", [HOSTILE, "'''", '"""', "\\", "👩\u200d💻", "O'Brien & Søn", "{{", "{% raw %}", "\\N{X}"]
)
def test_any_other_text_is_accepted(refusal: Callable[..., str], text: str) -> None:
    assert refusal(project_name=text, description=text, author_name=text) == ""


@pytest.mark.parametrize("combination", all_combinations(), ids=str)
def test_exactly_the_legal_combinations_are_accepted(refusal: Callable[..., str], combination: Combination) -> None:
    error = refusal(**combination._asdict())
    assert (error == "") == is_legal(combination)


def test_all_errors_are_told_at_once(refusal: Callable[..., str]) -> None:
    error = refusal(project_name="", project_slug="X", domain_name="http://x", tenant_isolation="schema")
    assert "4 answer(s)" in error
    for word in ("project_name", "project_slug", "domain_name", "subdomain-tenant"):
        assert word in error


def test_a_variable_a_replay_file_has_too_many_is_refused(refusal: Callable[..., str]) -> None:
    assert "did you mean 'topology'?" in refusal(toplogy="app-split")


# On the command line


def cookiecutter(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The program as users run it, or as `python -m` does."""
    script = str(Path(sys.executable).parent / "cookiecutter")
    return subprocess.run(
        [script, *words], cwd=folder, env=environment(), capture_output=True, encoding="utf-8", check=False
    )


def command_in(error: str) -> list[str]:
    """The corrected command: the last line of the hook's block."""
    (line,) = [line for line in error.splitlines() if line.startswith("  cookiecutter ")]
    return shlex.split(line)


@pytest.mark.parametrize(
    ("typed", "instead"),
    [
        ("toplogy=primary-replica", "topology=primary-replica"),
        ("database-engine=mysql", "database_engine=mysql"),
        ("projectname=Tom's Shop", "project_name=Tom's Shop"),
    ],
)
def test_a_misspelt_variable_is_refused_and_the_corrected_command_works(
    template: Path, tmp_path: Path, empty_folder: Path, typed: str, instead: str
) -> None:
    result = cookiecutter(empty_folder, "--no-input", str(template), typed, "project_slug=corrected")
    assert result.returncode == 1
    assert list(empty_folder.iterdir()) == []
    corrected = command_in(result.stderr)
    assert instead in corrected
    again = cookiecutter(tmp_path, *corrected[1:])
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "corrected" / ".env").exists()


def test_python_m_cookiecutter_is_watched_too(template: Path, empty_folder: Path) -> None:
    command = [sys.executable, "-m", "cookiecutter", "--no-input", str(template), "zzz=1"]
    result = subprocess.run(command, cwd=empty_folder, capture_output=True, encoding="utf-8", check=False)
    assert result.returncode == 1
    assert "'zzz' is not a variable" in result.stderr


def test_the_value_of_an_option_is_not_taken_for_a_variable(template: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a=b"
    for option in (["-o", str(folder)], [f"--output-dir={folder}", "-f"]):
        result = cookiecutter(tmp_path, "--no-input", *option, str(template))
        assert result.returncode == 0, result.stderr


def test_a_refused_answer_leaves_nothing_and_the_corrected_command_works(
    template: Path, tmp_path: Path, empty_folder: Path
) -> None:
    answers = ("project_name=Tom's Shop", "project_slug=Tom's", "domain_name=http://x.example", "topology=app-split")
    result = cookiecutter(empty_folder, "--no-input", str(template), *answers)
    assert result.returncode == 1
    again = cookiecutter(tmp_path, *command_in(result.stderr)[1:])
    assert again.returncode == 0, again.stderr


def test_prompted_answers_are_all_in_the_corrected_command(template: Path, tmp_path: Path, empty_folder: Path) -> None:
    prompted = "Tom's Shop\n2shop\nText\nTom\nExample.com\n2\n1\n1\n"
    result = subprocess.run(
        [str(Path(sys.executable).parent / "cookiecutter"), str(template)],
        cwd=empty_folder,
        env=environment(),
        input=prompted,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    corrected = command_in(result.stderr)
    assert "project_name=Tom's Shop" in corrected
    assert "topology=primary-replica" in corrected
    assert cookiecutter(tmp_path, *corrected[1:]).returncode == 0


def test_a_wrong_choice_names_the_choices(template: Path, empty_folder: Path) -> None:
    """Cookiecutter itself refuses it, before any hook and with a traceback; its last line says what to type."""
    result = cookiecutter(empty_folder, "--no-input", str(template), "topology=sharded")
    assert result.returncode == 1
    assert all(choice in result.stderr.splitlines()[-1] for choice in ["topology", *TOPOLOGIES])


def test_a_refusal_reaches_callers_of_the_python_interface(fresh: Callable[..., Path]) -> None:
    with pytest.raises(FailedHookException):
        fresh(project_slug="Not A Slug")


def test_a_name_without_letters_still_has_a_default_slug(fresh: Callable[..., Path]) -> None:
    assert fresh(project_name="🛒").name == "my-shop"
