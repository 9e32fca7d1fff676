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

from fixtures import attention_agreement
from fixtures.attention_agreement import CallFinding, attend_plainly, judge, scale_of
from fixtures.attention_calls import HEAD_DIMS, HEADS, LAYOUTS, LENGTHS, MASK_LAYOUTS, MASK_SHAPES, SUBJECTS, Call, Mask
from fixtures.attention_exploration import explore, for_each
from fixtures.attention_landmarks import landmarks
from fixtures.attention_refusals import RESTRICTIONS, expected_refusals
from fixtures.attention_tensors import Tensors, exact, values_of
from fixtures.findings import Finding
from fixtures.hypothesis_profiles import register_profiles
from fixtures.oracle.scaled_dot_product import scaled_dot_product

CALL = Call(batch=2, heads=4, kv_heads=2, queries=5, keys=7, head_dim=16, value_dim=16, dtype="fp32", seed=3)


class Notes:
    """Stands in for the measurement of a check."""

    def __init__(self) -> None:
        self.seen: dict[str, Any] = {}
        self.figures: dict[str, float] = {}

    def evidence(self, **seen: Any) -> None:
        self.seen.update(seen)

    def errors(self, **figures: float) -> None:
        self.figures.update(figures)


@pytest.fixture(autouse=True)
def without_shrinking() -> Iterator[None]:
    """The profile that runs in CI, except that what fails is not made smaller, which takes time and is not ours."""
    register_profiles()
    settings.register_profile("selftest", settings.get_profile("ci"), phases=(Phase.generate,))
    settings.load_profile("selftest")
    yield
    settings.load_profile("ci")


def explored(subject: str, dtype: str, attend: Any, backends: tuple[str, ...] = ("MATH",)) -> Notes:
    notes = Notes()
    explore(subject=subject, backends=backends, dtype=dtype, device="cpu", platform="cpu", measure=notes, attend=attend)
    return notes


def attend(tensors: Tensors, call: Call, **changed: Any) -> torch.Tensor:
    """Attention as it should be, scores in float32; ``changed`` names one thing that is done wrong."""
    query, key, value = (states.float() for states in (tensors.query, tensors.key, tensors.value))
    group = call.heads // call.kv_heads
    key, value = (changed.get("group", lambda s: s.repeat_interleave(group, 1))(s) for s in (key, value))
    scores = query @ key.mT * changed.get("scale", scale_of(call))
    if call.is_causal:
        scores = scores.masked_fill(~torch.ones(scores.shape[-2:]).tril(changed.get("diagonal", 0)).bool(), -torch.inf)
    mask = changed.get("mask", tensors.mask)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask.float()
    weights = scores.softmax(-1)
    if not changed.get("naked_softmax"):
        weights = weights.masked_fill(scores.isneginf().all(-1, keepdim=True), 0.0)
    return (changed.get("weigh", lambda w: w)(weights) @ value).to(tensors.query.dtype)


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


def refuse(tensors: Tensors, call: Call) -> torch.Tensor:
    raise RuntimeError("No available kernel. Aborting execution.")


def test_refusal_without_a_documented_reason_is_found() -> None:
    """A backend that suddenly declines a plain call is not excused."""
    with pytest.raises(CallFinding, match="no documented restriction speaks against it"):
        judge(CALL, backends=("FLASH_ATTENTION",), attend=refuse)


def test_documented_refusal_is_counted() -> None:
    """A refusal for a reason of the table is an outcome with that reason."""
    call = Call(batch=1, heads=1, kv_heads=1, queries=2, keys=2, head_dim=16, value_dim=24, dtype="fp32")
    expected = ("refused", ("features of value differ from those of query",))
    judged = judge(call, backends=("FLASH_ATTENTION",), attend=refuse)

    assert expected == (judged.outcome, judged.reasons)


def test_other_error_is_no_refusal() -> None:
    """Where a refusal is documented, an error with other words is still a failure."""

    def crash(tensors: Tensors, call: Call) -> torch.Tensor:
        raise RuntimeError("an illegal memory access was encountered")

    call = Call(batch=1, heads=1, kv_heads=1, queries=2, keys=2, head_dim=16, value_dim=24, dtype="fp32")

    with pytest.raises(CallFinding, match="illegal memory access"):
        judge(call, backends=("FLASH_ATTENTION",), attend=crash)


def test_backend_that_executed_nothing_fails() -> None:
    """Refusals that are all documented are no success when nothing was executed."""
    with pytest.raises(Finding, match="calls was executed by CUDNN_ATTENTION in fp32 on cpu"):
        explored("no-mask", "fp32", None, backends=("CUDNN_ATTENTION",))


@pytest.mark.parametrize("platform", ["cpu", "cuda", "rocm"])
def test_math_refuses_nothing_but_contradictory_masks(platform: str) -> None:
    """Math declines a mask together with is_causal, and what no backend is asked about."""
    calls = [call for subject in SUBJECTS for call in landmarks("bf16", subject)]
    expected = {"mask of a dtype that is neither bool, fp32 nor the query's", "a mask together with is_causal"}
    actual = {row.reason for call in calls for row in expected_refusals(call, ("MATH",), platform)}

    assert expected == actual


