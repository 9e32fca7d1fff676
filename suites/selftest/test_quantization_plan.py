"""What is planned of quantized cells: kinds of checks, models and tiers, and known failures of a processor."""

from __future__ import annotations

import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fixtures import transformers_api
from fixtures.builders import bitsandbytes
from fixtures.expectations import applies, expected
from fixtures.quantization.call_tensors import laid_out
from fixtures.quantization.calls import LAYOUTS
from fixtures.quantization.method import method_of
from fixtures.selection import Plan, plan
from matrix.cell import COMPUTE_DTYPE, DTYPES, LINEAR_CALLS, ONE_ROW, PLATFORMS, RELOADS, TRAINED, Check
from matrix.errors import UserError
from matrix.expand import cells, checks, promised
from matrix.expectation import Expectation
from matrix.load import load_matrix
from reports.record import Outcome
from reports.render.quantization import table
from suites.selftest.examples import record, run
from suites.selftest.samples import changed, configuration, facts, matrix, model, packages, written
from suites.selftest.test_environments import settings
from suites.selftest.test_expectations import TODAY

MATRIX = load_matrix()


def ids(platform: str = "cpu", tier: str = "full") -> set[str]:
    return {check.id for check in checks(MATRIX, platform, tier)}


@pytest.mark.parametrize(
    ("platform", "expected"),
    [
        ("cpu", "bnb-int8/llama-tiny/bf16/cpu::builds"),
        ("cpu", "bnb-int8/mixtral-tiny/bf16/cpu::footprint"),
        ("cpu", "bnb-nf4/distilbert-tiny/fp32/cpu::weights"),
        ("cpu", "bnb-nf4-double-quant/gpt2-tiny/bf16/cpu::layers[decode]"),
        ("cpu", "bnb-nf4/gpt2-tiny/bf16/cpu::layers[decode-one-row]"),
        ("cuda", "bnb-fp4/falcon-tiny/fp16/cuda::correct[left-padding]"),
        ("cuda", "bnb-int8-threshold-0/llama-trained/bf16/cuda::quality"),
        ("rocm", "bnb-nf4-prequantized/llama-tiny/bf16/rocm::reloads[saved-again]"),
        ("cuda", "bnb-nf4/bnb-linear-call/fp32/cuda::calls[compute-dtype]"),
        ("cuda", "bnb-int8-offload/llama-tiny/bf16/cuda::builds"),
        ("cpu", "guide-bitsandbytes/llama-trained/fp32/cpu::guide[max-memory]"),
    ],
)
def test_ids_that_baselines_were_recorded_under_stay(platform: str, expected: str) -> None:
    assert expected in ids(platform)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_decoder_and_the_classifier_are_quantized_in_8_and_4_bits(platform: str) -> None:
    models = {name: entry for name, entry in MATRIX.models.items() if entry.task != "call" and entry.purpose == "correctness"}
    every = {name for name, entry in models.items() if entry.configurations in (("*",), ("bnb-*", "guide-bitsandbytes"))}
    names = {
        name for name, entry in MATRIX.configurations.items() if entry.suite == "quantization" and "builds" in entry.checks
    }
    planned = [cell for cell in cells(MATRIX, platform, "full") if cell.model.purpose == "correctness"]
    for name in names if platform != "cpu" else names - {"bnb-int8-offload"}:
        found = {cell.model.name for cell in planned if cell.configuration.name == name}

        assert found - {"bnb-linear-call"} == every - ({"mixtral-tiny"} if name == "bnb-int8-offload" else set()), name


def test_quality_is_measured_on_the_trained_model_alone() -> None:
    measured = [check.cell.model for check in checks(MATRIX, "cuda", "full") if check.kind == "quality"]

    assert {TRAINED} == {entry.architecture for entry in measured}


