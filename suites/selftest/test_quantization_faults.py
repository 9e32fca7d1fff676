"""Each fault of quantized layers turns the suite red, where it should and in the words that a user needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.faults import FAULTS
from suites.selftest.nested import ROOT, Nested, validate

# fault, the cells to look at, and the checks that must fail, each with words that its sentence must hold: no fault hides behind
# one check alone
CAUGHT: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("bnb-scales-permuted", "bnb-nf4-prequantized and llama-tiny", {
        "bnb-nf4-prequantized/llama-tiny/bf16/cpu::correct[prefill-long]": "differ from those of the stored weights",
        "bnb-nf4-prequantized/llama-tiny/bf16/cpu::reloads[weights]": "tensors of the model that was loaded again differ",
    }),
    ("bnb-scales-permuted", "bnb-int8-prequantized and llama-tiny", {
        "bnb-int8-prequantized/llama-tiny/bf16/cpu::correct[prefill-long]": "differ from those of the stored weights",
        "bnb-int8-prequantized/llama-tiny/bf16/cpu::layers[prefill]": "do not give what their stored weights say",
        "bnb-int8-prequantized/llama-tiny/bf16/cpu::reloads[weights]": "tensors of the model that was loaded again differ",
    }),
    ("bnb-outliers-dropped", "bnb-int8 and llama-trained", {
        "bnb-int8/llama-trained/bf16/cpu::dispatch[prefill]": "0 layers computed outlier columns apart",
        "bnb-int8/llama-trained/bf16/cpu::quality": "perplexity",
    }),
    ("bnb-outliers-kept", "bnb-int8-threshold-low and llama-trained", {
        "bnb-int8-threshold-low/llama-trained/bf16/cpu::stateless": "something of the calls between was kept",
        "bnb-int8-threshold-low/llama-trained/bf16/cpu::quality": "perplexity",
    }),
    ("bnb-odd-outputs-zero", "(bnb-int8 or bnb-nf4) and (bnb-linear-call or llama-trained)", {
        "bnb-int8/bnb-linear-call/bf16/cpu::calls[one-row]": "outputs are further off than rounding",
        "bnb-int8/llama-trained/bf16/cpu::layers[decode-one-row]": "14 of 14 calls of quantized layers do not give",
        "bnb-nf4/llama-trained/bf16/cpu::layers[decode-one-row]": "14 of 14 calls of quantized layers do not give",
    }),
    ("bnb-layer-unquantized", "bnb-nf4 and llama-tiny", {
        "bnb-nf4/llama-tiny/bf16/cpu::builds":
            "1 of 14 linear layers were left in full precision: model.layers.0.self_attn.o_proj",
        "bnb-nf4/llama-tiny/bf16/cpu::footprint": "its format implies",
    }),
    ("bnb-storage-ignored", "bnb-nf4-storage-bf16 and llama-tiny", {
        "bnb-nf4-storage-bf16/llama-tiny/bf16/cpu::builds": "14 layers are stored as U8, BF16 was asked for",
    }),
    ("bnb-fp4-table-for-nf4", "bnb-nf4 and (llama-trained or bnb-linear-call)", {
        "bnb-nf4/bnb-linear-call/bf16/cpu::calls[one-row]": "and a table begins with",
        "bnb-nf4/llama-trained/bf16/cpu::quality": "nats against fp32",
        "bnb-nf4/llama-trained/bf16/cpu::weights": "the table that is stored is not that of nf4",
    }),
    ("bnb-weights-kept", "(bnb-nf4 or bnb-int8) and llama-tiny", {
        "bnb-nf4/llama-tiny/bf16/cpu::stateless": "bytes behind, beside a model of",
        "bnb-int8/llama-tiny/bf16/cpu::stateless": "bytes behind, beside a model of",
    }),
    ("bnb-original-kept", "(bnb-nf4 or bnb-int8) and llama-tiny", {
        "bnb-nf4/llama-tiny/bf16/cpu::footprint": "bytes, its format implies 994,688",
        "bnb-int8/llama-tiny/bf16/cpu::footprint": "bytes more are held than its tensors take",
    }),
    ("bnb-tokens-wrong", "(bnb-nf4 or bnb-int8) and llama-tiny", {
        "bnb-nf4/llama-tiny/bf16/cpu::correct[generate]": "was generated, full recomputation prefers",
        "bnb-int8/llama-tiny/bf16/cpu::correct[generate]": "was generated, full recomputation prefers",
    }),
    ("bnb-dequantized-once", "bnb-nf4 and llama-trained", {
        "bnb-nf4/llama-trained/bf16/cpu::dispatch[decode]": "14 layers are quantized, 0 quantized products were executed",
        "bnb-nf4/llama-trained/bf16/cpu::dispatch[decode-one-row]":
            "14 layers are quantized, 0 quantized products were executed",
    }),
)  # fmt: skip
# What executes depends on the processor, and so does what is a fault: (kind of processor, fault, check, words). Other kinds
# than this machine's are emulated.
BY_PROCESSOR = (
    ("avx2", "bnb-outliers-dropped", "bnb-int8/llama-trained/bf16/cpu::dispatch[prefill]",
     "0 layers computed outlier columns apart"),
    ("avx512", "bnb-outliers-dropped", "bnb-int8/llama-trained/bf16/cpu::dispatch[prefill]",
     "0 layers computed outlier columns apart"),
    ("avx2", "bnb-dequantized-once", "bnb-nf4/llama-trained/bf16/cpu::dispatch[decode]",
     "14 layers are quantized, 0 quantized products were executed"),
    ("avx512-bf16", "bnb-dequantized-instead", "bnb-nf4/llama-trained/bf16/cpu::dispatch[decode]",
     "promised bnb-4bit-fused, executed bnb-4bit-dequantize (14x)"),
    ("avx512-bf16", "bnb-processor-denied", "bnb-nf4/llama-trained/bf16/cpu::dispatch[decode]",
     "promised bnb-4bit-fused, executed bnb-4bit-dequantize (14x)"),
    ("avx512-bf16", "bnb-dequantized-once", "bnb-nf4/llama-trained/bf16/cpu::dispatch[decode]",
     "14 layers are quantized, 0 quantized products were executed"),
)  # fmt: skip
# ... and what a library without a fault does: the outcome of int8's dispatch, and what executes 4-bit layers.
CORRECT = {
    "avx2": ("expected_failure", "bnb-4bit-dequantize"),
    "avx512": ("passed", "bnb-4bit-dequantize"),
    "avx512-bf16": ("passed", "bnb-4bit-fused"),
}


def nested(folder: Path, cells: str, *arguments: str) -> Nested:
    return validate(folder, "--cells", f"{cells} and bf16", *arguments, str(ROOT / "suites" / "quantization"))


@pytest.mark.slow  # the quick tier, which the gate runs, asks for all of it
def test_a_correct_library_is_not_found_wrong(tmp_path: Path) -> None:
    """nf4 and int8 on random weights and on trained ones, as they are."""
    clean = nested(tmp_path, "(bnb-nf4 or bnb-int8) and llama-*")

    assert (0, "") == (clean.exit_code, "" if clean.exit_code == 0 else clean.output)


SLOW = (
    "bnb-weights-kept",
    "bnb-original-kept",
    "bnb-outliers-kept",
    "bnb-storage-ignored",
    "bnb-dequantized-once",
    "bnb-layer-unquantized",
)


@pytest.mark.parametrize(
    ("fault", "red"),
    [
        ("bnb-tokens-wrong", {"8-bit", "4-bit", "max-memory", "pipeline", "pipeline-4-bit"}),
        ("bnb-eight-for-four", {"4-bit", "pipeline-4-bit"}),
        pytest.param("bnb-top-p-ignored", {"pipeline", "pipeline-4-bit"}, marks=pytest.mark.slow),
        pytest.param("bnb-max-memory-ignored", {"max-memory"}, marks=pytest.mark.slow),
        pytest.param("bnb-layer-unquantized", {"8-bit", "4-bit", "max-memory", "pipeline", "pipeline-4-bit"},
                     marks=pytest.mark.slow),
        pytest.param("bnb-outliers-dropped", {"8-bit", "max-memory", "pipeline"}, marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_a_fault_is_found_in_the_guide_s_snippets(fault: str, red: set[str], tmp_path: Path) -> None:
    guide = validate(tmp_path, "--cells", "guide-bitsandbytes", "--inject", fault, str(ROOT / "suites" / "guide"))

    assert {f"guide-bitsandbytes/llama-trained/fp32/cpu::guide[{subject}]" for subject in red} == guide.ended("failed")


@pytest.mark.parametrize(
    ("fault", "cells", "found"),
    [pytest.param(*case, id=f"{case[0]} in {case[1]}", marks=[pytest.mark.slow] * (case[0] in SLOW)) for case in CAUGHT],
)
def test_fault_in_quantized_layers_is_found(fault: str, cells: str, found: dict[str, str], tmp_path: Path) -> None:
    broken = nested(tmp_path, cells, "--tier=full", "--inject", fault)

    assert broken.run is not None, broken.output
    assert (1, set()) == (broken.exit_code, set(found) - broken.ended("failed"))
    assert {} == {check: said for check, words in found.items() if words not in (said := broken.run.records[check].message)}


CAST_AS_THEY_LIE = {"transposed", "batch-transposed"}  # what fills its memory
VIEWS = {"every-second-row", "every-second-feature", "one-row-repeated", *CAST_AS_THEY_LIE}


@pytest.mark.parametrize(
    ("dtype", "expected"), [("bf16", CAST_AS_THEY_LIE), pytest.param("fp16", VIEWS, marks=pytest.mark.slow)]
)
def test_each_layout_is_found_for_itself(dtype: str, expected: set[str], tmp_path: Path) -> None:
    """As on a GPU: int8 casts to fp16, and a cast copies what does not fill its memory, which is right then."""
    chosen, suite = f"bnb-int8 and bnb-linear-call and {dtype}", ROOT / "suites" / "quantization" / "test_linear_call.py"
    broken = validate(
        tmp_path, "--tier=full", "--cells", chosen, "-k", "not-contiguous", "--inject", "bnb-views-read-in-order", str(suite)
    )
    cell = f"bnb-int8/bnb-linear-call/{dtype}/cpu::calls"

    assert {f"{cell}[not-contiguous-{layout}]" for layout in expected} == broken.ended("failed")
    assert {f"{cell}[not-contiguous-{layout}]" for layout in VIEWS - expected} <= broken.ended("passed")


def emulated(processor: str) -> tuple[str, ...]:
    """What makes a nested run one on a kind of processor."""
    return ("-p", "suites.selftest.emulated.processor", f"--processor={processor}")


@pytest.mark.slow
def test_a_compute_dtype_that_is_ignored_is_found(tmp_path: Path) -> None:
    """Where the processor computes in the dtype that is asked for: by what comes out where it is too coarse, by what ran in
    any case.
    """
    cells = "(bnb-nf4-compute-fp32 and bf16 or bnb-nf4-compute-bf16 and fp16) and llama-tiny"
    options = ("--tier=full", "--inject=bnb-compute-ignored", str(ROOT / "suites" / "quantization"))
    broken = validate(tmp_path, *emulated("avx2"), "--cells", cells, *options)
    coarse, fine = (f"bnb-nf4-compute-{dtypes}/cpu" for dtypes in ("fp32/llama-tiny/bf16", "bf16/llama-tiny/fp16"))
    phases = ("prefill", "decode", "decode-one-row")

    assert {f"{coarse}::layers[{phase}]" for phase in phases} <= broken.ended("failed")
    assert {f"{cell}::dispatch[{phase}]" for phase in phases for cell in (coarse, fine)} <= broken.ended("failed")


def dispatched(folder: Path, processor: str, cells: str, *arguments: str) -> Nested:
    """The checks of what executed, on a kind of processor."""
    suite = ROOT / "suites" / "quantization" / "test_quantized_dispatch.py"
    return validate(folder, *emulated(processor), "--cells", f"{cells} and llama-trained and bf16", *arguments, str(suite))


@pytest.mark.parametrize("processor", CORRECT)
def test_what_is_promised_depends_on_the_processor(processor: str, tmp_path: Path) -> None:
    """int8 in fp32 is a known failure where bitsandbytes has no int8 kernel, and a failure anywhere else."""
    clean = dispatched(tmp_path, processor, "(bnb-int8 or bnb-nf4)")

    assert clean.run is not None, clean.output
    records = [record for record in clean.run.records.values() if record.check == "dispatch"]
    int8 = {record.outcome for record in records if record.configuration == "bnb-int8"}
    four_bit = {family for record in records if record.configuration == "bnb-nf4" for family in record.evidence["families"]}
    assert (0, {CORRECT[processor][0]}, {CORRECT[processor][1]}) == (clean.exit_code, int8, four_bit)


@pytest.mark.parametrize(
    ("processor", "fault", "check", "words"), [pytest.param(*case, id=f"{case[1]} on {case[0]}") for case in BY_PROCESSOR]
)
def test_fault_is_found_on_each_kind_of_processor(processor: str, fault: str, check: str, words: str, tmp_path: Path) -> None:
    """No known failure of a processor hides one."""
    broken = dispatched(tmp_path, processor, check.split("/")[0], "--inject", fault)

    assert broken.run is not None, broken.output
    assert (1, "failed") == (broken.exit_code, broken.run.records[check].outcome)
    assert words in broken.run.records[check].message


def test_a_native_library_that_cannot_be_loaded_is_an_import_that_failed(tmp_path: Path) -> None:
    """In the library's own words, and never a skip."""
    broken = nested(tmp_path, "bnb-nf4 and llama-tiny", "--inject", "bnb-library-broken")

    assert broken.run is not None, broken.output
    assert {"import_failed"} == {record.outcome for record in broken.run.records.values()}
    assert all("the native library was not loaded" in record.message for record in broken.run.records.values())


def test_every_fault_of_quantization_is_tried() -> None:
    assert {name for name in FAULTS if name.startswith("bnb-")} == {
        *(fault for fault, *_ in CAUGHT), *(fault for _, fault, _, _ in BY_PROCESSOR), "bnb-library-broken",
        "bnb-views-read-in-order", "bnb-compute-ignored", "bnb-eight-for-four", "bnb-top-p-ignored", "bnb-max-memory-ignored",
    }  # fmt: skip