def test_library_declines_only_what_every_backend_declines() -> None:
    """A mask together with is_causal is computed where a fused backend takes it, and declined by math where none does."""
    taken = dataclasses.replace(CALL, kv_heads=4, mask=Mask(dtype="bool"), is_causal=True)
    declined = dataclasses.replace(taken, query_layout="every-second-feature")

    assert not expected_refusals(taken, (), "cuda")
    assert "a mask together with is_causal" in {row.reason for row in expected_refusals(declined, (), "cuda")}


@pytest.mark.parametrize("backend", ["FLASH_ATTENTION", "EFFICIENT_ATTENTION", "CUDNN_ATTENTION"])
@pytest.mark.parametrize("empty", [{"queries": 0}, {"keys": 0}])
def test_fused_backends_of_gpus_decline_calls_without_tokens(backend: str, empty: dict[str, int]) -> None:
    """No query or no key: nothing for a fused kernel."""
    call = dataclasses.replace(CALL, kv_heads=4, dtype="bf16", **empty)

    assert expected_refusals(call, (backend,), "cuda")


def test_kernel_that_is_missing_after_the_choice_is_no_refusal() -> None:
    """That efficient attention has no kernel for unaligned tensors is said before the backend is chosen, or it is a finding."""

    def launch(tensors: Tensors, call: Call) -> torch.Tensor:
        raise RuntimeError("cutlassF: no kernel found to launch!")

    call = dataclasses.replace(CALL, kv_heads=4, query_layout="unaligned", key_layout="unaligned")

    assert judge(call, backends=("EFFICIENT_ATTENTION",), platform="cuda", attend=refuse).outcome == "refused"
    with pytest.raises(CallFinding, match="cutlassF: no kernel found to launch!, expected a refusal for: query, key or value"):
        judge(call, backends=("EFFICIENT_ATTENTION",), platform="cuda", attend=launch)


class BrokenDevice:
    """Attention that breaks the device at the ``nth`` call, after which every call fails."""

    def __init__(self, nth: int) -> None:
        self.nth, self.made = nth, list[Call]()

    def __call__(self, tensors: Tensors, call: Call) -> torch.Tensor:
        self.made.append(call)
        if len(self.made) >= self.nth:
            raise RuntimeError("CUDA error: misaligned address\nSearch for `cudaErrorMisalignedAddress'")
        return attend(tensors, call)


@pytest.mark.parametrize("nth", [1, 7, 30])
def test_broken_device_ends_the_exploration_at_once(nth: int) -> None:
    """No further call is made, neither another one nor the same or a smaller one, whether it was drawn or a landmark."""
    settings.load_profile("ci")
    broken = BrokenDevice(nth)
    with pytest.raises(CallFinding) as found:
        explored("no-mask", "bf16", broken)

    assert nth == len(broken.made)
    assert found.value.code == "device-error"


def test_broken_device_is_recorded_with_the_call_that_broke_it() -> None:
    """The finding says what was raised, that the process is unusable, which call it was and how to make it again."""
    settings.load_profile("ci")
    broken, notes = BrokenDevice(7), Notes()
    with pytest.raises(CallFinding) as found:
        explore(subject="no-mask", backends=("MATH",), dtype="bf16", device="cpu", platform="cpu", measure=notes, attend=broken)
    message = str(found.value)

    assert message.startswith("actual RuntimeError: CUDA error: misaligned address, expected an output")
    assert "this process cannot use its device any more" in message
    assert repr(broken.made[-1]) == notes.seen["failing_call"]
    assert notes.seen["replay"] in message
    assert (notes.seen["executed"], notes.seen["empty"]) == (6, 0)


def test_device_that_was_broken_before_is_blamed_on_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where not even the tensors can be made, the error is passed on as it is, once."""
    settings.load_profile("ci")
    made = []

    def values(call: Call, device: str) -> Tensors:
        made.append(call)
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(attention_agreement, "values_of", values)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        explored("no-mask", "bf16", attend)

    assert len(made) == 1


@pytest.mark.parametrize("words", ["CUDA error: invalid configuration argument", "CUDA error: out of memory"])
def test_error_that_leaves_the_device_usable_is_looked_into(words: str) -> None:
    """Only errors that stay end the exploration: of others the smallest call that fails is what is wanted."""

    def fail(tensors: Tensors, call: Call) -> torch.Tensor:
        raise RuntimeError(words)

    with pytest.raises(CallFinding, match=words) as found:
        explored("no-mask", "bf16", fail)

    assert found.value.code == "unexplained-error"


def test_refusal_needs_a_reason_for_every_allowed_backend() -> None:
    """Two allowed backends of which one takes the call: no refusal is expected."""
    call = Call(
        batch=1, heads=1, kv_heads=1, queries=2, keys=2, head_dim=16, value_dim=16, dtype="bf16", mask=Mask(dtype="bool")
    )

    assert expected_refusals(call, ("FLASH_ATTENTION",), "cuda")
    assert not expected_refusals(call, ("FLASH_ATTENTION", "MATH"), "cuda")


def test_every_restriction_names_its_source() -> None:
    """No row without a link."""
    assert all(row.source.startswith("https://") for row in RESTRICTIONS)


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
