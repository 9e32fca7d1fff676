"""Measuring processes: what each fault of latency leaves in the evidence, and what becomes of one that ends them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fixtures.faults import latency as faults
from fixtures.findings import Finding
from fixtures.latency import campaign, counters
from fixtures.latency.campaign import Server
from fixtures.latency.evidence import record, repeated
from fixtures.latency.found import Asked, Findings, Found, lose
from fixtures.latency.handover import REPLAY, hand_over
from fixtures.latency.measuring import Job, Process
from fixtures.latency.server import _anew, known
from fixtures.latency.tasks import MAKERS
from fixtures.measure import Measurement
from matrix.cell import TIMED
from matrix.measuring import load_measuring
from reports.record import Outcome, Record

PREFILL, ALTERNATING = (f"sdpa/llama-mini/bf16/cpu::latency[{name}]" for name in ("prefill-2x64", "alternating-shapes"))
DECODE = "sdpa/llama-mini/bf16/cpu::latency[decode-2x64]"
CHECKS = {id: Asked(check=check) for id, check in known("cpu").items() if id in (PREFILL, DECODE, ALTERNATING)}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One environment for all: its libraries are imported once."""
    with Server("cpu") as started:
        yield started


def measured(server: Server, id: str, *inject: str) -> Record:
    """The record of a check after one process that timed it and one that counted, with these faults in force."""
    server.inject = inject
    server.findings = type(server.findings)()
    for number, counting in enumerate((False, True)):
        server.measure(number, [CHECKS[id]], counting=counting)
    return record(CHECKS[id], server.findings)


@pytest.fixture(scope="module")
def clean(server: Server) -> dict[str, dict[str, Any]]:
    """What each check gives without a fault."""
    return {id: measured(server, id).evidence["latency"] for id in CHECKS}


