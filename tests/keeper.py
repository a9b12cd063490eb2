"""A process that starts servers for another, and ends them when the other ends, however that happens.

Its orders are lines of JSON on standard input. When that closes, because the owner is done, was interrupted or was
killed, the keeper ends all that it started and removes the folder; then it is gone, too.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

SECONDS_TO_END = 10


class Keeper:
    """The owner's end. The folder is new, short enough for Unix sockets, and the account's own.

    Servers refuse to run as root, so there they run as `nobody`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.account = "nobody" if os.geteuid() == 0 else None
        if self.account:
            shutil.chown(folder, self.account)
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(folder), self.account or ""],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # so that Ctrl-C in a terminal is for the owner alone
            text=True,
        )

    def run(self, *words: object, environment: dict[str, str] | None = None) -> str:
        """The output of a command that must succeed."""
        code, output = self._order("run", words, environment)
        if code:
            raise RuntimeError(f"`{' '.join(map(str, words))}` exited with {code}:\n{output}")
        return output

    def start(self, *words: object, log: Path) -> int:
        """The process id of a command that goes on."""
        return self._order("start", words, str(log))

    def exit_code(self, process: int) -> int | None:
        """Of a command that was started; `None` while it runs."""
        return self._order("poll", process)

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(6 * SECONDS_TO_END)
        self._process.stdout.close()

    def _order(self, *order: Any) -> Any:
        with self._lock:
            print(json.dumps(order, default=str), file=self._process.stdin, flush=True)
            return json.loads(self._process.stdout.readline())


def keep(folder: Path, account: str) -> None:
    started: dict[int, subprocess.Popen[bytes]] = {}
    who: dict[str, Any] = {"user": account, "group": account_group(account), "extra_groups": []} if account else {}

    def run(words: list[str], environment: dict[str, str] | None) -> tuple[int, str]:
        done = subprocess.run(
            [str(word) for word in words],
            cwd=folder,
            env={**os.environ, "HOME": str(folder), **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **who,
        )
        return done.returncode, done.stdout

    def start(words: list[str], log: str) -> int:
        with Path(log).open("ab") as output:
            process = subprocess.Popen(
                [str(word) for word in words],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                **who,
            )
        started[process.pid] = process
        return process.pid

    def poll(process: int) -> int | None:
        return started[process].poll()

    orders = {"run": run, "start": start, "poll": poll}
    try:
        with contextlib.suppress(BrokenPipeError):
            for line in sys.stdin:
                order, *values = json.loads(line)
                print(json.dumps(orders[order](*values)), flush=True)
    finally:  # also after an order that can't be followed, such as a program that isn't there
        end(started.values())
        remove(folder)


def end(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.send_signal(signal.SIGQUIT)
    for process in processes:
        try:
            process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def account_group(account: str) -> int:
    import pwd  # not on Windows, where nobody is root either

    return pwd.getpwnam(account).pw_gid


def remove(folder: Path) -> None:
    """A server's children may write a last file while the folder goes."""
    deadline = time.monotonic() + SECONDS_TO_END
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=time.monotonic() < deadline)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # only the owner's end ends it; what it starts inherits nothing of this
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)  # which a shell's background jobs ignore, and so would a PgBouncer
    keep(Path(sys.argv[1]), sys.argv[2])
