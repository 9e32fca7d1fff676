"""How a placed model is compared with the whole one: to the bit where both compute alike, and its inputs wherever they lie."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fixtures.execution import Row
from fixtures.findings import Finding
from fixtures.measure import Measurement
from fixtures.placement import sameness
from fixtures.placement.residence import Resident
from fixtures.placement.sameness import Whole
from matrix.cell import Check
from matrix.expand import checks
from matrix.load import load_matrix

CHECK = next(each for each in checks(load_matrix(), "cpu", "quick") if each.kind == "same")
INPUTS = next(each for each in checks(load_matrix(), "cpu", "quick") if each.kind == "inputs")


WEIGHT = Resident(name="layer.w", place="disk", bytes=8, buffer=False, storage=1)
LOADED = (WEIGHT, Resident(name="layer.freq", place="cpu", bytes=8, buffer=True, storage=2))


def rows(units: int = 0) -> tuple[Row, ...]:
    """One answer; its last logit is off by so many units in the last place of bf16."""
    logits = np.linspace(-1, 1, 12).reshape(3, 4)
    logits[-1, -1] += units * 2.0**-7
    return (Row(tokens=np.arange(3), positions=np.arange(3), logits=logits),)


def compared(
    monkeypatch: pytest.MonkeyPatch, judged: tuple[Row, ...], *, exact: bool, alike: bool, check: Check = CHECK,
    left: tuple[Resident, ...] = (), doubt: Finding | None = None,
) -> Any:  # fmt: skip
    """What was measured of a placed model that says ``judged``."""
    monkeypatch.setattr(sameness.execution, "run", lambda built, workload, first=0: judged)
    monkeypatch.setattr(sameness, "same_arithmetic", lambda device, places: alike)
    monkeypatch.setattr(sameness, "residents", lambda model: left)
    wholes: Any = SimpleNamespace(
        device="cpu", of=lambda cell, workload: Whole(rows=rows(), exact=exact), doubted=lambda check: doubt,
        alone=lambda cell, judged: np.concatenate([row.logits for row in judged]),
    )  # fmt: skip
    built: Any = SimpleNamespace(map={"": 0}, residents=LOADED, model=None)
    measure = Measurement(check)
    sameness.same_as_whole(check, built, wholes, measure)
    return measure


@pytest.mark.parametrize(("exact", "alike"), [(True, False), (False, True), (False, False)])
def test_rounding_is_allowed_where_the_arithmetic_is_not_the_same(
    exact: bool, alike: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = compared(monkeypatch, rows(units=1), exact=exact, alike=alike)

    assert (False, False) == (measure.seen["to_the_bit"], measure.seen["same_bits"])
    with pytest.raises(Finding, match=r"1 of 3 tokens differ .* rounding makes at most"):
        compared(monkeypatch, rows(units=999), exact=exact, alike=alike)


def test_one_bit_is_too_much_where_the_arithmetic_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    assert compared(monkeypatch, rows(), exact=True, alike=True).seen["to_the_bit"]
    with pytest.raises(Finding, match="1 of 3 tokens differ from the whole model's, first row 0, position 2: 1 of 4 logits"):
        compared(monkeypatch, rows(units=1), exact=True, alike=True)


@pytest.mark.parametrize(("size", "expected"), [(0, []), (4096, []), (4097, ["left-behind"])])
def test_what_a_pass_leaves_on_a_gpu_is_found(size: int, expected: list[str]) -> None:
    assert expected == [finding.code for finding in sameness.of_left({0: 0, 1: size})]


def test_a_weight_that_was_fetched_and_not_let_go_of_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A buffer may stay where it was computed with."""
    buffer = replace(LOADED[1], place=0)
    compared(monkeypatch, rows(), exact=True, alike=True, left=(WEIGHT, buffer))
    with pytest.raises(Finding, match=r"1 weights lie elsewhere after .*: layer\.w \(8 bytes on GPU 0\), loaded to disk"):
        compared(monkeypatch, rows(), exact=True, alike=True, left=(replace(WEIGHT, place=0), buffer))


def taken(monkeypatch: pytest.MonkeyPatch, elsewhere: Any, *, on: str = "cuda:0") -> Any:
    """What was measured of a model on two GPUs that answers ``elsewhere`` for inputs on the second, or raises it."""

    def answer(built: Any, prompt: Any, device: str) -> tuple[list[int], str]:
        if device != "cuda:0" and isinstance(elsewhere, Exception):
            raise elsewhere
        return ([1, 2] if device == "cuda:0" else elsewhere), device

    monkeypatch.setattr(sameness, "_answer", answer)
    monkeypatch.setattr(sameness, "_others", lambda built: ["cuda:1"])
    wholes: Any = SimpleNamespace(answer=lambda cell, prompt: [1, 2])
    built: Any = SimpleNamespace(device="cuda:0", model=SimpleNamespace(device=on))
    measure = Measurement(INPUTS)
    sameness.takes_inputs(INPUTS, built, wholes, measure)
    return measure.seen["inputs"]["cuda:1"]


def test_inputs_elsewhere_are_answered_alike_or_declined(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cuda:1!"

    assert "the same answer, on cuda:1" == taken(monkeypatch, [1, 2])
    assert taken(monkeypatch, RuntimeError(said)).startswith("declined: RuntimeError: Expected all tensors")


def test_another_answer_another_error_and_another_first_device_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that speaks of no device is the model's own, and none in which it declines."""
    with pytest.raises(Finding, match=r"inputs on cuda:1 give the tokens \[1, 3\]"):
        taken(monkeypatch, [1, 3])
    with pytest.raises(RuntimeError, match="illegal memory access"):
        taken(monkeypatch, RuntimeError("CUDA error: an illegal memory access was encountered"))
    with pytest.raises(Finding, match=r"model.device, where the guide has them put, is cuda:1"):
        taken(monkeypatch, [1, 2], on="cuda:1")


def test_logits_that_are_no_numbers_are_not_the_same_as_others_like_them(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = tuple(replace(row, logits=row.logits * np.nan) for row in rows())
    monkeypatch.setattr(sys.modules[__name__], "rows", lambda units=0: nothing)

    with pytest.raises(Finding, match="some logits are no numbers"):
        compared(monkeypatch, nothing, exact=True, alike=True)


def test_a_whole_model_that_is_wrong_judges_no_placement(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Finding("whole-wrong", "the whole model on one device is wrong")
    with pytest.raises(Finding, match="the whole model on one device is wrong"):
        compared(monkeypatch, rows(), exact=True, alike=True, doubt=wrong)