def test_a_server_goes_on_with_what_another_one_has_started(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server("cpu") as early, Server("cpu") as late:
        early.start()
        monkeypatch.setattr(campaign.subprocess, "Popen", lambda *_, **__: pytest.fail("another one was started"))
        late.take_over(early)
        early.stop()
        late.measure(0, [CHECKS[PREFILL]], counting=False)

        assert (1, True) == (len(late.findings.of[PREFILL]), 0 < late.awaited)


def test_a_check_has_its_figures_counts_and_the_way_it_was_started(clean: dict[str, dict[str, Any]]) -> None:
    found = clean[DECODE]

    assert ["time_per_output_token"] == list(found["figures"])
    assert ("fork", 0, 0) == (found["start"], found["counters"]["synchronizations"], found["counters"]["retained"])
    assert found["figures"]["time_per_output_token"]["processes"][0]["median"] > 0


@pytest.mark.parametrize(
    ("fault", "id", "counter"),
    [
        ("host-sync", DECODE, "synchronizations"),
        ("memory-retained", PREFILL, "retained"),
        ("dtype-upcast", PREFILL, "casts"),
        ("layer-overhead", DECODE, "operators"),
        ("python-overhead", DECODE, "python_calls"),
        ("shapes-retuned", ALTERNATING, "operators"),
    ],
)
def test_a_fault_of_latency_is_counted(
    fault: str, id: str, counter: str, server: Server, clean: dict[str, dict[str, Any]]
) -> None:
    broken = measured(server, id, fault).evidence["latency"]

    assert broken["counters"][counter] > clean[id]["counters"][counter]


def test_a_wait_of_the_host_is_told_with_its_call_site(server: Server) -> None:
    sites = measured(server, DECODE, "host-sync").evidence["latency"]["sites"]

    assert [("change", 1)] == [(site.split()[-1], count) for site, count in sites.items()]
    assert next(iter(sites)).startswith("latency.py:")


def test_a_slowdown_is_as_large_as_was_asked_for(server: Server) -> None:
    """One process measures both, in turns, so that whoever else is on the machine slows down both."""
    asked = [CHECKS[PREFILL], Asked(check=CHECKS[PREFILL].check, inject=("slower:400",))]
    server.inject, server.findings = (), type(server.findings)()
    server.measure(0, asked, counting=False)
    was, now = (server.findings.of[each.key][0].result["figures"]["prefill"]["median"] for each in asked)

    assert now > 2 * was


def test_a_check_that_ends_its_process_costs_itself_alone(server: Server) -> None:
    server.inject, server.findings = (f"segfault:{PREFILL}",), type(server.findings)()
    server.measure(0, [CHECKS[PREFILL], CHECKS[DECODE]], counting=False)
    crashed, passed = (record(CHECKS[id], server.findings) for id in (PREFILL, DECODE))

    assert (Outcome.CRASHED, Outcome.PASSED) == (crashed.outcome, passed.outcome)
    assert "was ended by signal 11" in crashed.message


def test_a_check_that_hangs_costs_itself_alone(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else its process has to do, and however long that takes."""
    monkeypatch.setattr(campaign, "STARTING", 30.0)
    monkeypatch.setattr(campaign, "CHECKING", dict.fromkeys(campaign.CHECKING, 4.0))
    server.inject, server.findings = (f"hang:{PREFILL}",), type(server.findings)()
    server.measure(0, [CHECKS[DECODE], CHECKS[PREFILL], CHECKS[ALTERNATING]], counting=False)
    ended = {id: record(CHECKS[id], server.findings) for id in (DECODE, PREFILL, ALTERNATING)}

    assert [Outcome.PASSED, Outcome.TIMED_OUT, Outcome.PASSED] == [each.outcome for each in ended.values()]
    assert "its measuring process said nothing of it within 4 s" in ended[PREFILL].message


@pytest.mark.parametrize("counts", [True, False])
def test_whether_it_counts_reaches_the_process_that_is_asked(counts: bool, server: Server) -> None:
    server.inject, server.findings = (), type(server.findings)()
    order: list[dict[str, Any]] = []
    told = json.dumps

    def dumps(value: Any) -> str:
        order.append(value)
        return told(value)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(campaign.json, "dumps", dumps)
        server.measure(0, [CHECKS[DECODE]], counting=True, counts=counts)

    assert [counts] == [job["counts"] for job in order[0]["jobs"]]


def test_a_job_is_counted_or_traced_alone_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process("cpu", load_measuring("cpu"), lambda found: None)
    asked: list[bool] = []
    monkeypatch.setattr(process, "_build", lambda check: None)
    monkeypatch.setattr(process, "_tasks", lambda built, workload: [None])
    monkeypatch.setattr(process, "_counted", lambda task, counts: asked.append(counts) or {})
    for counts in (True, False):
        process._measured(Job(check=CHECKS[DECODE].check, counting=True, counts=counts))

    assert [True, False] == asked


def test_what_a_process_found_is_kept_and_not_measured_again(tmp_path: Path, server: Server) -> None:
    (tmp_path / "timed-0-0.jsonl").write_text(kept(PREFILL) + '{"check": "sdpa/llama-mi')  # cut off
    with Server("cpu", keep=tmp_path, identity="here") as second:
        second.findings.go_on_from(tmp_path, "here", 5)
        second.measure(0, [CHECKS[PREFILL], CHECKS[DECODE]], counting=False)

    assert (1, 1) == (len(second.findings.of[PREFILL]), len(second.findings.of[DECODE]))
    assert [DECODE] == [json.loads(line)["check"] for line in (tmp_path / "timed-0-1.jsonl").open() if '"check"' in line]


def kept(check: str, identity: str = "here", **more: object) -> str:
    """What a measuring process wrote."""
    lines = [{"started": {"start": "fork", "identity": identity}}, {"check": check, "inject": [], "figures": {}, **more}]
    return "".join(json.dumps(line) + "\n" for line in lines)


@pytest.mark.parametrize(
    ("name", "text", "processes"),
    [
        ("timed-0-0.jsonl", kept(PREFILL, "elsewhere"), 5),
        ("timed-0-0.jsonl", kept(PREFILL, error={"outcome": "failed", "code": "x", "sentence": "x"}), 5),
        ("timed-3-0.jsonl", kept(PREFILL), 3),
    ],
    ids=["another machine", "a check that failed", "fewer processes"],
)
def test_what_was_kept_of_another_measurement_is_left_out_and_counted(
    tmp_path: Path, name: str, text: str, processes: int
) -> None:
    (tmp_path / name).write_text(text)
    findings = Findings()
    findings.go_on_from(tmp_path, "here", processes)

    assert ({}, 1) == (dict(findings.of), findings.left_out)


def test_a_check_that_ended_its_process_is_lost_in_a_resumed_run_too(tmp_path: Path) -> None:
    file = tmp_path / "timed-0-0.jsonl"
    file.write_text(kept(DECODE) + '{"check": "cut')
    lose(file, CHECKS[PREFILL], ("crashed", "signal 11"))
    findings = Findings()
    findings.go_on_from(tmp_path, "here", 5)

    assert {PREFILL: ("crashed", "signal 11")} == findings.lost


def test_a_lost_device_costs_the_check_in_which_it_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process goes on with the others."""
    said: list[dict[str, Any]] = []
    process = Process("cpu", load_measuring("cpu"), lambda found: said.append(dict(found)))

    def measured(job: Job) -> dict[str, Any]:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(process, "_measured", measured)
    process.run([Job(check=CHECKS[PREFILL].check), Job(check=CHECKS[DECODE].check)])

    assert [(PREFILL, "crashed")] == [(entry["check"], entry["error"]["outcome"]) for entry in said if "check" in entry]


def test_what_the_library_raises_is_the_outcome_of_the_check(server: Server) -> None:
    error = {"outcome": "refused", "code": "ValueError", "sentence": "does not support it"}
    findings = type(server.findings)()
    findings.of[PREFILL] = [Found(process=0, result={"error": error}, start="fork", context=0.0, telemetry="")]

    assert (Outcome.REFUSED, "does not support it") == (
        (found := record(CHECKS[PREFILL], findings)).outcome,
        found.message,
    )


def test_a_check_that_was_not_measured_fails(server: Server) -> None:
    assert "not-measured" == record(CHECKS[PREFILL], type(server.findings)()).reason


def test_disabled_benchmarks_are_a_failure(server: Server) -> None:
    measured(server, PREFILL)
    check = CHECKS[PREFILL].check

    with pytest.raises(Finding, match="pytest-benchmark is disabled"):
        hand_over(check, server.findings, Measurement(check), SimpleNamespace(enabled=False), {})


@pytest.mark.parametrize(("name", "fine"), [("test[x]", True), ("test[y]", False)])
def test_a_benchmark_that_is_not_among_the_saved_ones_is_a_failure(name: str, fine: bool, server: Server) -> None:
    """pytest-benchmark leaves it out of the comparison without a word."""
    measured(server, PREFILL)
    check, told = CHECKS[PREFILL].check, lambda *_, **__: None
    benchmark = SimpleNamespace(enabled=True, extra_info={}, pedantic=told, stats=object(), fullname="test[x]")

    with nullcontext() if fine else pytest.raises(Finding, match=r"test\[x\] is not in 0001.json"):
        hand_over(check, server.findings, Measurement(check), benchmark, {"0001.json": {name: {}}})


def test_a_profiler_that_sees_no_kernel_of_the_device_is_a_failure() -> None:
    figure = {"clock": "device", "tokens": 8, "units": 1, "samples": [1e-3], "median": 1e-3, "marked": []}
    result = {"figures": {"prefill": figure}, "counts": [{"launches": 0}], "memory": {}, "telemetry": {}}
    findings = Findings()
    findings.of[PREFILL] = [Found(process=0, result=result, start="fork", context=0.0, telemetry="")]

    assert "not-traced" == record(CHECKS[PREFILL], findings).reason


def test_counts_that_do_not_repeat_are_set_apart() -> None:
    assert ({"casts": 3}, {"operators": [1, 2]}) == repeated([{"operators": 1, "casts": 3}, {"operators": 2, "casts": 3}])


@pytest.mark.benchmark(timer=REPLAY)
def test_pytest_benchmark_tells_the_samples_that_were_measured_elsewhere(benchmark: Any) -> None:
    if not benchmark.enabled:
        pytest.skip("pytest-benchmark disables itself in the workers of pytest-xdist")

    benchmark.pedantic(REPLAY.step, setup=REPLAY.rewind, rounds=REPLAY.load([0.25, 0.5, 1.0]))

    assert [0.25, 0.5, 1.0] == benchmark.stats.stats.data


def test_every_schedule_that_may_be_timed_has_its_tasks() -> None:
    assert set(TIMED) == set(MAKERS)


def test_every_fault_of_latency_is_tried() -> None:
    assert {fault.name for fault in faults.FAULTS} == {
        "host-sync", "memory-retained", "dtype-upcast", "layer-overhead", "python-overhead", "shapes-retuned", "slower"
    }  # fmt: skip


@pytest.mark.slow
def test_where_a_fork_is_not_safe_processes_are_started_anew(server: Server) -> None:
    """The measuring process imports for itself, and finds the same."""
    order = {"platform": "cpu", "inject": [], "own": 0, "start": "spawn", "identity": "here",
             "jobs": [{"check": DECODE, "inject": [], "counting": False, "counts": True}]}  # fmt: skip
    out, words = (Path(server._folder.name) / name for name in ("anew", "anew-words"))

    assert 0 == _anew(order | {"out": str(out), "words": str(words)}), words.read_text()
    assert ["started", "check", "finished"] == [next(iter(json.loads(line))) for line in out.read_text().splitlines()]


def test_a_call_site_is_told_by_modules_wherever_they_are_installed() -> None:
    """Torch may lie in any folder, and others in a folder of that name."""
    found: list[str] = []
    theirs: dict[str, Any] = {"__name__": "torch.cuda", "look": lambda: found.append(counters.site(sys._getframe(1)))}
    exec(compile("def wait(): look()", "/anywhere/cuda.py", "exec"), theirs)
    ours: dict[str, Any] = {"__name__": "transformers.models", "wait": theirs["wait"]}
    exec(compile("def forward(): wait()", "/opt/torch/site-packages/transformers/models.py", "exec"), ours)
    ours["forward"]()

    assert ["models.py:1 forward"] == found
