"""``python -m matrix validate``: build the trusted stack and the one that is about to ship, run the suite in each, compare."""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from matrix import bisect, tox
from matrix.availability import probe
from matrix.cell import PLATFORMS, TIERS
from matrix.environment import Environment
from matrix.errors import UserError
from matrix.expand import chosen
from matrix.load import Matrix, load_matrix
from matrix.requirement import parse
from matrix.resolution import Resolved, Source, resolve
from matrix.stack import Stack
from matrix.work_folder import ROOT

EXITS: Final = (
    "exit codes are those of `python -m reports compare`: 0 nothing got worse, 1 something did, 2 a stack cannot be built or a "
    "run cannot be used, 3 evidence is insufficient"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What one call does: where it records, and what it asks of pytest."""

    folder: Path
    arguments: tuple[str, ...]

    def build(self, name: str, stack: Stack) -> None:
        """Raises UserError: the stack cannot be installed."""
        there, started = stack.folder.is_dir(), time.monotonic()
        tox.build(stack, self.folder / f"{name}-build.log")
        _say(f"{name:10} {stack.name}: {'found' if there else 'built'} in {time.monotonic() - started:.0f} s ({stack.folder})")

    def run(self, name: str, stack: Stack, extra: Sequence[str] = ()) -> Path:
        """Run the suite in a stack that is built; the folder of the run.

        Raises:
            UserError: nothing was recorded.
        """
        started = time.monotonic()
        tox.run_suite(stack, (*self.arguments, *extra), self.folder / name, self.folder / f"{name}.log")
        _say(f"{name:10} ran in {time.monotonic() - started:.0f} s ({self.folder / name})")
        return self.folder / name


def add_command(commands: Any) -> None:
    """The subcommand and its options."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "validate", help="does a new release break anything? build both stacks, run the suite in each, compare", epilog=EXITS
    )
    add = parser.add_argument
    add("--candidate", nargs="+", action="extend", default=[], metavar="REQUIREMENT",
        help="what is about to ship: 'transformers==5.23.0', a wheel, a checkout, git+https://...")  # fmt: skip
    add("--against", nargs="+", action="extend", default=[], metavar="REQUIREMENT_OR_RUN",
        help="what is trusted: requirements, or a recorded run's folder (default: the environment as pinned)")  # fmt: skip
    add("--environment", metavar="NAME", default="", help="stack that is changed (default: the first of the platform)")
    add("--platform", choices=("auto", *PLATFORMS), default="auto", help="where to run (default: %(default)s)")
    add("--tier", choices=TIERS, default="quick", help="how much to run (default: %(default)s)")
    add("--cells", default="*", metavar="EXPRESSION", help="globs joined by and, or, not (default: all)")
    add("--index", default="", metavar="URL", help="another index to install from, such as one of nightly builds")
    add("--pre", action="store_true", help="pre-releases count")
    add("--bisect", action="store_true",
        help="where something got worse, find the requirement that alone does it, and its first release that did")  # fmt: skip
    add("--releases", nargs="+", default=[], metavar="VERSION",
        help="releases that --bisect tries (default: all in the index between the two)")  # fmt: skip
    add("--run-dir", type=Path, metavar="DIR", help="folder for both runs (default: runs/validate-TIME)")
    add("pytest", nargs="*", metavar="-- OPTION", help="options for pytest, after two dashes")
    parser.set_defaults(run=validate)


