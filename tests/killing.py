"""The other end of killable.py: orders, and what becomes of them."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from processes import environment

KILLABLE = Path(__file__).parent / "killable.py"


class Killable:
    """A project whose commands are run, and killed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def order(self, do: str, *words: str, **kill: Any) -> dict[str, Any]:
        print(json.dumps({"do": do, "words": words, **kill}), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def done(self, do: str, *words: str) -> dict[str, Any]:
        answer = self.order(do, *words)
        assert "answer" in answer, f"{do} {' '.join(words)}: {answer}"
        return answer

    def manage(self, *words: str) -> int:
        """How many statements it took."""
        return self.done("manage", *words)["statements"]

    def kill(self, do: str, *words: str, **kill: Any) -> None:
        assert self.order(do, *words, **kill) == {"killed": True}, (words, kill)


@contextmanager
def killable_process(project: Path, **changes: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, KILLABLE],
        cwd=project,
        env=environment(**changes),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.stdin.close()
