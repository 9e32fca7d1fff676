"""A run that ended early goes on with what it has not recorded, and no more."""

from __future__ import annotations

import dataclasses
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fixtures.options import SETTINGS, Settings, read
from fixtures.preflight import Look
from fixtures.readiness import READINESS, Readiness
from fixtures.resume import continues, pytest_collection_modifyitems, pytest_configure, pytest_configure_node
from matrix.errors import UserError
from reports.recorder import PLANNED
from reports.run import Run
from reports.shard import Shard
from reports.store import RECORDS, SPOILT, RunWriter, read_run
from suites.selftest.examples import record, run, written
from suites.selftest.nested import ROOT, facts_file
from suites.selftest.samples import check, facts
from suites.selftest.test_options import parsed
from suites.selftest.test_recorder import CHECK, finished, loaded, planned, report

FIRST, SECOND = record(subject="first"), record(subject="second")
ENVIRONMENT = {"libraries": {"torch": {"version": "2.11"}}, "host": {"cores": 2}}


def ended_early(folder: Path, *kept: str, plan: tuple[str, ...] = ("first", "second", "third")) -> Run:
    """A run that planned more than it recorded."""
    ids = tuple(CHECK.format(subject) for subject in plan)
    records = [record(id=CHECK.format(subject), platform="cpu") for subject in kept]
    return read_run(written(folder, *records, planned=ids, complete=False, platform="cpu", environment=ENVIRONMENT))


# whether it can go on


@pytest.mark.parametrize(
    ("header", "known", "environment", "expected"),
    [
        ({}, (FIRST.id, SECOND.id, "more"), ENVIRONMENT, None),
        ({"planned": ("environment/machine/any/cuda::preflight", FIRST.id)}, (FIRST.id,), ENVIRONMENT, None),
        ({}, (FIRST.id, SECOND.id), ENVIRONMENT | {"host": {"cores": 64}}, None),
        ({"planned": ()}, (), ENVIRONMENT, "it ended before it had planned anything: start a new run"),
        ({"planned": ("environment/machine/any/cuda::preflight",)}, (), ENVIRONMENT,
         "it ended before it had planned anything: start a new run"),
        ({}, (FIRST.id,), ENVIRONMENT, f"1 of its checks are no longer planned, such as {SECOND.id}: start a new run"),
        ({}, (FIRST.id, SECOND.id), {"libraries": {"torch": {"version": "2.13"}}, "host": {"cores": 2}},
         "the environment changed (libraries.torch.version: 2.11 -> 2.13): one run is of one environment, start a new one"),
    ],
)  # fmt: skip
def test_a_run_goes_on_where_its_checks_and_its_environment_are_the_same(
    header: dict[str, Any], known: tuple[str, ...], environment: dict[str, Any], expected: str | None
) -> None:
    earlier = run(FIRST, SECOND, environment=ENVIRONMENT, **header)
    if expected is None:
        continues(earlier, known, environment)
        return
    with pytest.raises(UserError) as raised:
        continues(earlier, known, environment)

    assert f"--resume {earlier.folder}: {expected}" == str(raised.value)


def test_a_machine_that_is_not_ready_says_so_instead(tmp_path: Path) -> None:
    """It plans nothing, which is no reason to call a run's checks out of date."""
    session = config()
    session.stash[PLANNED] = planned(tmp_path / "unused", resumed=ended_early(tmp_path / "r1", "first"))
    with pytest.raises(pytest.UsageError, match="no longer planned"):
        pytest_configure(session)
    broken = Look(name="import of torch", ok=False, said="ImportError", outcome="import_failed")
    session.stash[READINESS] = Readiness(facts=facts(), looks=(broken,), seconds=0.0)

    pytest_configure(session)


# settings


def test_a_run_goes_on_with_the_settings_that_it_was_made_with(tmp_path: Path) -> None:
    folder = written(tmp_path / "r1", FIRST, tier="full", cells="sdpa", injected=("mask-dropped",), platform="cpu")
    actual = read(parsed(f"--resume={folder}"))

    assert ("cpu", "full", "sdpa", ("mask-dropped",), folder, folder) == (
        actual.platform, actual.tier, actual.cells, actual.inject, actual.run_dir, actual.resume,
    )  # fmt: skip


