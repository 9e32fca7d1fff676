"""A run is recorded as it goes, and one that did less than it planned is a failure, whatever pytest says."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from matrix.errors import UserError
from matrix.expand import checks, environment_checks
from matrix.load import load_matrix
from reports import recorder
from reports.recorder import EXPECTATIONS, PLANNED, Planned, Recorder, check_id
from reports.run import Expectation, Run, Status
from reports.store import JUNIT, RECORDS, read_run

NODE = "suites/attention/test_correctness.py::test_logits[sdpa/llama-tiny/bf16/cpu:correct:{}]"
CHECK = "sdpa/llama-tiny/bf16/cpu::correct[{}]"


def planned(folder: Path, *subjects: str, **changes: Any) -> Planned:
    usual: dict[str, Any] = {
        "folder": folder, "platform": "cpu", "tier": "quick", "cells": "*", "environment": "", "injected": (), "baseline": "",
        "checks": tuple(CHECK.format(subject) for subject in subjects), "arguments": ("--tier=quick", "-n0"),
        "fingerprint": {"a": 1},
    }  # fmt: skip
    return Planned(**usual | changes)


def report(subject: str = "short", outcome: str = "passed", **changes: Any) -> Any:
    """The report of a check as fixtures/measure.py leaves it."""
    carried = {
        "id": CHECK.format(subject), "configuration": "sdpa", "model": "llama-tiny", "dtype": "bf16", "platform": "cpu",
        "check": "correct", "subject": subject, "outcome": outcome, "message": "why",
    }  # fmt: skip
    return SimpleNamespace(nodeid=NODE.format(subject), check=carried | changes, when="call", failed=outcome == "failed")


def session(exitstatus: int = 0, *expectations: Expectation) -> Any:
    config = SimpleNamespace(stash=pytest.Stash())
    config.stash[EXPECTATIONS] = expectations
    return SimpleNamespace(config=config, exitstatus=exitstatus)


def finished(
    plan: Planned, *reports: Any, narrowed: bool = False, status: int = 0, expectations: Any = ()
) -> tuple[Recorder, Any]:
    recording, ended = Recorder(plan, narrowed=narrowed), session(status, *expectations)
    for each in reports:
        recording.pytest_runtest_logreport(each)
    recording.pytest_sessionfinish(ended, status)
    return recording, ended


# ids


@pytest.mark.parametrize(
    ("nodeid", "expected"),
    [
        (NODE.format("left-padding"), CHECK.format("left-padding")),
        ("a.py::b[eager/m/fp32/cpu:invariant:padded:left-padding]", "eager/m/fp32/cpu::invariant[padded:left-padding]"),
        ("a.py::b[eager/m/fp32/cpu:builds]", "eager/m/fp32/cpu::builds"),
        ("a.py::b[x]", ""),
        ("a.py::b", ""),
    ],
)
def test_a_tests_id_names_its_check(nodeid: str, expected: str) -> None:
    assert expected == check_id(nodeid)


@pytest.mark.parametrize("platform", ["cpu", "cuda", "rocm"])
def test_the_id_of_every_planned_check_comes_back_from_its_test(platform: str) -> None:
    """As fixtures/selection.py writes it; a check whose process died is known by it alone."""
    every = [*checks(load_matrix(), platform, "headline"), *environment_checks(("torch", "flash-attn"), platform)]
    nodeids = {check.id: f"a.py::b[{check.cell.id}:{check.kind}:{check.subject}".rstrip(":") + "]" for check in every}

    assert list(nodeids) == [check_id(nodeid) for nodeid in nodeids.values()]


# records


def test_a_check_is_on_disk_when_its_test_ends(tmp_path: Path) -> None:
    recording = Recorder(planned(tmp_path / "run", "short", "long"), narrowed=False)
    recording.pytest_runtest_logreport(report("short"))
    (line,) = (tmp_path / "run" / RECORDS).read_text().splitlines()

    assert (CHECK.format("short"), "passed", "main") == tuple(json.loads(line)[key] for key in ("id", "outcome", "worker"))


def test_a_record_says_how_to_run_the_check_again(tmp_path: Path) -> None:
    recording, _ = finished(planned(tmp_path / "run", "short"), report("short"))
    (record,) = loaded(recording).records.values()

    assert f"pytest --tier=quick -n0 '{NODE.format('short')}'" == record.command


def loaded(recording: Recorder) -> Run:
    return read_run(recording.planned.folder)


def test_a_report_without_a_check_leaves_no_record(tmp_path: Path) -> None:
    plain = SimpleNamespace(nodeid="a.py::b", when="call", failed=False)
    recording, _ = finished(planned(tmp_path / "run", "short"), plain)

    assert {} == loaded(recording).records


def test_a_check_whose_process_died_is_recorded_as_crashed(tmp_path: Path) -> None:
    """As pytest-xdist reports it: without a phase, and without what the dead process knew."""
    dead = SimpleNamespace(
        nodeid=NODE.format("short"),
        when="???",
        failed=True,
        longrepr=f"worker 'gw0' crashed while running '{NODE.format('short')}'\n",
    )
    recording, _ = finished(planned(tmp_path / "run", "short"), dead, status=1)
    (record,) = loaded(recording).records.values()

    assert (CHECK.format("short"), "crashed", "process-died", "llama-tiny") == (
        record.id,
        record.outcome,
        record.reason,
        record.model,
    )
    assert record.message.startswith("worker 'gw0' crashed")


def test_a_folder_that_holds_a_run_is_refused(tmp_path: Path) -> None:
    finished(planned(tmp_path / "run", "short"), report("short"))

    with pytest.raises(UserError, match="holds a run already"):
        Recorder(planned(tmp_path / "run", "short"), narrowed=False)


def test_a_run_leaves_a_junit_file(tmp_path: Path) -> None:
    recording, _ = finished(planned(tmp_path / "run", "short"), report("short"))

    assert 'name="correct[short]"' in (recording.planned.folder / JUNIT).read_text()


# what makes a run a failure


def test_a_run_that_did_what_it_planned_is_whole_and_green(tmp_path: Path) -> None:
    recording, ended = finished(planned(tmp_path / "run", "short"), report("short"))

    assert ([], 0, True) == (recording.troubles, ended.exitstatus, loaded(recording).whole)


def test_a_run_that_executed_nothing_is_a_failure(tmp_path: Path) -> None:
    recording, ended = finished(planned(tmp_path / "run", "short"))

    assert (["no check was executed, 1 were planned: an empty run proves nothing"], 1) == (recording.troubles, ended.exitstatus)


def test_a_run_of_skips_alone_is_a_failure(tmp_path: Path) -> None:
    _, ended = finished(planned(tmp_path / "run", "short"), report("short", "skipped"))

    assert 1 == ended.exitstatus


def test_packages_that_import_do_not_make_a_run_of_skipped_cells(tmp_path: Path) -> None:
    imports = report(
        "", id="environment/torch/any/cpu::imports", configuration="environment", model="torch", dtype="any", check="imports"
    )
    plan = planned(tmp_path / "run", "short")
    recording, ended = finished(plan, imports, report("short", "skipped", message="needs 2 GPUs, this machine has 1"))

    assert 1 == ended.exitstatus
    assert [
        "no cell was executed, the first was skipped because needs 2 GPUs, this machine has 1: "
        "a run that validates nothing proves nothing"
    ] == recording.troubles  # fmt: skip


def test_a_run_that_lost_a_check_is_a_failure(tmp_path: Path) -> None:
    recording, ended = finished(planned(tmp_path / "run", "short", "long"), report("short"))

    assert 1 == ended.exitstatus
    assert [
        f"1 of 2 planned checks left no record, the first is {CHECK.format('long')}: a test was removed, deselected or lost"
    ] == recording.troubles  # fmt: skip


@pytest.mark.parametrize("status", [Status.STALE, Status.EXPIRED, Status.UNMATCHED])
def test_an_expectation_that_describes_nothing_is_a_failure(tmp_path: Path, status: Status) -> None:
    entry = Expectation(cells="sdpa", url="https://example.org/1", status=status, message="look at it")
    recording, ended = finished(planned(tmp_path / "run", "short"), report("short"), expectations=(entry,))

    assert (["expectation 'sdpa' (https://example.org/1): look at it"], 1) == (recording.troubles, ended.exitstatus)


def test_an_expectation_in_force_is_recorded_and_no_failure(tmp_path: Path) -> None:
    entry = Expectation(cells="sdpa", url="https://example.org/1", status=Status.MATCHED)
    recording, ended = finished(planned(tmp_path / "run", "short"), report("short"), expectations=(entry,))

    assert ((entry,), 0) == (loaded(recording).header.expectations, ended.exitstatus)


@pytest.mark.parametrize("status", [2, 3, 4, 5])
def test_a_status_that_pytest_gave_is_kept(tmp_path: Path, status: int) -> None:
    """Interrupted, internal error, usage error, nothing collected."""
    recording, ended = finished(planned(tmp_path / "run", "short"), status=status)

    assert (status, False) == (ended.exitstatus, loaded(recording).header.complete)


def test_a_baseline_that_cannot_be_read_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="gone: is no folder"):
        Recorder(planned(tmp_path / "run", "short", baseline=str(tmp_path / "gone")), narrowed=False)

    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("outcome", "expected"), [("passed", 0), ("failed", 1)])
def test_a_run_that_is_worse_than_its_baseline_is_a_failure(tmp_path: Path, outcome: str, expected: int) -> None:
    finished(planned(tmp_path / "before", "short"), report("short"))
    plan = planned(tmp_path / "after", "short", baseline=str(tmp_path / "before"))
    recording, ended = finished(plan, report("short", outcome))

    assert (expected, expected) == (ended.exitstatus, len(recording.troubles))


# a run of less than the plan


def test_a_narrowed_run_plans_what_it_collected(tmp_path: Path) -> None:
    recording = Recorder(planned(tmp_path / "run", "short", "long"), narrowed=True)
    collected = [SimpleNamespace(nodeid=NODE.format("short")), SimpleNamespace(nodeid="a.py::no_check")]
    recording.pytest_collection_finish(SimpleNamespace(items=collected))  # type: ignore[arg-type]
    recording.pytest_runtest_logreport(report("short"))
    ended = session()
    recording.pytest_sessionfinish(ended, 0)
    header = loaded(recording).header

    assert ((CHECK.format("short"),), True, 0) == (header.planned, header.narrowed, ended.exitstatus)


def test_with_workers_the_plan_is_what_one_of_them_collected(tmp_path: Path) -> None:
    recording = Recorder(planned(tmp_path / "run", "short", "long"), narrowed=True)
    for _ in range(2):
        recording.pytest_xdist_node_collection_finished(None, [NODE.format("long")])

    assert (CHECK.format("long"),) == loaded(recording).header.planned


def test_a_whole_run_keeps_its_plan_whatever_is_collected(tmp_path: Path) -> None:
    """Or a test that was removed would take its check out of the plan."""
    recording = Recorder(planned(tmp_path / "run", "short", "long"), narrowed=False)
    recording.pytest_xdist_node_collection_finished(None, [NODE.format("short")])

    assert (CHECK.format("short"), CHECK.format("long")) == loaded(recording).header.planned


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, False),
        ({"keyword": "flash"}, True),
        ({"markexpr": "check"}, True),
        ({"deselect": ["a"]}, True),
        ({"ignore": ["a"]}, True),
        ({"ignore_glob": ["a"]}, True),
        ({"lf": True}, True),
    ],
)
def test_a_command_line_that_asks_for_less_than_the_plan_is_narrowed(options: dict[str, Any], expected: bool) -> None:
    usual = {"keyword": "", "markexpr": "", "deselect": None, "ignore": None, "ignore_glob": None}
    source = pytest.Config.ArgsSource.TESTPATHS
    config: Any = SimpleNamespace(option=SimpleNamespace(**usual | options), args_source=source)

    assert expected == recorder._narrowed(config)


def test_a_path_on_the_command_line_narrows_the_run() -> None:
    usual = {"keyword": "", "markexpr": "", "deselect": None, "ignore": None, "ignore_glob": None}
    config: Any = SimpleNamespace(option=SimpleNamespace(**usual), args_source=pytest.Config.ArgsSource.ARGS)

    assert recorder._narrowed(config)


# which process records


@pytest.mark.parametrize(
    ("changes", "expected"), [({}, 1), ({"workerinput": {}}, 0), ({"collectonly": True}, 0), ({"planned": False}, 0)]
)
def test_only_the_process_that_collects_and_runs_records(tmp_path: Path, changes: dict[str, Any], expected: int) -> None:
    registered: list[object] = []
    option = SimpleNamespace(
        keyword="", markexpr="", deselect=None, ignore=None, ignore_glob=None, collectonly=changes.pop("collectonly", False)
    )
    config = SimpleNamespace(
        option=option, stash=pytest.Stash(), args_source=pytest.Config.ArgsSource.TESTPATHS,
        pluginmanager=SimpleNamespace(register=lambda plugin, name: registered.append(plugin)),
    )  # fmt: skip
    if changes.pop("planned", True):
        config.stash[PLANNED] = planned(tmp_path / "run", "short")
    vars(config).update(changes)
    recorder.pytest_sessionstart(SimpleNamespace(config=config))  # type: ignore[arg-type]

    assert expected == len(registered)
