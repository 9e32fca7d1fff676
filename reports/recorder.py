"""The pytest plugin that records: it runs in the process that collects, takes what test reports carry, and holds no GPU."""

from __future__ import annotations

import datetime
import os
import re
import shlex
import socket
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from matrix.errors import UserError
from reports.compare import Comparison, compare, exit_code
from reports.record import Outcome, Record
from reports.render import junit, terminal
from reports.run import Expectation, Header, Run, Status
from reports.shard import Shard
from reports.store import JUNIT, RunWriter, latest, read_header, read_run
from reports.summary import empty, judge
from reports.thresholds import load_thresholds


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What the run is about to do, handed over by the plugin that selects.

    ``arguments`` reproduce its settings; ``resumed`` is the run that it goes on with, as it was left; ``preflight`` is the
    record of what was looked at before, in a form that :class:`Record` takes.
    """

    folder: Path
    platform: str
    tier: str
    cells: str
    environment: str
    injected: tuple[str, ...]
    baseline: str
    checks: tuple[str, ...]
    arguments: tuple[str, ...]
    fingerprint: Mapping[str, Any]
    resumed: Run | None = None
    preflight: Mapping[str, Any] | None = None
    shard: Shard | None = None


PLANNED: Final = pytest.StashKey[Planned]()
EXPECTATIONS: Final = pytest.StashKey[tuple[Expectation, ...]]()
NOTES: Final = pytest.StashKey[list[str]]()
"""What a reader of the run must know, from whichever plugin saw it."""
CANNOT_RECORD: Final = 2
# Test ids end in [<cell id>:<kind>:<subject>], so that a check can be named even when its process died.
_INSIDE: Final = re.compile(r"\[(?P<cell>[^\[\]:]+):(?P<kind>[^\[\]:]+)(?::(?P<subject>.*))?\]$")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Begin the run's folder, in the process that collects."""
    config = session.config
    planned = config.stash.get(PLANNED, None)
    if planned is None or hasattr(config, "workerinput") or config.option.collectonly:
        return
    narrowed = _narrowed(config)
    if narrowed and planned.shard:
        raise pytest.UsageError("--shard divides a whole plan: choose with --cells, not with paths, -k, -m, --deselect or --lf")
    try:
        config.pluginmanager.register(Recorder(planned, narrowed=narrowed), "run-recorder")
    except UserError as error:
        raise pytest.UsageError(str(error)) from None


def _narrowed(config: pytest.Config) -> bool:
    """Whether the command line asks for less than the plan: paths, node ids, -k, -m, --deselect, --ignore, --lf."""
    option = config.option
    less = option.keyword or option.markexpr or option.deselect or option.ignore or option.ignore_glob
    return bool(less or getattr(option, "lf", False) or config.args_source is pytest.Config.ArgsSource.ARGS)


