"""Doing what a page says: its commands are typed, its changes made, in the order of the page.

`console` is typed, line by line. `diff` changes the file that its first line, `--- path`, names: what each hunk, up to
`@@`, takes must be there once; one that only adds goes to the end. `python` and `html` are files, named by their first
line. Fences of other kinds are for the reader.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
NAMED = re.compile(r"(?:# |<!-- )(\S+)(?: -->)?\n")


class Step(NamedTuple):
    kind: str
    text: str


class Recipe:
    """The sections of a page by their headings, of the second level."""

    def __init__(self, markdown: str) -> None:
        _, *sections = re.split(r"^## ", markdown, flags=re.MULTILINE)
        self.sections = {head: body for head, _, body in (section.partition("\n") for section in sections)}

    def steps(self, heading: str) -> Iterator[Step]:
        yield from (Step(*found) for found in FENCE.findall(self.sections[heading]))

    def follow(self, heading: str, project: Path, type_command: Callable[[str], object]) -> None:
        for kind, text in self.steps(heading):
            match kind:
                case "console":
                    for line in text.splitlines():
                        type_command(line.removeprefix("$ "))
                case "diff":
                    change(project, text)
                case "python" | "html":
                    write(project, text)


def change(project: Path, diff: str) -> None:
    head, _, hunks = diff.partition("\n")
    path = project / head.removeprefix("--- ")
    content = path.read_text("utf-8") if path.exists() else ""
    for hunk in hunks.split("@@\n"):
        lines = hunk.splitlines(keepends=True)
        old = "".join(line[1:] for line in lines if line[0] in " -")
        new = "".join(line[1:] for line in lines if line[0] in " +")
        assert old == "" or content.count(old) == 1, f"{path.name} has {content.count(old)} times:\n{old}"
        content = content.replace(old, new) if old else content + new
    path.write_text(content, "utf-8")


def write(project: Path, text: str) -> None:
    named = NAMED.match(text)
    assert named, f"The first line names no file:\n{text}"
    path = project / named[1]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