def validate(options: argparse.Namespace) -> int:
    """Run the command; the exit status is that of the comparison.

    Raises:
        UserError: the input cannot be used.
    """
    tox.require()
    matrix, source = load_matrix(), Source(index=options.index, pre=options.pre)
    environment = _environment(options, matrix)
    chosen(matrix, environment.platform, options.tier, options.cells)
    trusted = _run_folder(options.against)
    candidate = _stack(environment, options.candidate, "--candidate", source)
    baseline = None if trusted else _stack(environment, options.against, "--against", source)
    if baseline and baseline.name == candidate.name:
        raise UserError(f"candidate and baseline are both {candidate.name}: name another release with --candidate or --against")
    job = Job(folder=_folder(options), arguments=_arguments(options))
    if baseline:
        job.build("baseline", baseline)
    job.build("candidate", candidate)
    before = job.run("baseline", baseline) if baseline else Path(str(trusted))
    after = job.run("candidate", candidate)
    status = compare(before, after, job.folder)
    if status == 1 and options.bisect:
        if baseline is None:
            raise UserError("--bisect needs requirements in --against: what a recorded run had installed is not built again")
        search = bisect.Search(runner=job, before=before, lost=tuple(worse(job.folder)), compared=_worse_of)
        for line in bisect.findings(search, baseline, candidate, options.releases):
            _say(line)
    return status


def compare(baseline: Path, candidate: Path, folder: Path, *, quietly: bool = False) -> int:
    """Print the comparison of two runs, and keep it as comparison.json and comparison.md.

    Raises:
        UserError: the two cannot be compared.
    """
    files = (f"--json={folder / 'comparison.json'}", f"--markdown={folder / 'comparison.md'}")
    command = [sys.executable, "-m", "reports", "compare", str(baseline), str(candidate), *files]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL if quietly else None, stderr=subprocess.PIPE, text=True)
    if done.returncode == 2:
        raise UserError(done.stderr.strip().removeprefix("error: "))
    return done.returncode


def _environment(options: argparse.Namespace, matrix: Matrix) -> Environment:
    """The named environment, or the first of the platform.

    Raises:
        UserError: there is none of that name, or it is of another platform.
    """
    if not options.environment:
        platform = probe().platform if options.platform == "auto" else options.platform
        return next(each for each in matrix.environments.values() if each.platform == platform)
    environment = matrix.environments.get(options.environment)
    if environment is None:
        raise UserError(f"--environment is {options.environment!r}, accepted: {', '.join(matrix.environments)}")
    if options.platform not in ("auto", environment.platform):
        raise UserError(f"--environment {environment.name} is of {environment.platform}, --platform is {options.platform}")
    return environment


def _run_folder(against: list[str]) -> Path | None:
    """The recorded run that ``--against`` names, if it names one."""
    folders = [Path(each) for each in against if (Path(each) / "run.json").is_file()]
    if folders and len(against) > 1:
        raise UserError(f"--against {' '.join(against)}: a recorded run stands alone, name it without requirements")
    return folders[0].absolute() if folders else None


def _stack(environment: Environment, asked: list[str], option: str, source: Source) -> Stack:
    """The environment with what was asked for; a release that it has anyway changes nothing."""
    resolved = [resolve(parse(text, option), option, source) for text in asked]
    twice = [each.text for each in resolved if sum(other.project == each.project for other in resolved) > 1]
    if twice:
        raise UserError(f"{option} names {resolved[0].project} more than once: {', '.join(map(repr, twice))}")
    changed: list[Resolved] = [each for each in resolved if each.line not in environment.packages]
    return Stack(environment=environment, changed=tuple(changed), source=source)


def _arguments(options: argparse.Namespace) -> tuple[str, ...]:
    return (f"--tier={options.tier}", f"--cells={options.cells}", *options.pytest)


def _folder(options: argparse.Namespace) -> Path:
    now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S")
    folder: Path = (options.run_dir or ROOT / "runs" / f"validate-{now}").absolute()
    if (folder / "baseline").exists() or (folder / "candidate").exists():
        raise UserError(f"--run-dir {folder}: holds runs already; name another folder or move this one away")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _worse_of(baseline: Path, candidate: Path, folder: Path) -> dict[str, str]:
    compare(baseline, candidate, folder, quietly=True)
    return worse(folder)


def worse(folder: Path) -> dict[str, str]:
    """The checks that got worse in the comparison that is kept in a folder, and how."""
    told = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
    return {verdict["id"]: verdict["message"] for verdict in told["verdicts"] if verdict["worse"]}


def _say(line: str) -> None:
    print(line, flush=True)
