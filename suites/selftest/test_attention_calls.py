"""The judge of direct attention calls: it accepts what is right, names what is wrong, and its calls cover what they should."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import Phase, settings

from fixtures.attention_agreement import CallFinding, attend_plainly, judge, scale_of
from fixtures.attention_calls import HEAD_DIMS, HEADS, LAYOUTS, LENGTHS, MASK_LAYOUTS, MASK_SHAPES, SUBJECTS, Call
from fixtures.attention_exploration import explore, for_each
from fixtures.attention_tensors import Tensors, exact, values_of
from fixtures.hypothesis_profiles import register_profiles
from fixtures.oracle.scaled_dot_product import scaled_dot_product
from suites.selftest.attention import CALL, Notes, attend, explored


@pytest.fixture(autouse=True)
def without_shrinking() -> Iterator[None]:
    """The profile that runs in CI, except that what fails is not made smaller, which takes time and is not ours."""
    register_profiles()
    settings.register_profile("selftest", settings.get_profile("ci"), phases=(Phase.generate,))
    settings.load_profile("selftest")
    yield
    settings.load_profile("ci")


def bottom_right(tensors: Tensors, call: Call) -> torch.Tensor:
    return attend(tensors, call, diagonal=call.keys - call.queries)


def scale_twice(tensors: Tensors, call: Call) -> torch.Tensor:
    return attend(tensors, call, scale=scale_of(call) ** 2)


def default_scale_for_zero(tensors: Tensors, call: Call) -> torch.Tensor:
    return attend(tensors, call, scale=call.scale or call.head_dim**-0.5)


def mask_ignored(tensors: Tensors, call: Call) -> torch.Tensor:
    return attend(tensors, call, mask=None)


def last_key_hidden(tensors: Tensors, call: Call) -> torch.Tensor:
    return attend(tensors, call, weigh=lambda weights: weights * (torch.arange(call.keys) < max(call.keys - 1, 1)))


def nan_on_blind_rows(tensors: Tensors, call: Call) -> torch.Tensor:
    return attend(tensors, call, naked_softmax=True)


def uniform_on_blind_rows(tensors: Tensors, call: Call) -> torch.Tensor:
    assert tensors.mask is not None
    mask = tensors.mask if tensors.mask.dtype == torch.bool else tensors.mask.float()
    lowest = torch.where(mask, 0.0, -65504.0) if mask.dtype == torch.bool else mask.clamp(min=-65504.0)
    return attend(tensors, call, mask=lowest)


def groups_in_wrong_order(tensors: Tensors, call: Call) -> torch.Tensor:
    return attend(tensors, call, group=lambda states: states.repeat(1, call.heads // call.kv_heads, 1, 1))


def mask_read_as_bool(tensors: Tensors, call: Call) -> torch.Tensor:
    return attend(tensors, call, mask=None if tensors.mask is None else tensors.mask.bool())


def mask_bits_reread(tensors: Tensors, call: Call) -> torch.Tensor:
    assert tensors.mask is not None
    reread = tensors.mask.contiguous().view(tensors.query.dtype)[..., : tensors.mask.shape[-1]]
    return attend(tensors, call, mask=reread.float())


def weights_in_bf16(tensors: Tensors, call: Call) -> torch.Tensor:
    return attend(tensors, call, weigh=lambda weights: weights.bfloat16().float())


def strides_ignored(tensors: Tensors, call: Call) -> torch.Tensor:
    stale = {name: read_in_order(getattr(tensors, name)) for name in ("query", "key", "value")}
    return attend(Tensors(**stale, mask=tensors.mask), call)


def mask_strides_ignored(tensors: Tensors, call: Call) -> torch.Tensor:
    return attend(tensors, call, mask=None if tensors.mask is None else read_in_order(tensors.mask))


def read_in_order(tensor: torch.Tensor) -> torch.Tensor:
    """What a kernel reads that takes the tensor for a contiguous one."""
    memory = torch.tensor([], dtype=tensor.dtype).set_(tensor.untyped_storage())
    return memory[(tensor.storage_offset() + torch.arange(tensor.numel())) % max(len(memory), 1)].view(tensor.shape)


def of_another_dtype(tensors: Tensors, call: Call) -> torch.Tensor:
    return attend(tensors, call).double()


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("subject", SUBJECTS)
def test_attention_as_documented_is_accepted(subject: str, dtype: str) -> None:
    """An implementation that takes everything and keeps its scores in fp32 passes every subject."""
    notes = explored(subject, dtype, attend)

    assert notes.seen["refused"] == 0
    assert notes.seen["executed"] > 0


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("fault", "subject", "code"),
    [
        (bottom_right, "no-mask", "disagrees"),
        (scale_twice, "no-mask", "disagrees"),
        (groups_in_wrong_order, "no-mask", "disagrees"),
        (last_key_hidden, "no-mask", "disagrees"),
        (strides_ignored, "no-mask", "(disagrees|not-finite)"),
        (strides_ignored, "unaligned", "(disagrees|not-finite)"),
        (of_another_dtype, "no-mask", "wrong-kind"),
        (mask_ignored, "mask", "disagrees"),
        (mask_strides_ignored, "mask", "(disagrees|not-finite)"),
        (mask_ignored, "one-dimensional-mask", "disagrees"),
        (mask_ignored, "mask-of-one-column", "disagrees"),
        (mask_ignored, "mask-and-causal", "disagrees"),
        (nan_on_blind_rows, "fully-masked-rows", "not-finite"),
        (uniform_on_blind_rows, "fully-masked-rows", "disagrees"),
        (mask_ignored, "mask-of-another-dtype", "disagrees"),
        (mask_read_as_bool, "mask-of-another-dtype", "(disagrees|not-finite)"),
        (default_scale_for_zero, "scale-not-positive", "disagrees"),
    ],
)
def test_fault_is_found(fault: Any, subject: str, code: str, dtype: str) -> None:
    """Each emulated fault turns the subject red that is there for it, in full and in half precision."""
    with pytest.raises(CallFinding) as found:
        explored(subject, dtype, fault)

    assert found.value.code in code.strip("()").split("|")


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_fp32_mask_reread_as_half_is_found(dtype: str) -> None:
    """A kernel that takes the bits of a float32 mask for those of the query's dtype is found."""
    with pytest.raises(CallFinding):
        explored("mask-of-another-dtype", dtype, mask_bits_reread)


