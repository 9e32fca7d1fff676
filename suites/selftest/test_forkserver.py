"""A worker that is forked from a server is to whoever started it what a plain interpreter would be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fixtures import forkserver
from fixtures.forkserver import Forkserver, against_forking

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason=f"workers are forked on Linux alone, this is {sys.platform}")


@pytest.fixture(scope="module")
def server() -> Iterator[Forkserver]:
    started = Forkserver("cpu", {})
    yield started
    started.stop()


def start(server: Forkserver, code: str, folder: Path, **environment: str) -> subprocess.Popen[str]:
    """As execnet starts a worker."""
    command = f"exec {server.command()} -u -c '{code}'"
    streams: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen(command, shell=True, text=True, cwd=folder, env={**os.environ, **environment}, **streams)


def test_it_has_the_streams_folder_and_environment_of_who_asked_and_the_libraries(server: Forkserver, tmp_path: Path) -> None:
    code = 'import os, sys; print(input(), os.getcwd(), os.environ["ASKED"], "torch" in sys.modules); sys.stderr.write("said")'
    said = start(server, code, tmp_path, ASKED="so").communicate("read\n", timeout=60)

    assert (f"read {tmp_path} so True\n", "said") == said


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import sys; sys.exit(3)", 3),
        ("raise SystemExit", 0),
        ("1 / 0", 1),
        ("import os; os.abort()", -signal.SIGABRT),
        ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL),
    ],
)
def test_it_ends_as_the_worker_ended(server: Forkserver, tmp_path: Path, code: str, expected: int) -> None:
    worker = start(server, code, tmp_path)
    worker.communicate(timeout=60)

    assert expected == worker.returncode


def test_a_worker_whose_starter_is_killed_is_killed(server: Forkserver, tmp_path: Path) -> None:
    started = start(server, "import os, time; print(os.getpid(), flush=True); time.sleep(60)", tmp_path)
    assert started.stdout is not None
    worker = int(started.stdout.readline())
    started.kill()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)

    assert not Path(f"/proc/{worker}").exists()


def test_a_death_costs_the_others_nothing(server: Forkserver, tmp_path: Path) -> None:
    living = start(server, "print(input())", tmp_path)
    start(server, "import os; os.abort()", tmp_path).communicate(timeout=60)

    assert ("alive\n", "") == living.communicate("alive\n", timeout=60)


def test_without_a_server_it_is_a_plain_interpreter(tmp_path: Path) -> None:
    gone = Forkserver("cpu", {})
    gone.stop()
    worker = start(gone, 'import sys; print("torch" in sys.modules); sys.exit(4)', tmp_path)

    assert (("False\n", ""), 4) == (worker.communicate(timeout=60), worker.returncode)


class Torch:
    """A torch that takes hold of the device when it is imported, or whose device does not survive a fork."""

    def __init__(self, *, initialized: bool) -> None:
        self.cuda = self
        self.is_initialized = lambda: initialized

    def ones(self, *_: object, **__: object) -> float:
        raise RuntimeError("Cannot re-initialize CUDA in forked subprocess")


@pytest.mark.parametrize(
    ("initialized", "expected"),
    [(True, "importing the libraries took hold of the device"), (False, "a forked process cannot use the device")],
)
def test_nothing_is_forked_where_a_fork_cannot_use_the_device(
    monkeypatch: pytest.MonkeyPatch, initialized: bool, expected: str
) -> None:
    monkeypatch.setitem(forkserver.sys.modules, "torch", Torch(initialized=initialized))  # type: ignore[arg-type]

    assert (expected, "") == (against_forking("cuda"), against_forking("cpu"))