def test_size_and_quality_are_measured_of_every_configuration_of_models() -> None:
    """Every line of the table is whole."""
    planned = [check for check in checks(MATRIX, "cuda", "full") if check.cell.configuration.suite == "quantization"]
    named = {check.cell.configuration.name for check in planned if check.kind == "correct"}
    whole = {
        check.cell.configuration.name for check in planned
        if check.kind == "quality" and any(
            other.kind == "footprint" and other.cell.model.name == "llama-tiny"
            and other.cell.configuration.name == check.cell.configuration.name
            for other in planned
        )
    }  # fmt: skip

    assert named == whole


def test_random_rows_are_not_asked_of_the_trained_model() -> None:
    assert not [name for name in ids() if "llama-trained" in name and "::correct" in name]


@pytest.mark.parametrize(("load", "expected"), [("8-bit", LINEAR_CALLS), ("4-bit", (*LINEAR_CALLS, COMPUTE_DTYPE))])
def test_linear_calls_are_those_that_the_layer_can_be_asked(load: str, expected: tuple[str, ...]) -> None:
    named = configuration("bnb", suite="quantization", checks=("calls",), options={"load": load})
    called = model("bnb-linear-call", task="call", architecture="linear-call", config={})
    planned = checks(matrix(named, models={"bnb-linear-call": called}), "cpu", "quick")

    assert list(expected) == [check.subject for check in planned]


def test_one_row_is_asked_of_quantized_layers_that_decode_alone() -> None:
    """A kernel of its own for one row is what they have and attention has not."""
    every = [check for check in checks(MATRIX, "cuda", "full") if check.kind in ("layers", "dispatch")]
    one, two = (
        {
            (check.cell.id, check.kind)
            for check in every
            if check.subject == phase and check.cell.configuration.suite == "quantization"
        }
        for phase in (ONE_ROW, "decode")
    )

    assert one == two
    assert {"quantization"} == {check.cell.configuration.suite for check in every if check.subject == ONE_ROW}


@pytest.mark.parametrize("phase", ["decode", ONE_ROW])
@pytest.mark.parametrize("name", ["bnb-nf4", "bnb-fp4-double-quant"])
def test_decoding_is_promised_fused_kernels_however_many_rows_there_are(name: str, phase: str) -> None:
    (cell, *_) = (each for each in cells(MATRIX, "cuda", "full") if each.configuration.name == name)

    assert ("bnb-4bit-fused",) == promised(cell, phase)


def test_a_prequantized_cell_is_asked_all_that_loading_again_can_break() -> None:
    planned = [check for check in checks(MATRIX, "cpu", "quick") if check.kind == "reloads"]
    asked = [check.subject for check in planned if check.cell.id == "bnb-int8-prequantized/llama-tiny/bf16/cpu"]

    assert list(RELOADS) == asked


def test_a_model_of_one_suite_is_planned_in_no_other() -> None:
    """The pseudo-models of direct calls belong to the suite whose function is called."""
    planned = {(cell.configuration.suite, cell.model.name) for cell in cells(MATRIX, "cuda", "headline")}

    assert {"attention"} == {suite for suite, name in planned if name == "sdpa-call"}
    assert {"quantization"} == {suite for suite, name in planned if name == "bnb-linear-call"}


def test_the_quick_tier_is_for_some_models_and_the_full_one_for_all() -> None:
    named = configuration("fp4", quick=("llama-tiny",))
    made = matrix(named, models={name: model(name) for name in ("llama-tiny", "gpt2-tiny")})
    quick, full = ([cell.model.name for cell in cells(made, "cpu", tier)] for tier in ("quick", "full"))

    assert (["llama-tiny"], ["llama-tiny", "gpt2-tiny"]) == (quick, list(dict.fromkeys(full)))


def test_a_quick_model_that_does_not_exist_is_named(tmp_path: Path) -> None:
    document = changed("configurations", ("configuration", "c", "quick"), ["llama*"])

    with pytest.raises(UserError, match=r"configuration\.c\.quick holds 'llama\*', which matches nothing in models\.toml"):
        load_matrix(written(tmp_path, configurations=document))


# the processor


