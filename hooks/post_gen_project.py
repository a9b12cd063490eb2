"""Finish the project: merge the chosen overlays, write `.env`, say what to do next.

Overlays only add files. The template's tests prove it; the hook refuses to hide a mistake by overwriting.
"""

import os
import shlex
import shutil
import sys
from pathlib import Path

PROJECT = Path.cwd()
TOPOLOGY = {{"%r" | format(cookiecutter.topology)}}
ENGINE, ISOLATION = {{"%r, %r" | format(cookiecutter.database_engine, cookiecutter.tenant_isolation)}}
OVERLAYS = (
    PROJECT / "_topologies" / TOPOLOGY,
    PROJECT / "_engines" / ENGINE,
)
# What a topology needs on one engine, in one isolation, or on the one in the other, only; most need nothing.
PAIRS = tuple(PROJECT / "_pairs" / f"{TOPOLOGY}-{choice}" for choice in (ENGINE, ISOLATION, f"{ENGINE}-{ISOLATION}"))
SCAFFOLDING = ("_topologies", "_engines", "_pairs", "_includes")
NEXT_STEPS = "NEXT_STEPS.txt"
EMPTY_KEY = "DJANGO_SECRET_KEY="
# Only an overlay brings this file: if it is there before the merge, an older project is being overwritten.
SEAM = PROJECT / "config" / "databases.py"
CACHES = frozenset({"__pycache__", ".ruff_cache", ".mypy_cache", ".pytest_cache"})


def overlay_files():
    """Each file of the chosen overlays with its place in the project."""
    for overlay in OVERLAYS:
        if not overlay.is_dir():
            choices = sorted(path.name for path in overlay.parent.iterdir())
            raise SystemExit(f"{overlay.name!r} is not one of {', '.join(choices)}.")
    for overlay in OVERLAYS + PAIRS:
        for source in sorted(overlay.rglob("*")):
            if source.is_file() and source.name != NEXT_STEPS:
                yield source, PROJECT / source.relative_to(overlay)


def refuse_replacements(files):
    targets = [target for _, target in files]
    clashes = {target for target in targets if targets.count(target) > 1}
    if not SEAM.exists():
        clashes.update(target for target in targets if target.exists())
    if clashes:
        names = ", ".join(sorted(str(target.relative_to(PROJECT)) for target in clashes))
        raise SystemExit(f"Bug in the template: an overlay would replace {names}. Please report it.")


def merge(files):
    for source, target in files:
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)


def remove_caches():
    """A template used from a working copy may bring caches along; those of an older project stay."""
    for root in [PROJECT / name for name in SCAFFOLDING] if SEAM.exists() else [PROJECT]:
        for folder, names, _ in os.walk(root):
            for name in CACHES.intersection(names):
                names.remove(name)
                shutil.rmtree(Path(folder, name))


def remove_scaffolding():
    for name in SCAFFOLDING:
        shutil.rmtree(PROJECT / name, ignore_errors=True)


def write_env():
    """Secrets live only in `.env`, which git ignores: an existing one is the user's and stays."""
    env = PROJECT / ".env"
    if env.exists():
        return
    lines = (PROJECT / ".env.example").read_text("utf-8").splitlines()
    lines[lines.index(EMPTY_KEY)] += os.urandom(48).hex()
    env.touch(mode=0o600)
    env.write_text("\n".join(lines) + "\n", "utf-8")


def next_steps():
    texts = [overlay / NEXT_STEPS for overlay in OVERLAYS]
    return "\n".join(text.read_text("utf-8") for text in texts if text.exists())


def project_folder():
    """The project as seen from the folder the user stands in."""
    start = Path(os.environ.get("PWD", PROJECT.parent))
    return str(PROJECT.relative_to(start) if PROJECT.is_relative_to(start) else PROJECT)


def main():
    try:
        remove_caches()
        files = list(overlay_files())
        refuse_replacements(files)
        message = next_steps()
        merge(files)
        write_env()
    finally:
        remove_scaffolding()
    sys.stdout.reconfigure(errors="replace")
    print(f"\nReady. Next:\n\n    cd {shlex.quote(project_folder())}\n{message}")


main()
