"""Each fault that can be injected turns the suite red, where it should and in the words that a user needs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fixtures.faults import FAULTS, border, flash_attention, latency, onnxruntime, placement, process, quantization
from suites.selftest import test_flash_attention_faults
from suites.selftest.nested import Nested, facts, validate

# fault -> the models to look at, a check that must fail, and words that its sentence must hold
CAUGHT = {
    "mask-dropped": ("llama-tiny and fp32", "sdpa/llama-tiny/fp32/cpu::correct[left-padding]", "logits differ from eager fp32"),
    "causal-top-left": ("llama-tiny and fp32", "sdpa/llama-tiny/fp32/cpu::correct[chunked-prefill]", "logits differ"),
    "scale-twice": ("gpt2-tiny and fp32", "sdpa/gpt2-tiny/fp32/cpu::correct[prefill-long]", "logits differ"),
    "head-groups-tiled": ("llama-tiny and fp32", "sdpa/llama-tiny/fp32/cpu::correct[batch]", "logits differ"),
    "nan-on-masked-rows": ("gpt2-tiny and bf16", "sdpa/gpt2-tiny/bf16/cpu::correct[left-padding]", "not finite"),
    "math-instead-of-flash": ("gpt2-tiny and fp32", "sdpa-flash/gpt2-tiny/fp32/cpu::dispatch[prefill]", "executed sdpa-math"),
    "eager-instead-of-sdpa": ("llama-tiny and fp32", "sdpa/llama-tiny/fp32/cpu::dispatch[decode]", "executed eager"),
    "window-one-too-wide": ("mistral-tiny and fp32", "eager/mistral-tiny/fp32/cpu::correct[prefill-long]", "float64 oracle"),
    "rotary-in-bf16": ("llama-tiny and fp32", "eager/llama-tiny/fp32/cpu::correct[prefill-long]", "float64 oracle"),
    "rotary-lost-in-bf16": ("llama-tiny and bf16", "eager/llama-tiny/bf16/cpu::correct[prefill-long]", "explained by rounding"),
    "switch-ignored": ("gpt2-tiny and fp32", "sdpa-switched/gpt2-tiny/fp32/cpu::switches", "changed nothing"),
    "stale-cache-slot": ("gpt2-tiny and fp32", "eager/gpt2-tiny/fp32/cpu::correct[decode]", "float64 oracle"),
    "padding-mask-lost": ("gpt2-tiny and fp32", "eager/gpt2-tiny/fp32/cpu::correct[left-padding]", "float64 oracle"),
    "refusal-lost": ("gemma2-tiny and fp32", "sdpa/gemma2-tiny/fp32/cpu::refuses[build]", "silently wrong"),
    "dtype-ignored": ("gpt2-tiny and bf16", "sdpa/gpt2-tiny/bf16/cpu::builds", "torch.bfloat16"),
}

EVERY = "eager or sdpa or sdpa-flash or sdpa-switched"


def nested(folder: Path, configurations: str, cells: str, *arguments: str) -> Nested:
    return validate(folder, "--cells", f"({configurations}) and {cells}", *arguments)


def test_without_a_fault_nothing_is_found(tmp_path: Path) -> None:
    clean = nested(tmp_path, EVERY, "(llama-tiny or gpt2-tiny) and fp32")

    assert (0, "") == (clean.exit_code, "" if clean.exit_code == 0 else clean.output)


@pytest.mark.parametrize("fault", CAUGHT)
def test_fault_in_a_library_is_found(fault: str, tmp_path: Path) -> None:
    cells, check, words = CAUGHT[fault]

    broken = nested(tmp_path, check.partition("/")[0], cells, "--inject", fault)

    assert broken.run is not None, broken.output
    assert (1, "failed") == (broken.exit_code, broken.run.records[check].outcome)
    assert words in broken.run.records[check].message


@pytest.mark.parametrize(
    ("fault", "cells", "check"),
    [
        ("mask-dropped", "gpt2-tiny and fp32", "sdpa/gpt2-tiny/fp32/cpu::invariant[padded:left-padding]"),
        pytest.param(
            "stale-cache-slot",
            "gpt2-tiny and fp32",
            "sdpa/gpt2-tiny/fp32/cpu::invariant[cached:decode]",
            marks=pytest.mark.slow,
        ),
        pytest.param("mask-dropped", "sdpa-call and fp32", "sdpa/sdpa-call/fp32/cpu::calls[mask]", marks=pytest.mark.slow),
    ],
)
def test_fault_is_found_without_a_reference(fault: str, cells: str, check: str, tmp_path: Path) -> None:
    """By a law of the cell itself, and by direct calls against their own oracle."""
    broken = nested(tmp_path, check.partition("/")[0], cells, "--inject", fault)

    assert broken.run is not None, broken.output
    assert (1, "failed") == (broken.exit_code, broken.run.records[check].outcome)


def test_promised_package_that_does_not_import_is_found(tmp_path: Path) -> None:
    broken = json.loads(facts())
    broken["packages"]["accelerate"]["error"] = "ImportError: undefined symbol: _ZN3c10"
    told = tmp_path / "told.json"
    told.write_text(json.dumps(broken))

    found = validate(tmp_path, "--cells=sdpa-call and fp32", "-k", "imports", facts=told)

    assert found.run is not None, found.output
    assert (1, "import_failed") == (found.exit_code, found.run.records["environment/accelerate/any/cpu::imports"].outcome)


def test_cells_judged_by_a_broken_baseline_neither_pass_nor_fail(tmp_path: Path) -> None:
    broken = nested(tmp_path, EVERY, "gpt2-tiny and fp32", "--inject", "padding-mask-lost")

    assert broken.run is not None
    assert "reference_broken" == broken.run.records["sdpa/gpt2-tiny/fp32/cpu::correct[left-padding]"].outcome


def test_removed_test_is_found(tmp_path: Path) -> None:
    less = nested(tmp_path, EVERY, "gpt2-tiny and fp32", "--inject", "test-removed")

    assert less.run is not None
    lost = sum("::dispatch[" in check for check in less.run.header.planned)
    assert (1, lost) == (less.exit_code, len(less.run.missing))
    assert f"{lost} of {len(less.run.header.planned)} planned checks left no record" in less.output


def test_empty_run_is_found(tmp_path: Path) -> None:
    empty = nested(tmp_path, EVERY, "gpt2-tiny and fp32", "--inject", "empty-run")

    assert empty.run is not None
    assert pytest.ExitCode.NO_TESTS_COLLECTED == empty.exit_code
    assert f"no check was executed, {len(empty.run.header.planned)} were planned" in empty.output


def test_every_fault_is_tried() -> None:
    """Here, with the emulated package that it is a fault of, or beside what it breaks."""
    elsewhere = {*flash_attention.CHANGES, *test_flash_attention_faults.CAUGHT}
    elsewhere |= {fault.name for fault in quantization.FAULTS}  # in test_quantization_faults.py
    elsewhere |= {fault.name for fault in latency.FAULTS}  # in test_latency_processes.py
    elsewhere |= {fault.name for fault in onnxruntime.FAULTS}  # in test_onnxruntime_faults.py
    elsewhere |= {fault.name for fault in (*placement.FAULTS, *border.FAULTS)}  # in test_placement_faults.py
    elsewhere |= {fault.name for fault in process.FAULTS}  # in test_ended_processes.py and test_secrets.py

    assert set(FAULTS) == {*CAUGHT, *elsewhere, "test-removed", "empty-run"}
