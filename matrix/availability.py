"""Whether a cell can run on a machine, and if not, the measured reason."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matrix.cell import PLATFORMS, Cell, Requirement
from matrix.errors import UserError

ROOT = Path(__file__).parent.parent
PROBE_SECONDS = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a cell does not run: a code that can be counted and a sentence with the measured fact."""

    code: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the probe measured of this machine.

    ``problem`` is the one line of a GPU that is present and cannot be used. Each device is a table with ``name``,
    ``capability`` ("9.0", on ROCm the architecture "gfx942") and ``memory`` in bytes. Each package is a table with
    ``version``, ``location`` and ``error`` (what its import raised, empty when it works).
    """

    platform: str
    problem: str
    devices: tuple[Mapping[str, Any], ...]
    packages: Mapping[str, Mapping[str, str]]
    details: Mapping[str, Any]

    def to_json(self) -> str:
        """What :func:`read_facts` reads."""
        return json.dumps({"platform": self.platform, "problem": self.problem, "devices": list(self.devices),
                           "packages": dict(self.packages), "details": dict(self.details)})  # fmt: skip


def probe(platform: str = "auto") -> Facts:
    """Facts measured in a process of its own, so that a driver that hangs or crashes takes down the probe alone.

    Raises:
        UserError: the probe died, hung, or answered something unreadable.
    """
    command = [sys.executable, "-m", "fixtures.platform", platform]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_SECONDS, cwd=ROOT)
    except subprocess.TimeoutExpired:
        raise UserError(f"the probe of this machine did not answer within {PROBE_SECONDS} s: run `{_shown(command)}`") from None
    if done.returncode:
        raise UserError(f"the probe of this machine {ended(done)}: run `{_shown(command)}`")
    return read_facts(done.stdout.strip().rpartition("\n")[2])  # whatever a library prints on import comes before


def ended(done: subprocess.CompletedProcess[str]) -> str:
    """How a process that failed ended: the signal that killed it, or the last line of what it said."""
    if done.returncode < 0:
        return f"was killed by signal {-done.returncode} ({signal.strsignal(-done.returncode)})"
    lines = done.stderr.strip().splitlines()
    return f"failed: {lines[-1]}" if lines else f"failed with status {done.returncode}"


def load_facts(path: Path) -> Facts:
    """Facts that were measured earlier, on this machine or on another.

    Raises:
        UserError: the file cannot be read, or is not what the probe writes.
    """
    try:
        return read_facts(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--facts {path}: cannot be read ({error}): write it with `python -m fixtures.platform`") from None


def read_facts(text: str) -> Facts:
    """Facts from the probe's JSON.

    Raises:
        UserError: it is not what the probe writes.
    """
    try:
        data = json.loads(text)
        return Facts(platform=data["platform"], problem=data["problem"], devices=tuple(data["devices"]),
                     packages=data["packages"], details=data["details"])  # fmt: skip
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"the facts of this machine are unreadable ({error!r}): run `python -m fixtures.platform`") from None


def reason(cell: Cell, facts: Facts) -> Reason | None:
    """Why a cell cannot run on a machine, ``None`` when it can."""
    requires = cell.configuration.requires
    software = _packages(packages_of(cell), facts) or _releases(requires, facts) or _variables(requires, facts)
    missing = _platform(cell.platform, facts) or software
    return missing or (_devices(requires, facts) if cell.platform != "cpu" else None)


def _platform(platform: str, facts: Facts) -> Reason | None:
    if facts.problem:
        return Reason(code="unusable-platform", sentence=facts.problem)
    if platform != "cpu" and not facts.devices:
        return Reason(code="no-gpu", sentence=f"needs a GPU of platform {platform}, this machine has none")
    return None


def packages_of(cell: Cell) -> tuple[str, ...]:
    """What must be installed for a cell: for its configuration, and to have its model."""
    model = cell.model.package
    return (*cell.configuration.requires.packages, *([model] if model else []))


def _packages(packages: tuple[str, ...], facts: Facts) -> Reason | None:
    for package in packages:
        if not facts.packages.get(package, {}).get("version"):
            return Reason(code="not-installed", sentence=f"{package} is not installed in this environment")
    return None


def _releases(requires: Requirement, facts: Facts) -> Reason | None:
    """A release that cannot be asked yet is neither a failure nor a refusal."""
    for since in requires.since:
        installed = str(facts.packages.get(since.package, {}).get("version", ""))
        if installed and facts.platform in since.platforms and release(installed) < release(since.release):
            where = "" if set(since.platforms) >= set(PLATFORMS) else f" on {' and '.join(since.platforms)}"
            sentence = f"needs {since.package} >= {since.release}, which brought {since.what}{where}: {installed} is installed"
            return Reason(code="older-release", sentence=sentence)
    return None


def release(version: str) -> tuple[int, ...]:
    """The numbers of a version's release; a pre-release counts as the release that it precedes."""
    numbers = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in numbers.group().split(".")) if numbers else ()


def _variables(requires: Requirement, facts: Facts) -> Reason | None:
    here = facts.details.get("variables", {})
    for name, value in requires.variables.items():
        if here.get(name, "FALSE") != value:
            sentence = f"needs the environment variable {name}={value}, it is {here.get(name, 'not set')}"
            return Reason(code="environment-variable", sentence=sentence)
    return None


def _devices(requires: Requirement, facts: Facts) -> Reason | None:
    if requires.gpus > len(facts.devices):
        return Reason(code="too-few-gpus", sentence=f"needs {requires.gpus} GPUs, this machine has {len(facts.devices)}")
    if requires.capability and facts.platform == "cuda":
        seen = min((str(device["capability"]) for device in facts.devices), key=_number)
        if _number(seen) < _number(requires.capability):
            sentence = f"needs compute capability >= {requires.capability}, this device has {seen}"
            return Reason(code="compute-capability", sentence=sentence)
    return None


def _number(capability: str) -> tuple[int, ...]:
    return tuple(int(part) for part in capability.split("."))


def _shown(command: list[str]) -> str:
    return " ".join(["python", *command[1:]])
