"""Layers with about 2 ** 31 weights are judged where an index that wraps around would show, on layers that are not large."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fixtures.expectations import expected
from fixtures.findings import Finding
from fixtures.measure import Measurement
from fixtures.quantization import index_limits
from fixtures.quantization.call_agreement import explore
from fixtures.quantization.index_limits import JUDGED, judged_of
from fixtures.quantization.method import Method, method_of
from fixtures.selection import Plan
from matrix.cell import Cell, Check
from matrix.errors import UserError
from matrix.expand import checks
from matrix.load import load_matrix
from suites.selftest.samples import configuration, facts, model, packages
from suites.selftest.test_expectations import TODAY

BELOW, BEYOND = "below-index-limits", "index-limits"
SHAPE = (320, 128)
MATRIX = load_matrix()
LOADS: dict[str, dict[str, Any]] = {"int8": {"load": "8-bit"}, "nf4": {"load": "4-bit", "type": "nf4"}}


def check(load: str) -> Check:
    options = {**LOADS[load], "subjects": [BELOW], "shapes": {BELOW: list(SHAPE)}}
    named = configuration("bnb", suite="quantization", builder="bitsandbytes", options=options)
    cell = Cell(configuration=named, model=model("bnb-linear-call", task="call"), dtype="bf16", platform="cpu")
    return Check(cell=cell, kind="calls", subject=BELOW)


def judge(load: str) -> Measurement:
    measure = Measurement(check(load))
    explore(check(load), "cpu", measure)
    return measure


def same(values: Any) -> Any:
    return values


@pytest.fixture
def wrong(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has layers made with ``weights`` changed before they are quantized, or ``output`` after it was computed."""
    right = index_limits.quantized_layer

    def put_in(weights: Callable[[Any], Any] = same, output: Callable[[Any], Any] = same) -> None:
        def made(values: Any, method: Method) -> Any:
            layer = right(weights(values.clone()), method)
            layer.register_forward_hook(lambda module, states, given: output(given.clone()))
            return layer

        monkeypatch.setattr(index_limits, "quantized_layer", made)

    return put_in


# what is planned


@pytest.mark.parametrize("name", ["bnb-int8-index-limits", "bnb-nf4-index-limits"])
@pytest.mark.parametrize("platform", ["cuda", "rocm"])
def test_one_layer_is_within_a_signed_32_bit_index_and_one_beyond(name: str, platform: str) -> None:
    """By less than a thousandth."""
    planned = [each for each in checks(MATRIX, platform, "full") if each.cell.configuration.name == name]
    shapes = method_of(planned[0].cell.configuration).shapes
    below, beyond = (shapes[subject][0] * shapes[subject][1] for subject in (BELOW, BEYOND))

    assert [BELOW, BEYOND] == [each.subject for each in planned]
    assert 0.999 * 2**31 < below < 2**31 < beyond < 1.001 * 2**31


@pytest.mark.parametrize(("subject", "known"), [(BELOW, False), (BEYOND, True)])
def test_only_the_layer_beyond_is_known_to_fail(subject: str, known: bool) -> None:
    machine = facts(platform="cuda", packages=packages(bitsandbytes="0.50.2"))
    plan = Plan(facts=machine, matrix=MATRIX, checks=(), unavailable={})
    planned = [each for each in checks(MATRIX, "cuda", "full") if "index-limits" in each.cell.configuration.name]

    assert {known} == {expected(each, plan, TODAY) is not None for each in planned if each.subject == subject}


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ({"other": [64, 64]}, "shapes.other is no subject, accepted: below-index-limits"),
        ({BELOW: [64]}, r"shapes.below-index-limits is \[64\], accepted: outputs and inputs, whole numbers above 0"),
        ({BELOW: [64, -1]}, "accepted: outputs and inputs"),
        ({BELOW: 64}, "accepted: outputs and inputs"),
    ],
)
def test_shapes_that_mean_nothing_are_refused(shapes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        method_of(configuration("bnb", options={"load": "8-bit", "subjects": [BELOW], "shapes": shapes}))


# what is judged


@pytest.mark.parametrize("load", LOADS)
def test_a_layer_that_is_right_passes(load: str) -> None:
    assert {"weights": SHAPE[0] * SHAPE[1], "rows": [1, 5]} == judge(load).seen


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("where", ["first", "middle", "last"])
def test_one_wrong_output_is_found_where_it_is(load: str, where: str, wrong: Callable[..., None]) -> None:
    part = judged_of(SHAPE)[where]

    def zeroed(given: Any) -> Any:
        given[:, part.start + 7] = 0
        return given

    wrong(output=zeroed)
    with pytest.raises(Finding, match=rf"1 of the {where} {JUDGED} outputs for 1 rows are further off"):
        judge(load)


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("where", ["middle", "last"])
def test_rows_of_weights_that_are_those_of_others_are_found(load: str, where: str, wrong: Callable[..., None]) -> None:
    """As where an index wrapped around: the first rows once more."""
    part = judged_of(SHAPE)[where]

    def wrapped(values: Any) -> Any:
        values[part] = values[:JUDGED]
        return values

    wrong(weights=wrapped)
    with pytest.raises(Finding, match=rf"of the {where} {JUDGED} rows of 320 x 128 weights \d+ scales and [1-9]\d* codes"):
        judge(load)


@pytest.mark.parametrize("load", LOADS)
def test_several_rows_are_judged_beside_one(load: str, wrong: Callable[..., None]) -> None:
    wrong(output=lambda given: given if len(given) == 1 else given.roll(1, 0))
    with pytest.raises(Finding, match="outputs for 5 rows are further off"):
        judge(load)


# what it needs


@pytest.mark.parametrize(
    ("free", "host", "words"),
    [
        (10**10, 10**11, r"2,145,386,496 weights need 19 GB of free GPU memory, here are 10 GB"),
        (10**11, 10**9, r"2,145,386,496 weights need 6 GB of free memory of the host, here are 1 GB"),
    ],
)
def test_where_memory_is_not_there_it_says_how_much_is_needed(
    free: int, host: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (free, 10**11))
    monkeypatch.setattr(index_limits, "available_memory", lambda: host)
    planned = next(each for each in checks(MATRIX, "cuda", "full") if each.subject == BELOW)
    with pytest.raises(pytest.skip.Exception, match=rf"too-little-memory: {words}"):
        index_limits.near_index_limits(planned.cell, BELOW, "cuda", Measurement(planned))
