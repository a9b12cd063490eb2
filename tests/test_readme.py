"""The commands of the READMEs work as printed, one after the other, for someone who has only just arrived.

A fence marked `console` is run: each line that starts with `$ ` is a command, a backslash at its end continues it, the
other lines are what it prints. `runserver` is started, asked for a page and stopped. Other fences are not run.
"""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from baking import TEMPLATE, Combination, every_variant
from conftest import DatabasesOf
from processes import environment, free_port, run, serving, tool

PUBLISHED = "gh:org/multidb-template"
SUITE = "uv run pytest"


def console_commands(markdown: str) -> list[str]:
    """The commands of all `console` fences, in order."""
    commands = []
    for fence in re.findall(r"^[ \t]*```console\n(.*?)^[ \t]*```", markdown, flags=re.DOTALL | re.MULTILINE):
        lines = re.sub(r"\\\n\s*(?:> )?", " ", fence).splitlines()
        commands += [line.strip().removeprefix("$ ") for line in lines if line.strip().startswith("$ ")]
    return commands


def test_only_the_commands_of_console_fences_are_run() -> None:
    markdown = (
        "```console\n$ cd x\nprinted\n$ a \\\n    b\n```\n```bash\nrm y\n```\n  ```console\n  $ c  # why\n  ```\n$ no\n"
    )
    assert console_commands(markdown) == ["cd x", "a  b", "c  # why"]


class Shell:
    """A reader's terminal: it remembers where `cd` went."""

    def __init__(self, folder: Path, log: Path, **variables: str) -> None:
        self.folder = folder
        self.log = log
        self.variables = variables

    def type(self, line: str) -> None:
        for command in line.split(" && "):
            self.type_one(command)

    def type_one(self, command: str) -> None:
        words = shlex.split(command, comments=True)
        if words[0] == "cd":
            self.folder = self.folder / words[1]
        elif "runserver" in words:
            self.visit(words)
        elif words[:2] != ["docker", "compose"]:  # the servers are there; tests/test_compose.py is about these
            run(self.folder, "bash", "-euo", "pipefail", "-c", command, stdin="\n" * 20, **self.variables)

    def visit(self, words: list[str]) -> None:
        port = free_port()
        command = [*words[: words.index("runserver") + 1], str(port), "--noreload"]
        with serving(self.folder, [tool(words[0]), *command[1:]], port, self.log, **self.variables) as address:
            assert httpx.get(address, headers={"Host": "localhost"}).status_code == 200


@pytest.mark.once
@every_variant
def test_the_readme_of_a_project_works(
    fresh: Callable[..., Path], databases: DatabasesOf, combination: Combination, tmp_path: Path
) -> None:
    """The project's own suite is one of the commands."""
    tool("uv")
    project = fresh(**combination._asdict())
    commands = console_commands((project / "README.md").read_text("utf-8"))
    typed = "\n".join(commands)
    for step in ("uv sync", "manage.py bootstrap", "manage.py runserver", SUITE):
        assert step in typed
    shell = Shell(project, tmp_path / "server.log", **databases(project, combination, "readme_").environment)
    for command in commands:
        shell.type(command)


@pytest.mark.once
@pytest.mark.xdist_group("pip")
def test_pip_and_a_virtual_environment_do_what_the_last_screen_says(template: Path, tmp_path: Path) -> None:
    screen = run(tmp_path, sys.executable, "-m", "cookiecutter", "--no-input", str(template))
    (install,) = [line for line in screen.splitlines() if "pip install" in line]
    run(tmp_path / "my-shop", "bash", "-euc", f"{install}; python manage.py check; python -m pytest --version")
    run(tmp_path / "my-shop", "git", "init", "--quiet")
    untracked = run(tmp_path / "my-shop", "git", "ls-files", "--others", "--exclude-standard", "--directory")
    assert "build/" not in untracked
    assert ".egg-info" not in untracked


@pytest.mark.once
def test_the_template_readme_generates_and_runs_a_project(template: Path, tmp_path: Path) -> None:
    tool("uvx")
    commands = console_commands((template / "README.md").read_text("utf-8"))
    assert any(PUBLISHED in command for command in commands)
    shell = Shell(tmp_path, tmp_path / "server.log")
    for command in commands:
        if command != SUITE or shell.folder != tmp_path:
            shell.type(command.replace(PUBLISHED, str(template)))


def test_the_test_command_of_the_template_readme_is_the_one_ci_runs() -> None:
    assert SUITE in (TEMPLATE / "README.md").read_text("utf-8")
    assert f"{SUITE} " in (TEMPLATE / ".ci" / "run").read_text("utf-8")
    assert ".ci/run " in (TEMPLATE / ".github" / "workflows" / "tests.yml").read_text("utf-8")


def test_the_test_command_collects_this_suite() -> None:
    tool("uv")
    here = environment(UV_PROJECT_ENVIRONMENT=sys.prefix, UV_NO_SYNC="1")
    result = subprocess.run(
        [*SUITE.split(), "--collect-only", "-q", "-p", "no:xdist", "-o", "addopts="],
        cwd=TEMPLATE,
        env=here,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "tests/test_variants.py" in result.stdout
