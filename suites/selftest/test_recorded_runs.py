"""What README says was measured on a GPU is what the recorded runs say."""

from __future__ import annotations

import re
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from matrix.availability import ROOT
from matrix.expand import checks
from matrix.load import load_matrix
from reports import timing
from reports.compare import compare
from reports.record import Outcome
from reports.render import placement, quantization, speedup, trials
from reports.scaling import scaling
from reports.store import read_run
from reports.summary import judge
from reports.thresholds import load_thresholds
from reports.verdict import Kind

RECORDED = ROOT / "reports" / "recorded"
README = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
HEADLINE = ("h200-headline-llama-7b", "h200-headline-llama-7b-padded", "h200-headline-falcon-7b")
PADDED = "sdpa/llama-mini/bf16/cuda::latency[padded-2x64]"
RUNS = sorted(path.name for path in RECORDED.iterdir() if path.is_dir())


@pytest.mark.parametrize("name", RUNS)
def test_a_recorded_run_is_whole_and_good(name: str) -> None:
    run = read_run(RECORDED / name)

    assert ((), True, True) == (run.damage, run.whole, judge(run).good)


def test_what_readme_names_is_there() -> None:
    named = set(re.findall(r"reports/recorded/[\w./-]*\w", "\n".join(README)))

    assert named
    assert [] == [name for name in sorted(named) if not (ROOT / name).exists()]


def lines(*begin: str) -> set[str]:
    return {line for line in README if line.startswith(begin)}


@pytest.mark.parametrize(
    ("names", "begin", "table"),
    [
        (HEADLINE, ("| llama-7b |", "| falcon-7b |"), speedup.table),
        (("h200-placement",), ("| max-memory-", "| device-map-"), placement.table),
    ],
)
def test_the_lines_of_a_table_are_those_of_its_runs(
    names: tuple[str, ...], begin: tuple[str, ...], table: Callable[..., str]
) -> None:
    told = {line for name in names for line in table(read_run(RECORDED / name)).splitlines()}

    assert lines(*begin)
    assert set() == lines(*begin) - told


def unpacked(name: str, folder: Path) -> Path:
    """The folder of recorded runs that are kept packed."""
    with tarfile.open(RECORDED / f"{name}.tar.xz") as packed:
        packed.extractall(folder, filter="data")
    return folder / name


SPREAD = "max-memory-gpus-sdpa/llama-deep-tiny/bf16/cuda"
BROKEN: dict[str, dict[str, tuple[str, int]]] = {
    "copy-corrupted": {"copies/gpu-pairs/fp32/cuda": ("failed", 6)},
    "layer-spilled": {SPREAD: ("failed", 1)},
    "gpu-unavailable": {SPREAD: ("failed", 1)},
    "border-truncated": {SPREAD: ("failed", 5)},
    "stale-row": {SPREAD: ("failed", 5)},
    "stale-prompt": {SPREAD: ("failed", 2)},
    "fetched-kept": {"max-memory-gpu-cpu-sdpa/llama-deep-tiny/bf16/cuda": ("failed", 1)},
    "head-untied": {"max-memory-gpus-sdpa/gpt2-tiny/bf16/cuda": ("failed", 1)},
    "ties-lost": {"max-memory-gpus-sdpa/gpt2-tiny/bf16/cuda": ("failed", 1)},
    "offload-kept": {"max-memory-gpu-cpu-sdpa/llama-deep-tiny/bf16/cuda": ("failed", 3)},
    "spilled-further": {"max-memory-gpu-cpu-sdpa/llama-deep-tiny/bf16/cuda": ("failed", 1)},
    "loaded-wrong": {SPREAD: ("failed", 4)},
    "tokens-wrong": {SPREAD: ("failed", 2)},
    "not-a-number": {SPREAD: ("failed", 5)},
    "buffer-grown": {SPREAD: ("failed", 1)},
    "no-room": {SPREAD: ("failed", 1)},
    "hook-hangs": {"max-memory-gpu-cpu-sdpa/llama-deep-tiny/bf16/cuda": ("timed_out", 5)},
    "collective-hangs": {"copies/gpu-pairs/fp32/cuda": ("timed_out", 1)},
    "original-kept": {"max-memory-gpus-bnb-int8/llama-deep-tiny/bf16/cuda": ("failed", 1)},
}
SOUND: dict[str, dict[str, tuple[str, int]]] = {
    "quick-on-another-host": {},
    "full": {
        "device-map-auto-bnb-nf4/gpt2-tiny/fp32/cuda": ("expected_failure", 1),
        "max-memory-gpus-bnb-nf4/gpt2-tiny/fp32/cuda": ("expected_failure", 1),
    },
}


