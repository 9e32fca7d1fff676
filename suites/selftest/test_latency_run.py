"""Whole runs that take latency: after workers, with pytest-benchmark disabled, and of two environments in turns."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from fixtures.latency import alternating
from fixtures.latency.found import FOLDER
from reports.__main__ import main
from reports.store import read_run
from suites.selftest.nested import validate

PREFILL = "sdpa/llama-mini/bf16/cpu::latency[prefill-2x64]"
NARROW = ("--cells", "sdpa and llama-mini", "-k", "prefill-2x64 or imports", "--processes=1")


@pytest.mark.slow
def test_latency_is_taken_after_workers_and_stored_by_pytest_benchmark(tmp_path: Path) -> None:
    stored = f"--benchmark-json={tmp_path / 'stored.json'}"
    found = validate(tmp_path, "-p", "suites.selftest.survivors", *NARROW, stored, workers=2)

    assert found.run is not None and 0 == found.exit_code, found.output
    assert ("passed", "main", ()) == (
        found.run.records[PREFILL].outcome,
        found.run.records[PREFILL].worker,
        found.run.missing,
    )
    assert "2 workers were started, 0 live while latency is taken" in found.run.header.notes
    assert [PREFILL] == [
        entry["extra_info"]["check"] for entry in json.loads((tmp_path / "stored.json").read_text())["benchmarks"]
    ]


@pytest.mark.slow
def test_views_of_pytest_benchmark_are_of_the_same_samples(tmp_path: Path) -> None:
    """A run that is kept is compared with, and drawn beside, the next one."""
    kept = (*NARROW, f"--benchmark-storage=file://{tmp_path / 'kept'}")
    first = validate(tmp_path / "first", *kept, "--benchmark-autosave")
    second = validate(tmp_path / "second", *kept, "--benchmark-compare", f"--benchmark-histogram={tmp_path / 'drawn'}")

    assert (0, 0) == (first.exit_code, second.exit_code), first.output + second.output
    assert "Comparing against benchmarks from" in second.output
    assert "(0001_" in second.output
    assert "(NOW)" in second.output
    assert [True] == [b"0001" in drawn.read_bytes() for drawn in tmp_path.glob("drawn*.svg")]


@pytest.mark.slow
def test_a_comparison_with_nothing_that_was_kept_is_refused(tmp_path: Path) -> None:
    found = validate(tmp_path, *NARROW, f"--benchmark-storage=file://{tmp_path / 'kept'}", "--benchmark-compare")

    assert 4 == found.exit_code
    assert "no saved benchmark to compare with" in found.output


@pytest.mark.slow
def test_a_run_with_benchmarks_disabled_is_red(tmp_path: Path) -> None:
    found = validate(tmp_path, *NARROW, "--benchmark-disable", workers=2)

    assert found.run is not None, found.output
    assert (1, "benchmarks-disabled") == (found.exit_code, found.run.records[PREFILL].reason)


@pytest.mark.slow
@pytest.mark.parametrize(("inject", "expected"), [([], (0, 3)), (["--inject=host-sync"], (1,))])
def test_two_environments_are_measured_in_turns_and_judged(
    inject: list[str], expected: tuple[int, ...], tmp_path: Path
) -> None:
    """The same environment twice: nothing got worse, until one of them is broken."""
    told = StringIO()
    arguments = ["ab", f"--a={sys.executable}", f"--b={sys.executable}", "--platform=cpu", "--cells=eager and llama-mini"]

    assert main([*arguments, f"--run-dir={tmp_path}", *inject], told) in expected, told.getvalue()


@pytest.mark.slow
def test_turns_that_were_interrupted_are_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = [f"--a={sys.executable}", f"--b={sys.executable}", "--platform=cpu", "--cells=eager and llama-mini",
                 f"--run-dir={tmp_path}", "--processes=2"]  # fmt: skip
    monkeypatch.setattr(alternating.signal, "signal", lambda *_: None)  # these are pytest's
    measure = alternating.measure

    def interrupted(*given: Any, told: Callable[[str], None]) -> None:
        measure(*given, told=_raising_at("process 3 ", told))

    with monkeypatch.context() as patched:
        patched.setattr(alternating, "measure", interrupted)
        assert alternating.INTERRUPTED == alternating.main(arguments)
    kept = {name: json.loads((tmp_path / name / FOLDER / "timed-0-0.jsonl").read_text().splitlines()[1]) for name in "ab"}

    assert 0 == alternating.main(arguments)
    for name, found in kept.items():
        assert not (tmp_path / name / FOLDER).exists()
        [figures] = [read_run(tmp_path / name).records[found["check"]].evidence["latency"]["figures"]]
        processes = {figure: [each["samples"] for each in told["processes"]] for figure, told in figures.items()}
        assert {figure: told["samples"] for figure, told in found["figures"].items()} == {
            figure: samples[0] for figure, samples in processes.items()
        }
        assert {2} == {len(samples) for samples in processes.values()}
    assert 2 == alternating.main(arguments), "two runs that are whole are not written over"


def _raising_at(words: str, told: Callable[[str], None]) -> Callable[[str], None]:
    def tell(sentence: str) -> None:
        told(sentence)
        if words in sentence:
            raise KeyboardInterrupt

    return tell
