"""The judge of quantized layers accepts what is right, names what is wrong, and its calls cover what they should."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fixtures.findings import Finding
from fixtures.hypothesis_profiles import register_profiles
from fixtures.quantization.call_agreement import Explorer, explore
from fixtures.quantization.calls import FLAT, LAYOUTS, ROWS, SUBJECTS, Batch, Calls, landmarks
from fixtures.quantization.emulation import EXACT, linear_class
from fixtures.quantization.format import quantized_4bit, quantized_int8
from fixtures.quantization.linear import linear, share
from matrix.cell import COMPUTE_DTYPE, LINEAR_CALLS, Cell, Check
from suites.selftest.samples import configuration, model

RANDOM = np.random.Generator(np.random.Philox(11))
WEIGHT = RANDOM.standard_normal((64, 128)) / 8
STATES = np.clip(RANDOM.standard_normal((9, 128)), -5, 5)
OUTLYING = STATES.copy()
OUTLYING[:, 5] = 30.0


def cell(dtype: str = "bf16", **options: Any) -> Cell:
    named = configuration("bnb", suite="quantization", builder="bitsandbytes", options=options)
    return Cell(configuration=named, model=model("bnb-linear-call", task="call"), dtype=dtype, platform="cpu")


def off(states: np.ndarray[Any, Any], given: np.ndarray[Any, Any], **options: Any) -> bool:
    """Whether what the int8 layer gives is found wrong."""
    usual = {"threshold": 6.0, "computed": "bf16", "output": "bf16"}
    return bool((share(given, linear(states, quantized_int8(WEIGHT), None, **usual | options)) > 1).any())


def emulated(states: np.ndarray[Any, Any], *, threshold: float = 6.0) -> np.ndarray[Any, Any]:
    import torch

    layer = linear_class()(quantized_int8(WEIGHT), None, threshold=threshold, arithmetic=EXACT)
    output: np.ndarray[Any, Any] = layer(torch.from_numpy(states)).numpy()
    return output


@pytest.mark.parametrize("states", [STATES, OUTLYING])
def test_two_ways_to_compute_int8_agree(states: np.ndarray[Any, Any]) -> None:
    """NumPy on one side, torch on the other; neither imports bitsandbytes."""
    assert not off(states, emulated(states))


def test_a_lost_outlier_column_is_seen() -> None:
    without = OUTLYING.copy()
    without[:, 5] = 0

    assert off(OUTLYING, emulated(without))


def test_decomposition_that_does_not_happen_is_seen() -> None:
    """Without it the outliers take the codes of everything else."""
    assert off(OUTLYING, emulated(OUTLYING, threshold=0.0))


def test_one_wrong_scale_is_seen() -> None:
    output = emulated(STATES)
    output[:, 7] *= 1.05

    assert off(STATES, output)


def test_a_step_of_one_code_is_allowed_on_the_fence_alone() -> None:
    """An activation halfway between two codes may fall to either; one that is not may not."""
    states = np.zeros((1, 128))
    states[0, :2] = 127, 0.5
    stored, unit = quantized_int8(WEIGHT), 1 / 127
    either = stored.codes[:, 1].astype(float) * stored.scales * unit
    exactly: dict[str, Any] = {"threshold": 0.0, "computed": "fp32", "output": "fp32"}
    down = linear(states, stored, None, **exactly).values
    up = down + either

    assert not off(states, down, **exactly)
    assert not off(states, up, **exactly)
    states[0, 1] = 0.4
    assert off(states, up, **exactly)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 0.0])
def test_a_single_wrong_output_of_a_4bit_layer_is_seen(wrong: float) -> None:
    stored = quantized_4bit(WEIGHT, "nf4")
    output = STATES @ stored.dequantized().T
    assert not (share(output, linear(STATES, stored, None, threshold=0.0, computed="bf16", output="bf16")) > 1).any()

    output[3, np.abs(output[3]).argmax()] = wrong

    assert 1 == (share(output, linear(STATES, stored, None, threshold=0.0, computed="bf16", output="bf16")) > 1).sum()


def test_rounding_in_the_dtype_is_allowed_and_in_a_coarser_one_is_not() -> None:
    import torch

    stored = quantized_4bit(WEIGHT, "nf4")
    layer = linear_class()(stored, None, threshold=0.0, arithmetic="bf16")
    states = STATES.astype(np.float32).astype(np.float64)
    output = layer(torch.from_numpy(states).float()).double().numpy()

    assert not (share(output, linear(states, stored, None, threshold=0.0, computed="bf16", output="bf16")) > 1).any()
    assert (share(output, linear(states, stored, None, threshold=0.0, computed="fp32", output="fp32")) > 1).any()


def test_every_subject_that_is_planned_is_described() -> None:
    assert {*LINEAR_CALLS, COMPUTE_DTYPE, "empty", "large"} == set(SUBJECTS)


def test_landmarks_leave_no_number_of_rows_and_no_layout_out() -> None:
    rows = {batch.rows for made in landmarks("many-rows") for batch in made.batches}
    layouts = {batch.layout for name in SUBJECTS for made in landmarks(name) for batch in made.batches}

    assert (set(ROWS), {*FLAT, *LAYOUTS}) == (rows, layouts)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_judged_by_itself(layout: str) -> None:
    """A known failure of one hides none of the others, and each is tried with every number of rows."""
    batches = [batch for made in landmarks(f"not-contiguous-{layout}") for batch in made.batches]

    assert ({layout}, set(ROWS)) == ({batch.layout for batch in batches}, {batch.rows for batch in batches})


def test_landmarks_bring_outliers_and_take_them_away_again() -> None:
    patterns = [tuple(batch.outliers for batch in made.batches) for made in landmarks("outliers")]

    assert all({"none", "columns"} <= set(pattern) for pattern in patterns)


@pytest.mark.parametrize("options", [{"load": "8-bit"}, {"load": "4-bit", "type": "nf4"}, {"load": "4-bit", "type": "fp4"}])
@pytest.mark.parametrize("subject", ["one-row", "many-rows", "changing-rows", "outliers", "zeros"])
def test_the_library_as_it_is_agrees(options: dict[str, Any], subject: str) -> None:
    register_profiles()
    explorer = Explorer(cell(**options), subject, "cpu")
    for made in landmarks(subject):
        explorer.judge(made)

    assert 0 < explorer.used <= 1


def broken(change: Callable[[Any], Any], **options: Any) -> Explorer:
    """An explorer whose layers hand what they give through ``change``."""
    explorer = Explorer(cell(**options), "many-rows", "cpu")
    call = explorer._call
    explorer._call = lambda layer, states, made: change(call(layer, states, made))  # type: ignore[method-assign]
    return explorer


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda output: output * 1.5, "layer-disagrees"),
        (lambda output: output.float(), "other-kind"),
        (lambda output: output[:, :1], "other-kind"),
        (lambda output: output.flip(0), "layer-disagrees"),
        (lambda output: output.index_fill(0, output.new_tensor([1]).long(), 0), "layer-disagrees"),
    ],
)
def test_what_a_layer_should_not_give_is_named(change: Callable[[Any], Any], code: str) -> None:
    calls = Calls(inputs=64, outputs=32, batches=(Batch(rows=5),))

    with pytest.raises(Finding) as found:
        broken(change, load="8-bit").judge(calls)
    assert code == found.value.code
    assert "Calls(inputs=64" in str(found.value)


def test_what_was_drawn_is_written_down() -> None:
    from fixtures.measure import Measurement

    register_profiles()
    check = Check(cell=cell(load="8-bit"), kind="calls", subject="one-row")
    first, second = Measurement(check), Measurement(check)
    explore(check, "cpu", first)
    explore(check, "cpu", second)

    assert first.seen == second.seen
    assert first.seen["executed"] > len(landmarks("one-row"))
