"""The matrix files become the same checks in the same order, whoever asks: each once, under an id that stays."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from matrix.cell import PLATFORMS, TIERS, Check, Condition, Promise, Refusal
from matrix.expand import cells, checks, checks_of, environment_checks, holds, masks_of, promised
from matrix.load import load_matrix
from suites.selftest.samples import cell, check, configuration, matrix, model, workload

MATRIX = load_matrix()
PADDED = workload("padded", lengths=(7, 3), padding="left", invariant="padded")
SOURCE = "https://example.org"


def refusal(at: str = "run", **where: Any) -> Refusal:
    return Refusal(where=Condition(**where), at=at, error="No available kernel", source=SOURCE)


def ids(*configurations: Any, platform: str = "cpu", tier: str = "full", **changes: Any) -> list[str]:
    return [check.id for check in checks(matrix(*configurations, **changes), platform, tier)]


# the files of the suite


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_check_has_an_id_of_its_own(platform: str) -> None:
    every = [check.id for check in checks(MATRIX, platform, "headline")]

    assert len(every) == len(set(every))


@pytest.mark.parametrize("platform", PLATFORMS)
def test_two_expansions_are_the_same_in_the_same_order(platform: str) -> None:
    first, second = ([check.id for check in checks(load_matrix(), platform, "full")] for _ in range(2))

    assert first == second


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_tier_holds_every_check_of_the_tier_below_it(platform: str) -> None:
    quick, full, headline = ({check.id for check in checks(MATRIX, platform, tier)} for tier in TIERS)

    assert quick < full <= headline


def test_neighbouring_cells_share_model_and_dtype() -> None:
    """The references of a model are built once."""
    pairs = [(cell.model.name, cell.dtype) for cell in cells(MATRIX, "cuda", "full")]

    assert len(set(pairs)) == 1 + sum(pair != following for pair, following in pairwise(pairs))


@pytest.mark.parametrize(
    ("platform", "expected"),
    [
        ("cpu", "eager/llama-tiny/fp32/cpu::builds"),
        ("cpu", "eager/gpt2-tiny/fp32/cpu::correct[prefill-long]"),
        ("cpu", "sdpa/llama-tiny/bf16/cpu::correct[left-padding]"),
        ("cpu", "sdpa/mistral-tiny/fp32/cpu::invariant[cached:decode]"),
        ("cpu", "sdpa/gemma2-tiny/bf16/cpu::refuses[build]"),
        ("cpu", "sdpa-math/mixtral-tiny/bf16/cpu::dispatch[decode]"),
        ("cuda", "sdpa-flash/llama-tiny/bf16/cuda::dispatch[prefill]"),
        ("cuda", "sdpa-flash/llama-tiny/fp32/cuda::refuses[prefill-short]"),
        ("cuda", "sdpa-flash/falcon-tiny/bf16/cuda::refuses[left-padding]"),
        ("cuda", "sdpa-cudnn/distilbert-tiny/bf16/cuda::correct[batch]"),
        ("cuda", "sdpa-switched/llama-tiny/fp32/cuda::switches"),
        ("rocm", "sdpa-efficient/llama-tiny/bf16/rocm::dispatch[padded-prefill]"),
        ("rocm", "sdpa-attentions/llama-tiny/fp32/rocm::attentions"),
    ],
)
def test_ids_that_baselines_were_recorded_under_stay(platform: str, expected: str) -> None:
    assert expected in {check.id for check in checks(MATRIX, platform, "full")}


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_configuration_of_a_platform_has_a_cell_there(platform: str) -> None:
    expected = {name for name, entry in MATRIX.configurations.items() if platform in entry.platforms}

    assert expected == {cell.configuration.name for cell in cells(MATRIX, platform, "headline")}


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_kind_of_check_that_a_configuration_names_is_planned_somewhere(platform: str) -> None:
    """One that no model or workload meets would be left out in silence."""
    named = {
        (entry.name, kind) for entry in MATRIX.configurations.values() if platform in entry.platforms for kind in entry.checks
    }
    every = list(checks(MATRIX, platform, "headline"))
    planned = {(check.cell.configuration.name, check.kind) for check in every}
    refused = {check.cell.configuration.name for check in every if check.refusal}
    planned |= {(name, kind) for name in refused for kind in ("correct", "placed")}  # refused instead

    assert set() == named - planned


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_refusal_is_expected_of_some_check(platform: str) -> None:
    """One whose condition never holds would say what nobody looks at."""
    written = {
        (entry.name, refusal) for entry in MATRIX.configurations.values() if platform in entry.platforms
        for refusal in entry.refusals if platform in (refusal.where.platforms or PLATFORMS)
    }  # fmt: skip
    expected_of = {
        (check.cell.configuration.name, check.refusal) for check in checks(MATRIX, platform, "headline") if check.refusal
    }

    assert set() == written - expected_of


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_dispatch_check_has_a_promise(platform: str) -> None:
    planned = [check for check in checks(MATRIX, platform, "headline") if check.kind == "dispatch"]
    dispatch = [check for check in planned if check.cell.configuration.builder != "onnxruntime"]  # promises its provider
    unpromised = [check.id for check in dispatch if not promised(check.cell, check.subject, masks=masks_of(check.subject))]

    assert [] == unpromised


# what becomes of a cell


def test_a_cell_has_one_check_a_workload_and_kind() -> None:
    """correct by workload, invariant by law and workload, dispatch by phase, the others once."""
    actual = ids(configuration(checks=("builds", "correct", "invariant", "dispatch"), dtypes={"fp32": "quick"}))

    assert [
        f"sdpa/llama-tiny/fp32/cpu::{check}"
        for check in ("builds", "correct[short]", "invariant[causal:short]", "dispatch[prefill]", "dispatch[padded-prefill]",
                      "dispatch[decode]")
    ] == actual  # fmt: skip


def test_an_encoder_has_no_decode_phase() -> None:
    classifier = model("bert", task="sequence-classification")
    actual = ids(configuration(checks=("dispatch",), dtypes={"fp32": "quick"}), models={"bert": classifier})

    assert ["sdpa/bert/fp32/cpu::dispatch[prefill]", "sdpa/bert/fp32/cpu::dispatch[padded-prefill]"] == actual


def test_a_cell_that_is_refused_when_it_is_built_has_that_check_alone() -> None:
    actual = ids(configuration(refusals=(refusal("build", dtypes=("fp32",)),)))

    assert [
        "sdpa/llama-tiny/fp32/cpu::refuses[build]", "sdpa/llama-tiny/bf16/cpu::builds",
        "sdpa/llama-tiny/bf16/cpu::correct[short]",
    ] == actual  # fmt: skip


def test_a_workload_that_is_refused_is_neither_judged_nor_held_to_its_law() -> None:
    masked = configuration(
        checks=("correct", "invariant", "dispatch"), dtypes={"fp32": "quick"}, refusals=(refusal(mask=True),)
    )
    actual = [name.partition("::")[2] for name in ids(masked, workloads={"short": workload(), "padded": PADDED})]

    assert ["correct[short]", "refuses[padded]", "invariant[causal:short]", "dispatch[prefill]", "dispatch[decode]"] == actual


def test_a_refusal_of_another_time_does_not_count() -> None:
    """Build and run are told apart, and the first refusal that holds is the one."""
    both = configuration(refusals=(refusal("build", platforms=("rocm",)), refusal("run")), checks=("builds", "correct"))
    actual = [
        (check.id.partition("::")[2], check.refusal and check.refusal.at) for check in checks(matrix(both), "cpu", "quick")
    ]

    assert [("builds", None), ("refuses[short]", "run")] == actual


@pytest.mark.parametrize(
    ("changes", "platform", "tier", "expected"),
    [
        ({}, "cpu", "quick", {"fp32"}),
        ({}, "cpu", "full", {"fp32", "bf16"}),
        ({"platforms": ("cuda",)}, "cpu", "full", set()),
        ({"models": ("gpt2*",)}, "cpu", "full", set()),
        ({"models": ("llama*",)}, "cpu", "quick", {"fp32"}),
        ({"workloads": ("long",), "checks": ("correct",)}, "cpu", "full", set()),
        ({"checks": ("calls",)}, "cpu", "full", set()),
    ],
)
def test_a_cell_is_planned_where_platform_tier_and_model_fit(
    changes: dict[str, Any], platform: str, tier: str, expected: set[str]
) -> None:
    assert expected == {cell.dtype for cell in cells(matrix(configuration(**changes)), platform, tier)}


def test_a_workload_is_asked_for_in_its_dtypes() -> None:
    workloads = {"short": workload(), "overflow": workload("overflow", dtypes=("bf16",))}
    actual = [name.split("/", 2)[2] for name in ids(configuration(checks=("correct",)), workloads=workloads)]

    assert ["fp32/cpu::correct[short]", "bf16/cpu::correct[short]", "bf16/cpu::correct[overflow]"] == actual


def test_a_workload_or_model_of_a_higher_tier_waits_for_it() -> None:
    models = {"llama-tiny": model(), "large": model("large", tier="full")}
    workloads = {"short": workload(), "long": workload("long", tier="headline")}
    entry = configuration(checks=("correct",), dtypes={"fp32": "quick"})
    counts = [len(ids(entry, tier=tier, models=models, workloads=workloads)) for tier in TIERS]

    assert [1, 2, 4] == counts


# conditions and promises


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({}, True),
        ({"platforms": ("cpu",)}, True),
        ({"platforms": ("cuda", "rocm")}, False),
        ({"dtypes": ("bf16",)}, True),
        ({"dtypes": ("fp32",)}, False),
        ({"architectures": ("llama",)}, True),
        ({"architectures": ("gpt2",)}, False),
        ({"features": ("sliding-window", "positions")}, True),
        ({"features": ("sliding-window",)}, False),
        ({"phases": ("decode",)}, True),
        ({"phases": ("prefill",)}, False),
        ({"mask": True}, True),
        ({"mask": False}, False),
        ({"platforms": ("cpu",), "dtypes": ("fp32",)}, False),
    ],
)
def test_a_condition_holds_where_every_field_does(where: dict[str, Any], expected: bool) -> None:
    judged = cell(of=model(features=("positions",)))

    assert expected == holds(Condition(**where), judged, masks=frozenset({True}), phase="decode")


def test_the_first_promise_that_holds_counts() -> None:
    promises = [
        Promise(where=Condition(platforms=("cuda",)), families=("sdpa-flash",), source=""),
        Promise(where=Condition(phases=("decode",)), families=("sdpa-math",), source=""),
        Promise(where=Condition(), families=("sdpa-efficient",), source=""),
    ]
    judged = cell(promises=tuple(promises))

    assert (("sdpa-math",), ("sdpa-efficient",)) == (promised(judged, "decode"), promised(judged, "prefill"))


def test_a_condition_on_the_mask_holds_where_some_pass_has_it() -> None:
    actual = [
        holds(Condition(mask=mask), cell(), masks=frozenset(masks), phase="")
        for mask in (None, True, False) for masks in ((), (True,), (False,), (True, False))
    ]  # fmt: skip

    assert [True, True, True, True, False, True, False, True, False, False, True, True] == actual


def test_nothing_is_promised_where_no_condition_holds() -> None:
    judged = cell(promises=(Promise(where=Condition(platforms=("cuda",)), families=("sdpa-flash",), source=""),))

    assert () == promised(judged, "prefill")


def test_a_promised_package_is_a_check_of_its_own() -> None:
    actual = [check.id for check in environment_checks(("torch", "flash-attn"), "cuda")]

    assert ["environment/torch/any/cuda::imports", "environment/flash-attn/any/cuda::imports"] == actual


# what a workload needs


@pytest.mark.parametrize(
    ("changes", "window", "expected"),
    [
        ({}, None, {False}),
        ({"lengths": (7, 7)}, None, {False}),
        ({"lengths": (7, 3), "padding": "left"}, None, {True}),
        ({"lengths": (7, 7), "padding": "left"}, None, {False}),
        ({"lengths": (7, 3), "schedule": "alone"}, None, {False}),
        ({"schedule": "chunked", "chunks": (3, 4), "cache": "dynamic"}, None, {False, True}),
        ({"schedule": "decode", "steps": 2, "cache": "dynamic"}, None, {False}),
        ({"schedule": "decode", "steps": 2, "cache": "static"}, None, {False, True}),
        ({}, 8, {False}),
        ({}, 7, {True}),
        ({"lengths": (7, 8), "schedule": "alone"}, 8, {False, True}),
        ({"schedule": "decode", "steps": 2, "cache": "dynamic"}, 9, {False, True}),
        ({"schedule": "decode", "steps": 2, "cache": "dynamic"}, 10, {False}),
    ],
)
def test_a_mask_is_handed_over_where_is_causal_does_not_say_it_all(
    changes: dict[str, Any], window: int | None, expected: set[bool]
) -> None:
    assert expected == workload(**changes).masks(window)


# definitions


def definition(**changes: Any) -> str:
    return check(**changes).definition


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "invariant"},
        {"options": {"implementation": "eager"}},
        {"of": model(seed=2)},
        {"of": model(config={"vocab_size": 321})},
    ],
)
def test_a_check_of_something_else_is_defined_otherwise(changes: dict[str, Any]) -> None:
    assert definition() != definition(**changes)


def test_a_workload_of_other_lengths_is_defined_otherwise() -> None:
    usual = check()

    assert usual.definition != replace(usual, workload=workload(lengths=(8,))).definition


def test_words_and_tiers_do_not_define_a_check() -> None:
    """Improving a summary must not cost the comparison with every recorded baseline."""
    usual = check()
    reworded = replace(
        usual, workload=workload(summary="better words", tier="full"), cell=cell(summary="other", of=model(tier="full"))
    )

    assert usual.definition == reworded.definition


def test_planned_checks_know_their_workload() -> None:
    (planned,) = (entry for entry in checks_of(cell(), matrix(), "quick") if entry.kind == "correct")

    assert Check(cell=cell(), kind="correct", subject="short", workload=workload()) == planned
