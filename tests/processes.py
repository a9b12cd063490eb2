"""Running commands and web servers in a baked project, so that a failure shows all they printed."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

TIMEOUT = 300
# What one command has compiled, the next finds compiled: Django's modules take longer than most commands.
BYTECODE = tempfile.TemporaryDirectory(prefix="bytecode-", ignore_cleanup_errors=True)


def environment(**changes: str) -> dict[str, str]:
    """The interpreter running the tests is the one that PATH and uv find; nothing of this pytest leaks in."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTEST_", "DJANGO_", "VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT", "COVERAGE"))
    }
    path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")])
    uv = {"UV_PYTHON": os.path.realpath(sys.executable), "UV_PYTHON_DOWNLOADS": "never"}
    # What a project's tests leave behind is none of its files.
    clean = {
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": BYTECODE.name,
        "HYPOTHESIS_STORAGE_DIRECTORY": str(Path(tempfile.gettempdir(), "hypothesis")),
    }
    return {**kept, **uv, **clean, "PATH": path, **changes}


def run(project: Path, *command: str, stdin: str = "", seconds: float = TIMEOUT, **changes: str) -> str:
    """The output of a command that must succeed; `python` and `-m` tools come from this environment."""
    words = [sys.executable, *command[1:]] if command[0] == "python" else list(command)
    with subprocess.Popen(
        words,
        cwd=project,
        env=environment(PWD=str(project), **changes),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
        encoding="utf-8",
    ) as process:
        late = threading.Timer(seconds, end, [process])
        late.start()
        start = time.monotonic()
        output, _ = process.communicate(stdin)
        late.cancel()
    if time.monotonic() - start >= seconds:
        pytest.fail(f"`{' '.join(command)}` took more than {seconds} s:\n{output}", pytrace=False)
    if process.returncode != 0:
        pytest.fail(f"`{' '.join(command)}` exited with {process.returncode}:\n{output}", pytrace=False)
    return output


def manage(project: Path, *words: str, **changes: str) -> str:
    return run(project, "python", "manage.py", *words, **changes)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def serving(project: Path, command: Sequence[str], port: int, log: Path, **changes: str) -> Iterator[str]:
    """The address of a server that answers; it is ended with all its workers, and its log shown on a failure."""
    with log.open("w", encoding="utf-8") as output:
        server = subprocess.Popen(
            command, cwd=project, env=environment(**changes), stdout=output, stderr=output, start_new_session=True
        )
        try:
            wait_until_ready(server, port)
            yield f"http://127.0.0.1:{port}"
        except BaseException:
            print(f"--- log of {' '.join(command)}\n{log.read_text('utf-8')}")
            raise
        finally:
            end(server)


def wait_until_ready(server: subprocess.Popen[bytes], port: int, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise AssertionError(f"The server exited with {server.returncode} before it answered.")
        with contextlib.suppress(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{port}/", timeout=10)
            return
        time.sleep(0.1)
    raise AssertionError(f"The server did not answer within {seconds} s.")


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s."
        time.sleep(0.05)


def end(server: subprocess.Popen[Any]) -> None:
    """Also whatever the process has started; `start_new_session` made them one group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(10)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def tool(name: str) -> str:
    """A program that has to be there; a missing one is a failure in CI and a skip on a desk."""
    found = shutil.which(name, path=environment()["PATH"])
    if found is None and os.environ.get("CI"):
        pytest.fail(f"{name} is not on PATH.")
    return found or pytest.skip(f"{name} is not on PATH")