def known(**changes: Any) -> Expectation:
    usual: dict[str, Any] = {
        "cells": "*", "checks": ("builds",), "platforms": ("cpu",), "versions": {}, "outcome": "failed", "message": "",
        "url": "https://example.org", "expires": datetime.date(9999, 1, 1),
    }  # fmt: skip
    return Expectation(**usual | changes)


@pytest.mark.parametrize(
    ("processor", "has", "expected"),
    [((), [], True), (("avx512_bf16",), [], False), (("avx512_bf16",), ["avx2", "avx512_bf16"], True)],
)
def test_a_known_failure_of_a_processor_is_none_of_another(processor: tuple[str, ...], has: list[str], expected: bool) -> None:
    assert expected == applies(known(processor=processor), facts(details={"processor_features": has}))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("cells_", "platform", "dense_rows"), [("bnb-int8", "cuda", True), ("bnb-nf4", "cpu", False)])
def test_known_failures_of_layouts_are_those_that_are_still_views_in_the_dtype_of_the_kernel(
    cells_: str, platform: str, dense_rows: bool, dtype: str
) -> None:
    """int8's kernel of CUDA is handed fp16 and reads memory in order; the fused one of the CPU is handed bf16 and steps over
    rows as it should. What has another dtype is cast, which copies it unless it fills its memory.
    """
    kernel = torch.float16 if platform == "cuda" else torch.bfloat16
    read_wrongly = set()
    for layout in LAYOUTS:
        states = laid_out(torch.zeros(5, 64, dtype=transformers_api.torch_dtype(dtype)), layout)
        row, feature = states.reshape(-1, 64).to(kernel).stride()
        if feature != 1 or (dense_rows and row != 64):
            read_wrongly.add(f"not-contiguous-{layout}")
    asked = [check for check in checks(MATRIX, platform, "full")
             if check.cell.id == f"{cells_}/bnb-linear-call/{dtype}/{platform}" and "contiguous" in check.subject]  # fmt: skip

    assert 5 == len(asked)
    assert read_wrongly == {check.subject for check in asked if any(entry.covers(check) for entry in MATRIX.expectations)}


# the release


@pytest.mark.parametrize(
    ("cell", "check", "before", "since"),
    [
        ("bnb-nf4/falcon-tiny/bf16/cpu", "builds", "5.4.0", "5.5.0"),
        ("bnb-nf4/falcon-tiny/bf16/cpu", "footprint", "5.4.0", "5.5.0"),
        ("bnb-int8/falcon-tiny/bf16/cpu", "weights", "5.4.0", "5.5.0"),
        ("bnb-int8/falcon-tiny/bf16/cpu", "layers[decode]", "5.4.0", "5.5.0"),
        ("bnb-int8/falcon-tiny/bf16/cpu", "correct[batch]", "5.4.0", "5.5.0"),
        ("bnb-nf4/mixtral-tiny/bf16/cpu", "footprint", "4.57.6", "5.0.0"),
        ("bnb-nf4/mixtral-tiny/bf16/cpu", "weights", "4.57.6", "5.0.0"),
        ("bnb-int8-prequantized/llama-tiny/bf16/cpu", "reloads[saved-again]", "4.57.6", "5.0.0"),
    ],
)
def test_what_a_release_leaves_unquantized_is_known_from_that_release_on(
    cell: str, check: str, before: str, since: str
) -> None:
    """As these releases were seen to do."""
    (asked,) = (each for each in checks(MATRIX, "cpu", "full") if each.id == f"{cell}::{check}")

    assert known_in(before, asked) is None
    assert known_in(since, asked) is not None


@pytest.mark.parametrize("transformers", ["4.57.6", "5.0.0", "5.23.0"])
@pytest.mark.parametrize("check", ["layers[decode]", "correct[decode]", "reloads[output]"])
@pytest.mark.parametrize(("bitsandbytes", "known"), [("0.48.0", True), ("0.48.1", False)])
def test_scales_that_were_forgotten_are_a_matter_of_bitsandbytes_alone(
    transformers: str, check: str, bitsandbytes: str, known: bool
) -> None:
    (asked,) = (
        each for each in checks(MATRIX, "cpu", "full") if each.id == f"bnb-int8-prequantized/llama-tiny/bf16/cpu::{check}"
    )

    assert known == (known_in(transformers, asked, bitsandbytes) is not None)


