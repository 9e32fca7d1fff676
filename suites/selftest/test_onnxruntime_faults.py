"""Each fault of ONNX Runtime and Optimum turns the suite red, where it should and in the words that a user needs.

The real libraries are needed; where they are not installed, test_onnxruntime.py holds the same judgements against a recorded
profile. CUDAExecutionProvider is emulated (suites/selftest/emulated/cuda_provider.py).
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from fixtures.faults import FAULTS
from suites.selftest.nested import ROOT, Nested, validate

NEEDED = ("optimum-onnx", "onnxruntime")
EMULATED = ("-p", "suites.selftest.emulated.cuda_provider")
CUDA = "ort-cuda-exact/distilbert-tiny/fp32/cpu"
# fault -> the cells to look at, a check that must fail, and words that its sentence must hold
CAUGHT = {
    "ort-cpu-forced": (
        CUDA, f"{CUDA}::dispatch[prefill]",
        "get_providers() says CUDAExecutionProvider: all 114 nodes were executed by CPUExecutionProvider",
    ),
    "ort-library-missing": (CUDA, f"{CUDA}::builds", "libcublasLt.so.13 cannot be found"),
    "ort-provider-lost": (CUDA, f"{CUDA}::builds", "Optimum handed ONNX Runtime CPUExecutionProvider instead"),
    "ort-node-on-cpu": (CUDA, f"{CUDA}::dispatch[prefill]", "nodes that compute no shapes were executed outside"),
    "ort-positions-ignored": (
        "ort-cpu/gpt2-tiny/fp32/cpu", "ort-cpu/gpt2-tiny/fp32/cpu::correct[left-padding]", "logits differ from eager fp32",
    ),
    "ort-mask-ignored": (
        "ort-cpu/distilbert-tiny/fp32/cpu", "ort-cpu/distilbert-tiny/fp32/cpu::pipelines[optimum]",
        "the pipeline's answers differ from eager's",
    ),
    "ort-first-result-replayed": (
        "ort-cpu/bert-tiny/fp32/cpu", "ort-cpu/bert-tiny/fp32/cpu::stateless", "gave the answer of an earlier call",
    ),
    "ort-buffers-reused": (
        "ort-cpu-binding/llama-tiny/fp32/cpu", "ort-cpu-binding/llama-tiny/fp32/cpu::stateless",
        "a later call wrote into the same memory",
    ),
    "ort-answers-kept": (
        "ort-cpu/distilbert-tiny/fp32/cpu", "ort-cpu/distilbert-tiny/fp32/cpu::memory-growth", "over 100 calls of shapes",
    ),
    "ort-static-ignored": (
        "ort-cpu-static/distilbert-tiny/fp32/cpu", "ort-cpu-static/distilbert-tiny/fp32/cpu::static-shapes",
        "took (3, 48) without a word",
    ),
}  # fmt: skip


def missing() -> list[str]:
    installed = {str(each.name).lower() for each in importlib.metadata.distributions()}
    return [name for name in NEEDED if name not in installed]


def nested(folder: Path, cells: str, *arguments: str) -> Nested:
    if absent := missing():
        pytest.skip(f"not-installed: {', '.join(absent)} is not installed in this environment")
    suites = (str(ROOT / "suites" / name) for name in ("onnxruntime", "guide"))
    return validate(folder, "--cells", cells, *EMULATED, *arguments, *suites, environment="cpu-ort")


def test_right_libraries_are_not_found_wrong(tmp_path: Path) -> None:
    """On the emulated provider: a classifier, a language model, and the guide's snippets."""
    clean = nested(tmp_path, "((ort-cuda-exact and (llama-tiny or distilbert-tiny)) or guide-optimum-cuda) and fp32")

    assert (0, "") == (clean.exit_code, "" if clean.exit_code == 0 else clean.output)


@pytest.mark.parametrize("fault", CAUGHT)
def test_a_fault_of_onnx_runtime_is_found(fault: str, tmp_path: Path) -> None:
    cells, check, words = CAUGHT[fault]

    broken = nested(tmp_path, cells, "--inject", fault)

    assert broken.run is not None, broken.output
    assert (1, "failed") == (broken.exit_code, broken.run.records[check].outcome)
    assert words in broken.run.records[check].message


def test_the_guides_snippets_fail_where_the_provider_is_lost(tmp_path: Path) -> None:
    broken = nested(tmp_path, "guide-optimum-cuda", "--inject", "ort-provider-lost")

    assert broken.run is not None, broken.output
    assert 2 == len(broken.ended("failed"))


def test_every_fault_of_onnx_runtime_is_tried() -> None:
    assert {name for name in FAULTS if name.startswith("ort-")} == set(CAUGHT)
