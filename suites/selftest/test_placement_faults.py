"""Each fault of a placed model turns the suite red, where it should and in the words that a user needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.faults import FAULTS
from matrix.cell import COPIES as COPIED
from suites.selftest.nested import ROOT, Nested, validate

SPLIT, COPIES = "max-memory-cpu-disk-sdpa/gpt2-tiny/bf16/cpu::", "copies/gpu-pairs/fp32/cpu::"
# fault -> a check that must fail, and words that its sentence must hold
CAUGHT = {
    "placement-layer-spilled": (
        "device-map-one-sdpa/llama-deep-tiny/bf16/cpu::placed",
        "device was promised, and the map uses disk: model.layers.5 (787,456 bytes), 787,456 bytes in all; cpu: model.embed",
    ),
    "placement-spilled-further": (
        "max-memory-cpu-disk-sdpa/llama-deep-tiny/bf16/cpu::placed",
        "model.layers.0 (787,456 bytes) lies on disk, though cpu has room for it, of which max_memory allows",
    ),
    "placement-not-a-number": (f"{SPLIT}same[decode]", "34 of 34 tokens differ from the whole model's"),
    "placement-loaded-wrong": (
        "max-memory-cpu-disk-eager/llama-deep-tiny/bf16/cpu::same[decode]",
        "on one device by a device_map it says something else than without one",
    ),
    "placement-tokens-wrong": (
        "max-memory-cpu-disk-sdpa/llama-deep-tiny/bf16/cpu::same[generate]",
        "was generated, full recomputation prefers",
    ),
    "placement-map-ignored": (f"{SPLIT}placed", "cpu, disk was promised, and the map uses cpu: the model (2,797,568 bytes)"),
    "placement-gpu-unavailable": (f"{SPLIT}placed", "the library only logged: Device 99 is not available"),
    "placement-no-room": (f"{SPLIT}placed", "assigned to the following devices due to insufficient memory: - cpu: "),
    "placement-border-truncated": (f"{SPLIT}same[left-padding]", "tokens differ from the whole model's, first row 0"),
    "placement-stale-row": (f"{SPLIT}same[decode]", "3 of 34 tokens differ from the whole model's, first row 0, position 31"),
    "placement-stale-prompt": (f"{SPLIT}same[left-padding]", "70 of 112 tokens differ from the whole model's, first row 0"),
    "placement-head-untied": (f"{SPLIT}placed", "tied tensors are 2 tensors, their bytes are held twice"),
    "placement-ties-lost": (f"{SPLIT}placed", "tied tensors are 2 tensors, their bytes are held twice"),
    "placement-offload-kept": (f"{SPLIT}same[decode]", "weights lie elsewhere after the pass than before it: transformer."),
    "placement-buffer-grown": (f"{SPLIT}placed", "bytes of weights, buffers and quantization state, max_memory allows 2,592,"),
    "placement-copy-corrupted": (f"{COPIES}calls[direct]", "cpu -> cpu, direct, 262,148 bytes: 1 of 65537 words"),
}
# Tried with the slow ones: what finds them has tests of its own beside.
SLOW = {
    "placement-buffer-grown", "placement-ties-lost", "placement-offload-kept", "placement-no-room", "placement-map-ignored",
    "placement-gpu-unavailable", "placement-not-a-number", "placement-loaded-wrong", "placement-tokens-wrong",
}  # fmt: skip
# ... and other checks that the same run must fail, each for itself.
BESIDES = {
    "placement-border-truncated": (f"{SPLIT}inputs",),
    "placement-stale-row": (f"{SPLIT}same[generate]", f"{SPLIT}same[prefill-long]"),
    "placement-stale-prompt": (f"{SPLIT}same[prefill-long]",),
    "placement-copy-corrupted": tuple(f"{COPIES}calls[{how}]" for how in COPIED[1:]),
}


def nested(folder: Path, cells: str, *arguments: str) -> Nested:
    return validate(folder, "--cells", cells, *arguments, str(ROOT / "suites" / "placement"))


@pytest.mark.slow  # the quick tier, which the gate runs, asks for all of it
def test_a_correct_library_is_not_found_wrong(tmp_path: Path) -> None:
    """Tied weights, experts and many layers, with a part of each on disk; and the copies."""
    clean = nested(tmp_path, "(max-memory-cpu-disk-sdpa or device-map-one-sdpa or copies) and not fp16")

    assert (0, "") == (clean.exit_code, "" if clean.exit_code == 0 else clean.output)


@pytest.mark.parametrize("fault", [pytest.param(fault, marks=[pytest.mark.slow] * (fault in SLOW)) for fault in CAUGHT])
def test_fault_of_a_placement_is_found(fault: str, tmp_path: Path) -> None:
    check, words = CAUGHT[fault]

    broken = nested(tmp_path, " and ".join(check.split("/")[:3]), "-k", "not transfer-cost", "--inject", fault)

    assert broken.run is not None, broken.output
    assert (1, "failed") == (broken.exit_code, broken.run.records[check].outcome)
    assert words in broken.run.records[check].message
    assert {"failed"} >= {broken.run.records[check].outcome for check in BESIDES.get(fault, ())}


@pytest.mark.slow
def test_a_hook_that_never_returns_ends_its_own_check_alone(tmp_path: Path) -> None:
    """The same workload of a model without such hooks, in the same process, and where its weights are, are not touched."""
    cells = "(max-memory-cpu-disk-sdpa or device-map-one-sdpa) and llama-deep-tiny and bf16"
    hung = nested(tmp_path, cells, "--inject=placement-hook-hangs", "--timeout=8", "-k", "generate or placed")

    assert {"max-memory-cpu-disk-sdpa/llama-deep-tiny/bf16/cpu::same[generate]"} == hung.ended("timed_out")
    assert 3 == len(hung.ended("passed"))


@pytest.mark.slow
def test_a_collective_that_never_returns_ends_its_own_check_alone(tmp_path: Path) -> None:
    hung = nested(tmp_path, "copies", "--inject=placement-collective-hangs", "--timeout=8")

    assert {f"{COPIES}calls[all-reduce]"} == hung.ended("timed_out")
    assert {f"{COPIES}calls[{how}]" for how in COPIED if how != "all-reduce"} <= hung.ended("passed")


def test_every_fault_of_placements_is_tried() -> None:
    hanging = {"placement-hook-hangs", "placement-collective-hangs"}
    of_gpus = {"placement-fetched-kept"}  # tried on two of them: reports/recorded/h200-placement-runs.tar.xz
    assert {name for name in FAULTS if name.startswith("placement-")} == {*CAUGHT, *hanging, *of_gpus}
