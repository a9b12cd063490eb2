"""How long a bake takes, compared with a template of one file: `uv run python bench/generation.py`.

The limit is 1.5 times. Both are run as the command a user types; the shortest of several runs counts. What counts is
processor time, hooks included: a bake waits for nothing else, and a busy machine does not change it.
"""

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

TEMPLATE = Path(__file__).parent.parent
LIMIT = 1.5
ROUNDS = 15


def one_file_template(folder: Path) -> Path:
    project = folder / "one-file" / "{{cookiecutter.project_slug}}"
    project.mkdir(parents=True)
    (project / "README.md").write_text("# {{ cookiecutter.project_slug }}\n")
    (project.parent / "cookiecutter.json").write_text(json.dumps({"project_slug": "my-shop"}))
    return project.parent


def seconds_for(template: Path, *answers: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "cookiecutter", "--no-input", "-o", folder, str(template), *answers]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    topologies = json.loads((TEMPLATE / "cookiecutter.json").read_text("utf-8"))["topology"]
    with tempfile.TemporaryDirectory() as folder:
        small = one_file_template(Path(folder))
        times: dict[str, list[float]] = {name: [] for name in ("one file", *topologies)}
        for _ in range(ROUNDS):
            times["one file"].append(seconds_for(small))
            for topology in topologies:
                times[topology].append(seconds_for(TEMPLATE, f"topology={topology}"))
    base = min(times["one file"])
    for name, values in times.items():
        print(f"{name:20} {min(values):.3f} s   {min(values) / base:.2f} times   (limit {LIMIT})")


if __name__ == "__main__":
    main()