@pytest.mark.parametrize("name", [*BROKEN, *SOUND])
def test_faults_over_a_real_border_turned_red_what_they_broke_and_nothing_else(name: str, tmp_path: Path) -> None:
    run = read_run(unpacked("h200-placement-runs", tmp_path) / name)
    bad = [record for record in run.records.values() if str(record.outcome) != "passed"]
    found = Counter((record.id.partition("::")[0], str(record.outcome)) for record in bad)

    assert run.whole
    assert [fault.partition("-")[2] for fault in run.header.injected] == ([name] if name in BROKEN else [])
    assert {(cell, outcome): count for cell, (outcome, count) in (BROKEN | SOUND)[name].items()} == found


def test_readme_tells_how_many_placements_of_the_full_tier_ran(tmp_path: Path) -> None:
    records = read_run(unpacked("h200-placement-runs", tmp_path) / "full").records
    names = ("device-map-", "max-memory-", "copies", "guide-bitsandbytes-two-gpus")
    asked = {check.id for check in checks(load_matrix(), "cuda", "full") if check.id.startswith(names)}
    passed = sum(records[name].outcome is Outcome.PASSED for name in asked & set(records))

    assert f"{len(asked & set(records))} of the {len(asked)} checks ran" in " ".join(README)
    assert f"{passed} passed" in " ".join(README)


def test_trials_are_those_that_were_recorded(tmp_path: Path) -> None:
    timed = trials.table(sorted(unpacked("h200-trials", tmp_path).iterdir())).splitlines()
    traced = trials.table(sorted(unpacked("h200-traced-trials", tmp_path).iterdir())).splitlines()
    rows = lines("| sdpa/llama-")

    assert 16 == len(rows)
    assert set() == rows - set(timed) - set(traced)


def test_identical_runs_on_two_gpus_are_told_apart_as_rarely_as_readme_says(tmp_path: Path) -> None:
    folder, thresholds = unpacked("h200-traced-trials", tmp_path), load_thresholds()
    runs = [sorted((folder / name).glob("same-*")) for name in ("second", "third")]
    compared = [compare(*map(read_run, pair), thresholds) for pair in zip(*runs, strict=True)]
    changed = [item for each in compared for item in each.verdicts if item.kind is not Kind.UNCHANGED]
    judged = sum(len(each.verdicts) for each in compared)

    assert f"make {len(compared)} pairs more: {len(changed)} of {judged} checks was judged changed" in " ".join(README)


def test_sizes_errors_and_quality_of_bitsandbytes_are_those_that_were_recorded(tmp_path: Path) -> None:
    gpu, cpu = unpacked("h200-bitsandbytes", tmp_path), unpacked("cpu-bitsandbytes", tmp_path)
    told = {line for run in (gpu / "full", cpu) for line in quantization.table(read_run(run), "llama-tiny").splitlines()}
    rows = lines("| bnb-")

    assert len(rows) > 20
    assert set() == rows - told