class Recorder:
    """One run while it is recorded."""

    def __init__(self, planned: Planned, *, narrowed: bool) -> None:
        self.planned, self.narrowed = planned, narrowed
        self.baseline = _folder(planned.baseline, planned.platform)
        self.writer = RunWriter(planned.folder)
        self.run: Run | None = None
        self.comparison: Comparison | None = None
        self.troubles: list[str] = []
        self.notes: list[str] = []
        self.collected: dict[str, None] = {}
        if planned.resumed is None:
            self.writer.begin(self._header(time.time()), planned.fingerprint)
        else:
            self.notes += _resumed(planned.resumed)
            self.narrowed = False  # what it plans is settled, whatever is collected now
            self.writer.resume(planned.resumed)
        self._record_preflight()

    def _record_preflight(self) -> None:
        """Once a run, and again where it was resumed on a machine that by then was broken."""
        carried, resumed = self.planned.preflight, self.planned.resumed
        if carried is None or (resumed is not None and carried["outcome"] == "passed" and carried["id"] in resumed.records):
            return
        command = shlex.join(["python", "-m", "fixtures.readiness", self.planned.platform])
        self.writer.append(Record(**{**carried, "outcome": Outcome(carried["outcome"]), "command": command, "worker": "main"}))

    def _header(self, started: float) -> Header:
        planned = self.planned
        moment = datetime.datetime.fromtimestamp(started, datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
        return Header(
            id=f"{moment}-{planned.platform}-{socket.gethostname()}-{os.getpid()}", started=started, platform=planned.platform,
            tier=planned.tier, cells=planned.cells, environment=planned.environment, injected=planned.injected,
            planned=() if self.narrowed else self._plan(planned.checks), narrowed=self.narrowed,
            shard=planned.shard,
        )  # fmt: skip

    def _plan(self, checks: Iterable[str]) -> tuple[str, ...]:
        """The checks of a run, preflight before them."""
        first = (self.planned.preflight["id"],) if self.planned.preflight else ()
        return (*first, *checks)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """In one process: what was collected is what a narrowed run plans."""
        if session.items:
            self._plan_collected(item.nodeid for item in session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        """With workers: each of them collects the same."""
        self._plan_collected(ids)

    def _plan_collected(self, nodeids: Iterable[str]) -> None:
        """Workers collect what they run, and this process what it runs after them."""
        self.collected |= dict.fromkeys(check for nodeid in nodeids if (check := check_id(nodeid)))
        if self.narrowed:
            self.writer.update(planned=self._plan(self.collected))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write the record of a check as it ends."""
        carried = getattr(report, "check", None) or of_dead_process(report)
        if carried is None:
            return
        record = Record(**carried | {
            "outcome": Outcome(carried["outcome"]), "command": self._command(report.nodeid),
            "worker": getattr(report, "worker_id", "main"),
        })  # fmt: skip
        try:
            self.writer.append(record)
        except UserError as error:
            pytest.exit(f"{error}; make room, then go on with --resume {self.planned.folder}", returncode=CANNOT_RECORD)

    def _command(self, nodeid: str) -> str:
        return shlex.join(["pytest", *self.planned.arguments, nodeid])

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """End the run's folder; a run that did less than it planned is a failure, whatever pytest says."""
        expectations = session.config.stash.get(EXPECTATIONS, ())
        said: list[str] = session.config.stash.get(NOTES, [])
        self.notes += said
        if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and self._nothing_was_left():
            exitstatus = session.exitstatus = pytest.ExitCode.OK
        try:
            self._finish(exitstatus, expectations)
        except UserError as error:
            self.troubles.append(f"{error}; what was recorded before is kept")
        good = not self.troubles and self.run is not None and judge(self.run).good
        if session.exitstatus == pytest.ExitCode.OK and not good:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _nothing_was_left(self) -> bool:
        """Whether the run that this one goes on with had recorded everything, and only was not closed."""
        return self.planned.resumed is not None and not self.planned.resumed.missing

    def _finish(self, exitstatus: int, expectations: tuple[Expectation, ...]) -> None:
        came_to_its_end = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        self.writer.finish(finished=time.time(), complete=came_to_its_end, notes=self.notes, expectations=expectations)
        self.run = read_run(self.planned.folder)
        self.troubles += self._troubles(self.run, expectations)
        self.writer.attach(JUNIT, junit.of_run(self.run))
        if self.baseline:
            self._compare(self.run, self.baseline)

    def _troubles(self, run: Run, expectations: tuple[Expectation, ...]) -> Iterable[str]:
        if reason := _all_skipped(run):
            yield f"no cell was executed, the first was skipped because {reason}: a run that validates nothing proves nothing"
        elif empty(run):
            yield f"no check was executed, {len(run.header.planned)} were planned: an empty run proves nothing"
        elif run.missing and not run.header.complete:
            yield (f"the run ended early, {len(run.missing)} of {len(run.header.planned)} planned checks are missing: "
                   f"go on with `pytest --resume={self.planned.folder}`")  # fmt: skip
        elif run.missing:
            yield (f"{len(run.missing)} of {len(run.header.planned)} planned checks left no record, the first is "
                   f"{run.missing[0]}: a test was removed, deselected or lost")  # fmt: skip
        for entry in expectations:
            if entry.status is not Status.MATCHED:
                yield f"expectation {entry.cells!r} ({entry.url}): {entry.message}"

    def _compare(self, run: Run, baseline: Path) -> None:
        try:
            self.comparison = compare(read_run(baseline), run, load_thresholds())
        except UserError as error:
            self.troubles.append(f"--baseline: {error}")
            return
        if exit_code(self.comparison):
            self.troubles.append(f"worse than the baseline {self.planned.baseline}")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The run's page, the comparison's where there is a baseline, and what makes the run a failure beyond its checks."""
        if self.run is None:
            return
        page = terminal.page_for(sys.stdout, terminalreporter._tw.fullwidth, all=False)
        terminalreporter.section("validation")
        terminalreporter.write_line(terminal.show(self.run, page))
        if self.comparison is not None:
            terminalreporter.section("comparison with the baseline")
            terminalreporter.write_line(terminal.compared(self.comparison, page))
        for trouble in self.troubles:
            terminalreporter.write_line(f"FAILED: {trouble}", red=True)
        terminalreporter.write_line(f"recorded in {self.planned.folder}")


def _resumed(run: Run) -> Iterable[str]:
    """How far a run had come that goes on; of one that was whole there is nothing to say."""
    planned = len(run.header.planned)
    if run.whole:
        return
    yield f"it was resumed after it had ended early, with {planned - len(run.missing)} of {planned} planned checks recorded"


def _all_skipped(run: Run) -> str:
    """Why the first check of a cell was skipped where all of them were; that packages import does not make a run."""
    cells = [record for record in run.records.values() if record.check not in ("imports", "preflight")]
    return cells[0].message if cells and all(record.outcome is Outcome.SKIPPED for record in cells) else ""


def _folder(baseline: str, platform: str) -> Path | None:
    """The folder of the baseline, looked at before anything runs: a slip of the pen must not cost a run."""
    if not baseline:
        return None
    folder = latest(Path("runs")) if baseline == "latest" else Path(baseline)
    if (other := read_header(folder).platform) != platform:
        raise UserError(f"--baseline {folder}: ran on {other!r}, this run is on {platform!r}: compare two runs of one platform")
    return folder


def check_id(nodeid: str) -> str:
    """The id of the check that a test holds, empty where it holds none."""
    match = _INSIDE.search(nodeid)
    return f"{match['cell']}::{match['kind']}" + (f"[{match['subject']}]" if match["subject"] else "") if match else ""


def of_dead_process(report: pytest.TestReport) -> dict[str, Any] | None:
    """The record of a check whose process died: pytest-xdist reports it without a phase."""
    match = _INSIDE.search(report.nodeid)
    if report.when in ("setup", "call", "teardown") or not report.failed or not match:
        return None
    configuration, model, dtype, platform = match["cell"].split("/")
    return {
        "id": check_id(report.nodeid), "configuration": configuration, "model": model, "dtype": dtype, "platform": platform,
        "check": match["kind"], "subject": match["subject"] or "", "outcome": "crashed", "reason": "process-died",
        "message": str(report.longrepr).strip().splitlines()[0], "nodeid": report.nodeid, "started": time.time(),
    }  # fmt: skip