def test_a_shard_goes_on_as_that_shard(tmp_path: Path) -> None:
    folder = written(tmp_path / "r1", FIRST, tier="full", cells="sdpa", shard=Shard(number=2, of=3, plan=(FIRST.id,)))

    assert "2/3" == read(parsed(f"--resume={folder}")).shard == read(parsed(f"--resume={folder}", "--shard=2/3")).shard
    with pytest.raises(UserError, match="--shard is '1/3', the run was made with '2/3': leave it out"):
        read(parsed(f"--resume={folder}", "--shard=1/3"))


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("--tier=headline", "--tier is 'headline', the run was made with 'full': leave it out"),
        ("--cells=eager", "--cells is 'eager', the run was made with 'sdpa': leave it out"),
        ("--run-dir=elsewhere", "--run-dir is elsewhere, a run goes on in its own folder: leave it out"),
    ],
)
def test_other_settings_are_another_run(tmp_path: Path, option: str, expected: str) -> None:
    folder = written(tmp_path / "r1", FIRST, tier="full", cells="sdpa")
    with pytest.raises(UserError) as raised:
        read(parsed(f"--resume={folder}", option))

    assert f"--resume {folder}: {expected}" == str(raised.value)


def test_a_folder_without_a_run_cannot_go_on(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no run"):
        read(parsed(f"--resume={tmp_path}"))


# selection


class Items(list[Any]):
    """Collected tests; remembers those that were deselected."""

    def __init__(self, *subjects: str) -> None:
        checks = [check(subject=subject) for subject in subjects]
        super().__init__(SimpleNamespace(callspec=SimpleNamespace(params={"check": each})) for each in checks)


def config(**changes: Any) -> Any:
    deselected: list[Any] = []
    hook = SimpleNamespace(pytest_deselected=lambda items: deselected.extend(items))
    made = SimpleNamespace(stash=pytest.Stash(), hook=hook, deselected=deselected, **changes)
    made.stash[SETTINGS] = dataclasses.replace(SETTINGS_OF_A_RESUMED_RUN)
    return made


SETTINGS_OF_A_RESUMED_RUN = Settings(
    platform="cpu", tier="quick", cells="*", run_dir=Path("r"), baseline="", checkpoint="", environment="", inject=(),
    cache=Path("c"), validation=True, resume=Path("r"),
)  # fmt: skip


def test_what_is_recorded_is_not_run_again(tmp_path: Path) -> None:
    session = config()
    session.stash[PLANNED] = planned(tmp_path / "unused", resumed=ended_early(tmp_path / "r1", "first"))
    items = Items("first", "second", "third")
    pytest_collection_modifyitems(session, items)

    assert ["second", "third"] == [item.callspec.params["check"].subject for item in items]
    assert 1 == len(session.deselected)


def test_a_worker_runs_what_it_is_told_is_missing_whatever_is_recorded_by_now(tmp_path: Path) -> None:
    """A worker that replaces another must collect what the others collected."""
    session = config()
    session.stash[PLANNED] = planned(tmp_path / "unused", resumed=ended_early(tmp_path / "r1", "first"))
    node = SimpleNamespace(config=session, workerinput={})
    pytest_configure_node(node)
    worker, items = config(workerinput=node.workerinput), Items("first", "second", "third")
    pytest_collection_modifyitems(worker, items)

    assert ["second", "third"] == [item.callspec.params["check"].subject for item in items]


# recording


def test_a_resumed_run_is_whole_when_the_rest_is_recorded(tmp_path: Path) -> None:
    earlier = ended_early(tmp_path / "r1", "first", "second")
    recording, ended = finished(planned(earlier.folder, "first", "second", "third", resumed=earlier), report("third"))
    actual = loaded(recording)

    assert (True, 0, 3) == (actual.whole, ended.exitstatus, len(actual.records))
    assert ("it was resumed after it had ended early, with 2 of 3 planned checks recorded",) == actual.header.notes


def test_of_a_run_that_was_whole_nothing_is_said(tmp_path: Path) -> None:
    earlier = ended_early(tmp_path / "r1", "first", "second", "third")
    whole = replace(earlier, header=replace(earlier.header, complete=True))
    recording, ended = finished(planned(earlier.folder, "first", "second", "third", resumed=whole))

    assert ((), 0) == (loaded(recording).header.notes, ended.exitstatus)


def test_a_resumed_run_is_red_for_what_failed_before(tmp_path: Path) -> None:
    ids = (CHECK.format("first"), CHECK.format("second"))
    failed = record(id=ids[0], outcome="failed", platform="cpu")
    earlier = read_run(written(tmp_path / "r1", failed, planned=ids, complete=False, platform="cpu"))
    _, ended = finished(planned(earlier.folder, "first", "second", resumed=earlier), report("second"))

    assert 1 == ended.exitstatus


def test_a_run_that_had_recorded_everything_is_closed(tmp_path: Path) -> None:
    earlier = ended_early(tmp_path / "r1", "first", plan=("first",))
    recording, ended = finished(planned(earlier.folder, "first", resumed=earlier), status=5)

    assert (0, True) == (ended.exitstatus, loaded(recording).whole)


def test_a_line_that_was_cut_off_is_set_aside_and_its_check_is_missing(tmp_path: Path) -> None:
    folder = written(tmp_path / "r1", FIRST, SECOND)
    path = folder / RECORDS
    path.write_bytes(path.read_bytes()[:-40])
    writer = RunWriter(folder)
    writer.resume(read_run(folder))
    writer.append(record(subject="third"))
    actual = read_run(folder)

    assert ([FIRST.id, record(subject="third").id], ()) == (list(actual.records), actual.damage)
    assert (folder / SPOILT).read_text().startswith('{"schema": 1, "id": "sdpa/llama-tiny/bf16/cuda::correct[second]"')


def test_a_run_without_its_records_starts_over(tmp_path: Path) -> None:
    folder = written(tmp_path / "r1", FIRST)
    (folder / RECORDS).unlink()
    writer = RunWriter(folder)
    writer.resume(read_run(folder))
    writer.append(FIRST)

    assert [FIRST.id] == list(read_run(folder).records)


# the whole of it


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (signal.SIGTERM, "SIGTERM"),
        pytest.param(signal.SIGINT, "KeyboardInterrupt", marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, "", marks=pytest.mark.slow),
    ],
)
def test_a_run_that_was_ended_is_valid_incomplete_and_can_be_resumed(tmp_path: Path, number: int, said: str) -> None:
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "pytest", f"--facts={facts_file(tmp_path)}", "-n1"]
    process = subprocess.Popen(
        [*command, f"--run-dir={folder}", "--cells=eager and gpt2-tiny and fp32", "--inject=hang:eager/*::correct[decode]"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    hangs = "eager/gpt2-tiny/fp32/cpu::correct[decode]"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not _hangs(folder):
        time.sleep(0.1)
    beside = subprocess.run([*command, f"--resume={folder}"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    process.send_signal(number)
    if number == signal.SIGTERM:  # and once more, as `timeout` does
        time.sleep(0.05)
        process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    interrupted = read_run(folder)
    _forget_the_fault(folder)
    done = subprocess.run([*command, f"--resume={folder}"], cwd=ROOT, capture_output=True, text=True, timeout=240)
    resumed = read_run(folder)

    refused = f"{folder}: process {process.pid} on {socket.gethostname()} is recording there: wait for it, or end it"
    assert (pytest.ExitCode.USAGE_ERROR, True) == (beside.returncode, f"ERROR: {refused}" in beside.stderr), beside.stderr
    assert process.returncode == (-signal.SIGKILL if number == signal.SIGKILL else pytest.ExitCode.INTERRUPTED)
    assert said in output
    assert number == signal.SIGKILL or "planned and never run" in output
    assert not interrupted.header.complete
    assert hangs in interrupted.missing
    assert (0, True, ()) == (done.returncode, resumed.whole, resumed.superseded), done.stdout
    assert f"{len(interrupted.missing)} passed" in done.stdout


def _hangs(folder: Path) -> bool:
    return any("correct:decode" in path.read_text() for path in (folder / "workers").glob("*.note"))


def _forget_the_fault(folder: Path) -> None:
    """A machine that no longer hangs: in the header and in the fingerprint the fault never was."""
    for name in ("run.json", "environment.json"):
        path = folder / name
        words = path.read_text().replace("hang:eager/*::correct[decode]", "")
        path.write_text(words.replace('"injected": [\n  ""\n ]', '"injected": []'))
