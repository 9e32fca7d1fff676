"""Building a stack with tox, and running the suite in it."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from matrix.errors import UserError
from matrix.resolution import complaint
from matrix.stack import Stack
from matrix.work_folder import ROOT, work_folder


def build(stack: Stack, log: Path) -> None:
    """Make the environment, or leave it as it is where tox finds it unchanged; what tox says goes to ``log``.

    Raises:
        UserError: it cannot be installed, in pip's own words.
    """
    if _run(stack, ("--notest",), (), log):
        said = log.read_text(encoding="utf-8", errors="replace")
        raise UserError(f"{stack.name} cannot be installed: {complaint(said)} (all of it in {log})")


def run_suite(stack: Stack, arguments: Sequence[str], folder: Path, log: Path) -> None:
    """Run the suite in a stack and record into ``folder``. A run that finds failures is a run.

    Raises:
        UserError: there is no run afterwards.
    """
    overrides = (f"--override={requirement}" for requirement in stack.overrides)
    status = _run(stack, (), (*arguments, *overrides, f"--run-dir={folder.absolute()}"), log)
    if not (folder / "run.json").is_file():
        lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        said = next((line for line in lines if line.startswith("ERROR:")), lines[-1] if lines else "it said nothing")
        raise UserError(f"{stack.name}: the suite recorded nothing (status {status}): {said.strip()} (all of it in {log})")


def require() -> None:
    """Raises UserError: this Python lacks what builds the stacks, or what compares their latency in the end."""
    for package in ("tox", "scipy"):
        if importlib.util.find_spec(package) is None:
            raise UserError(
                f"{package} is not installed in this Python: run `pip install tox scipy`, then the same command again"
            )


def _run(stack: Stack, options: Sequence[str], arguments: Sequence[str], log: Path) -> int:
    command = [sys.executable, "-m", "tox", "run", "--workdir", str(work_folder()), "-e", stack.environment.name]
    command += [*overriding(stack), *options, "--", *arguments]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as said:
        return subprocess.run(command, stdout=said, stderr=subprocess.STDOUT, cwd=ROOT).returncode


def overriding(stack: Stack) -> list[str]:
    """tox's own way to replace a key of its configuration for one call; an unchanged environment needs none."""
    if not stack.changed:
        return []
    where = f"testenv:{stack.environment.name}"
    lines = "\n".join((*stack.requirements, *_constrained(stack)))
    return ["-x", f"{where}.deps={lines}", "-x", f"{where}.env_dir={{work_dir}}/{_escaped(stack.name)}"]


def _constrained(stack: Stack) -> list[str]:
    """Its constraints as a file that stays: tox builds anew where what it names has changed."""
    lines = stack.constraints()
    if not lines:
        return []
    path = work_folder() / "constraints" / f"{stack.name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return [f"-c {path}"]


def _escaped(name: str) -> str:
    """tox takes braces and commas for its own."""
    return re.sub(r"[^A-Za-z0-9._+-]", "_", name)