def test_no_check_of_bitsandbytes_failed_on_an_h200(tmp_path: Path) -> None:
    folder = unpacked("h200-bitsandbytes", tmp_path)
    run = read_run(folder / "full")
    outcomes = Counter(str(record.outcome) for record in run.records.values())

    assert (True, {"passed", "expected_failure"}) == (run.whole, set(outcomes))
    assert f"of which {outcomes['passed']} passed and {outcomes['expected_failure']} are known failures" in " ".join(README)
    assert {"passed"} == {str(each.outcome) for each in read_run(folder / "transformers-4.57").records.values()}


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("scales-permuted", "scales permuted ({} checks red)"),
        ("outliers-dropped", "outliers dropped ({})"),
        ("odd-outputs-zero", "every second output of one row zero ({})"),
        ("layer-unquantized", "a layer left unquantized ({})"),
        ("fp4-table-for-nf4", "fp4's table for nf4 ({})"),
        ("compute-ignored", "the dtype to compute in ignored ({})"),
        ("tokens-wrong", "second best token generated ({})"),
        ("eight-for-four", "8 bits for 4 in the guide ({})"),
        ("weights-kept", "weights kept in fp32 beside ({})"),
        ("top-p-ignored", "nucleus sampling that takes any token ({})"),
        ("max-memory-ignored", "`max_memory` not heeded ({})"),
        ("original-kept", "beside the model for int8 and in it for nf4 ({})"),
    ],
)
def test_faults_of_bitsandbytes_turned_as_many_checks_red_on_an_h200_as_readme_says(
    fault: str, words: str, tmp_path: Path
) -> None:
    run = read_run(unpacked("h200-bitsandbytes", tmp_path) / fault)
    red = [record.id for record in run.records.values() if record.outcome is Outcome.FAILED]

    assert (f"bnb-{fault}",) == run.header.injected
    assert words.format(len(red)) in " ".join(README)


@pytest.mark.parametrize(
    ("run", "words"),
    [
        ("native-version", "(BNB_CUDA_VERSION=999): No compatible CUDA binary found"),
        ("native-cpu", "No compatible CUDA binary found"),
        ("native-cudart", "libcudarx.so.13: cannot open shared object file"),
    ],
)
def test_a_native_library_that_does_not_fit_was_told_in_its_own_words_on_an_h200(run: str, words: str, tmp_path: Path) -> None:
    """And what needs none of it passed beside it."""
    records = read_run(unpacked("h200-bitsandbytes", tmp_path) / run).records.values()
    quantized = [each for each in records if each.configuration.startswith("bnb-") or each.model == "bitsandbytes"]
    others = [each for each in records if each not in quantized]

    assert len(quantized) == 43
    assert all(each.outcome is Outcome.IMPORT_FAILED and words in each.message for each in quantized)
    assert {Outcome.PASSED} == {each.outcome for each in others}


def test_two_environments_in_turns_are_told_apart_by_what_they_call(tmp_path: Path) -> None:
    folder = unpacked("h200-ab", tmp_path)
    was, now = (timing.of(read_run(folder / side).records[PADDED]) for side in "ab")

    assert was is not None
    assert now is not None
    calls = [each.counters["python_calls"] for each in (now, was)]
    assert f"in which it calls {calls[0]:,} Python functions where it were {calls[1]:,}" in " ".join(README)


def test_two_workers_were_as_much_faster_as_readme_says_and_found_the_same(tmp_path: Path) -> None:
    folder = unpacked("h200-scaling", tmp_path)
    one, two = read_run(folder / "one-worker"), read_run(folder / "two-workers")
    found = scaling(one, two)

    assert found is not None
    assert found.ratio >= 1.8
    assert f"{found.checks} checks" in " ".join(README)
    assert f"{found.seconds[0]:.1f} s with one worker and {found.seconds[1]:.1f} s with two" in " ".join(README)
    assert f"{found.ratio:.2f} times faster" in " ".join(README)
    assert {name: (each.outcome, each.errors, each.memory) for name, each in one.records.items()} == {
        name: (each.outcome, each.errors, each.memory) for name, each in two.records.items()
    }


def test_plain_pytest_on_two_gpus_found_what_readme_says(tmp_path: Path) -> None:
    run = read_run(unpacked("h200-plain", tmp_path))
    found = Counter(str(record.outcome) for record in run.records.values())
    missing = [record for record in run.records.values() if record.outcome is Outcome.SKIPPED]

    assert (True, {"passed", "expected_failure", "skipped"}) == (run.whole, set(found))
    assert f"for {len(run.records)} checks: {found['passed']} passed, {found['expected_failure']} are known" in " ".join(README)
    assert {"not-installed"} == {record.reason for record in missing}
    assert f"{len(missing)} were skipped, of packages" in " ".join(README)