def test_weights_in_lower_precision_are_found_in_fp32() -> None:
    """Weights that were rounded to bfloat16 on the way are outside the tolerance of float32."""
    with pytest.raises(CallFinding, match="tolerance"):
        explored("no-mask", "fp32", weights_in_bf16)


@pytest.mark.parametrize(("units", "accepted"), [(2, True), (4, False)])
def test_rounding_is_allowed_where_plain_products_are_exact(units: int, accepted: bool) -> None:
    """With one key the output is the value: two units in the last place are rounding, as efficient attention's on an H200."""

    def round_up(tensors: Tensors, call: Call) -> torch.Tensor:
        output = attend(tensors, call)
        for _ in range(units):
            output = output.nextafter(2 * output)
        return output

    call = dataclasses.replace(CALL, keys=1, scale=0.02)

    if accepted:
        assert judge(call, backends=("MATH",), attend=round_up).error > 0
        return
    with pytest.raises(CallFinding, match=re.escape("= 2 * 0 (plain products in fp32) + 2 * ")):
        judge(call, backends=("MATH",), attend=round_up)


def test_fault_is_recorded_with_the_command_that_replays_it() -> None:
    """The smallest failing call is written down as a Python expression and as a shell command."""
    notes = Notes()
    with pytest.raises(CallFinding):
        explore(subject="no-mask", backends=("MATH",), dtype="fp32", device="cpu", platform="cpu", measure=notes,
                attend=scale_twice)  # fmt: skip
    call = eval(notes.seen["failing_call"])

    assert isinstance(call, Call)
    assert notes.seen["replay"].startswith("python -c ")
    assert repr(call) in shlex.split(notes.seen["replay"])[2]


def test_finding_carries_every_value() -> None:
    """Message: shapes, strides, dtype, call, backend, actual, expected, tolerance and replay."""
    with pytest.raises(CallFinding) as found:
        judge(CALL, backends=("MATH",), attend=scale_twice)
    message = str(found.value)

    for words in ("actual ", "expected ", "error ", "tolerance ", "(2, 4, 5, 16), strides (320, 80, 16, 1)", "torch.float32",
                  "MATH, on cpu", "seed=3", "replay "):  # fmt: skip
        assert words in message


def test_replay_command_makes_the_same_call(capsys: pytest.CaptureFixture[str]) -> None:
    """The program of the command judges the same call with the same backend."""
    with pytest.raises(CallFinding) as found:
        judge(CALL, backends=("MATH",), attend=scale_twice)
    exec(shlex.split(found.value.replay)[2], {})
    expected = f"{judge(CALL, backends=('MATH',))}\n"
    actual = capsys.readouterr().out

    assert expected == actual


def drawn(dtype: str) -> list[Call]:
    calls: list[Call] = []
    for subject in SUBJECTS:
        for_each(subject, dtype, calls.append)
    return calls


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
def test_calls_of_ci_cover_every_choice(dtype: str) -> None:
    """Every length, head dimension, grouping, layout, mask shape and dtype is met by the few examples of CI."""
    calls = drawn(dtype)
    masks = [call.mask for call in calls if call.mask]

    assert set(LENGTHS) <= {call.queries for call in calls} | {call.keys for call in calls}
    assert set(HEAD_DIMS) == {call.head_dim for call in calls}
    assert {(kv, kv * group) for kv, group in HEADS} == {(call.kv_heads, call.heads) for call in calls}
    assert {*LAYOUTS, "unaligned"} == {call.query_layout for call in calls} == {call.key_layout for call in calls}
    assert set(MASK_SHAPES) == {mask.shape for mask in masks}
    assert set(MASK_LAYOUTS) == {mask.layout for mask in masks}
    assert {"none", "some", "all"} == {mask.blind for mask in masks}
    assert {"bool", "fp32", "bf16", "fp16"} <= {mask.dtype for mask in masks}


def test_calls_of_ci_are_the_same_every_time() -> None:
    """Two runs judge the same calls, so that their errors can be compared."""
    assert drawn("bf16") == drawn("bf16")


def test_plain_products_are_as_good_as_their_dtype() -> None:
    """The yardstick of the tolerance agrees with the oracle to a few roundings in fp32."""
    values = values_of(CALL, "cpu")
    expected = scaled_dot_product(exact(values.query), exact(values.key), exact(values.value))

    assert exact(attend_plainly(values, CALL)) == pytest.approx(expected, abs=1e-6)