def known_in(release: str, asked: Check, bitsandbytes: str = "0.50.2") -> Expectation | None:
    machine = facts(packages=packages(torch="2.13.0", transformers=release, bitsandbytes=bitsandbytes))
    return expected(asked, Plan(facts=machine, matrix=MATRIX, checks=(), unavailable={}), TODAY)


# the environment


@pytest.mark.parametrize(
    ("cells_", "expected"), [("sdpa and llama-tiny", False), ("bnb-nf4 and llama-tiny", True), ("*", True)]
)
def test_a_package_is_tried_where_a_chosen_cell_needs_it(cells_: str, expected: bool) -> None:
    """In a process of its own, which takes seconds."""
    machine = facts(packages=packages(torch="2.13.0", bitsandbytes="0.50.2"))
    made = plan(settings(environment="cpu-tf5", cells=cells_), machine)

    assert expected == ("bitsandbytes" in [check.cell.model.name for check in made.checks if check.kind == "imports"])


# the table


def test_the_table_shows_size_error_and_quality_of_what_passed() -> None:
    said = {"configuration": "bnb-nf4", "nodeid": "suites/quantization/test_x.py::y", "dtype": "bf16"}
    sizes = {"footprint": 994_944, "implied": 994_688, "loading_peak": 7_897_088}
    quality = {"perplexity": 4.4842, "perplexity_fp32": 4.3897, "agreement": 0.9971}
    made = run(
        record(check="footprint", subject="", memory=sizes, **said),
        record(subject="a", errors={"rms": 1e-3, "rms_fp32": 0.2}, **said),
        record(subject="b", errors={"rms": 2e-3, "rms_fp32": 0.1}, **said),
        record(subject="c", errors={"rms": 9.0, "rms_fp32": 9.0}, outcome=Outcome.FAILED, **said),
        record(check="quality", subject="", model="llama-trained", errors={"loss": 0.0213}, evidence=quality, **said),
        record(configuration="sdpa", subject="a"),
    )
    expected = "| bnb-nf4 | bf16 | 994,944 | 994,688 | 7,897,088 | 2.0e-03 | 2.0e-01 | +0.0213 | 4.4842 | 4.3897 | 0.9971 |"

    head, _, *lines = table(made, "llama-tiny").splitlines()

    assert (11, [expected]) == (head.count("|") - 1, [line for line in lines if line.startswith("|")])
    assert "1 checks that did not pass are left out" in lines[-1]


@pytest.mark.parametrize(("gpus", "expected"), [(1, {}), (2, {"max_memory": {0: 7}})])
def test_a_process_that_sees_several_gpus_loads_on_the_first_alone(
    monkeypatch: pytest.MonkeyPatch, gpus: int, expected: dict[str, Any]
) -> None:
    """device_map="auto" spreads a model over all of them, and what is recorded of the cell would not be of one GPU."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (7, 9))
    given: dict[str, Any] = {}
    loading = SimpleNamespace(from_pretrained=lambda folder, **options: given.update(options) or SimpleNamespace(eval=dict))
    monkeypatch.setattr(bitsandbytes.transformers_api, "auto_class", lambda task: loading)
    (cell, *_) = (each for each in cells(MATRIX, "cuda", "quick") if each.configuration.name == "bnb-nf4")
    bitsandbytes.load(cell, Path("folder"), None, "cuda")

    assert {"device_map": "auto", **expected} == {key: given[key] for key in ("device_map", "max_memory") if key in given}


def test_what_is_kept_by_method_can_be_kept_by_every_one() -> None:
    """A model without weights is planned once for each."""
    quantized = [each for each in MATRIX.configurations.values() if each.builder == "bitsandbytes" and "load" in each.options]
    methods = [method_of(each) for each in quantized]

    assert len(methods) > len({*methods}) > 5
