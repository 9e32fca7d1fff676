"""The judge of flash-attn's direct calls: it accepts what is right and names what is wrong; they cover what they should."""

from __future__ import annotations

import importlib.util
import shlex
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import pytest
import torch
from hypothesis import Phase, settings

from fixtures.attention_agreement import CallFinding
from fixtures.faults.flash_attention import CHANGES
from fixtures.findings import Finding
from fixtures.flash_attention.agreement import Attend, judge
from fixtures.flash_attention.calls import (
    EDGES,
    HEAD_DIMS,
    HEADS,
    KEPT_LAYOUTS,
    LAYOUTS,
    LENGTHS,
    OTHER_HEAD_DIMS,
    SOFTCAPS,
    SPLITS,
    SUBJECTS,
    Call,
)
from fixtures.flash_attention.exploration import explore, for_each, landmarks
from fixtures.flash_attention.refusals import RESTRICTIONS
from fixtures.flash_attention.tensors import arguments_of, laid_out, values_of
from fixtures.hypothesis_profiles import register_profiles
from matrix.cell import CALLS
from suites.selftest.emulated.flash_attention import FOLDER
from suites.selftest.test_attention_calls import Notes

CALL = Call(function="func", lengths=((5, 7), (5, 7)), heads=4, kv_heads=2, head_dim=64, dtype="bf16", causal=True, seed=3)


@pytest.fixture(autouse=True)
def without_shrinking() -> Iterator[None]:
    """The profile that runs in CI, except that what fails is not made smaller, which takes time and is not ours."""
    register_profiles()
    settings.register_profile("selftest", settings.get_profile("ci"), phases=(Phase.generate,))
    settings.load_profile("selftest")
    yield
    settings.load_profile("ci")


@cache
def emulated() -> Any:
    """The emulated package's module, imported under another name so that nobody else takes it for an installed one."""
    path = FOLDER / "site" / "flash_attn" / "flash_attn_interface.py"
    spec = importlib.util.spec_from_file_location("emulated_flash_attn_interface", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def function_of(call: Call) -> Callable[..., torch.Tensor]:
    names = {"func": "flash_attn_func", "varlen": "flash_attn_varlen_func", "kvcache": "flash_attn_with_kvcache"}
    function: Callable[..., torch.Tensor] = getattr(emulated(), names[call.function])
    return function


def rightly(arguments: dict[str, Any], call: Call) -> torch.Tensor:
    return function_of(call)(**arguments)


def wrongly(name: str) -> Attend:
    """A call with one of the faults that can be injected."""
    _, change = CHANGES[name]
    return lambda arguments, call: change(function_of(call), dict(arguments))


def groups_in_wrong_order(arguments: dict[str, Any], call: Call) -> torch.Tensor:
    order = torch.arange(call.heads).view(-1, call.kv_heads).T.reshape(-1)
    return function_of(call)(**arguments | {"q": arguments["q"][..., order, :]})[..., order.argsort(), :]


def strides_ignored(arguments: dict[str, Any], call: Call) -> torch.Tensor:
    """Elements taken in the order of memory, whatever the strides say."""
    stale = {}
    for name in ("q", "k", "v"):
        tensor = arguments[name]
        flat = tensor.as_strided((min(tensor.numel(), tensor.untyped_storage().size() // 2),), (1,))
        stale[name] = torch.cat([flat] * -(-tensor.numel() // len(flat)))[: tensor.numel()].view(tensor.shape)
    return function_of(call)(**arguments | stale)


def refused(words: str, arguments: dict[str, Any], call: Call) -> torch.Tensor:
    raise RuntimeError(words)


def explored(subject: str, attend: Attend, dtype: str = "bf16") -> Notes:
    notes = Notes()
    explore(subject=subject, dtype=dtype, device="cpu", measure=notes, attend=attend)
    return notes


def test_subjects_are_those_that_are_planned() -> None:
    assert CALLS["flash-attn-call"] == tuple(SUBJECTS)


@pytest.mark.parametrize("dtype", ["bf16", pytest.param("fp16", marks=pytest.mark.slow)])
@pytest.mark.parametrize("subject", SUBJECTS)
def test_right_attention_is_accepted(subject: str, dtype: str) -> None:
    """Every subject is executed, and rounding uses less than half of the tolerance."""
    notes = explored(subject, rightly, dtype)

    assert notes.seen["executed"] > 0
    assert notes.figures["tolerance_used"] < 0.5


@pytest.mark.parametrize(
    ("subject", "fault"),
    [
        ("window", "flash-attn-window-one-too-wide"),
        ("causal-alignment", "flash-attn-top-left"),
        ("variable-lengths", "flash-attn-padding-ignored"),
        ("softcap", "flash-attn-softcap-ignored"),
        ("alibi", "flash-attn-slopes-ignored"),
        ("key-value-cache", "flash-attn-cache-one-short"),
        ("split-keys", "flash-attn-cache-one-short"),
    ],
)
def test_fault_is_found_in_its_subject(subject: str, fault: str) -> None:
    with pytest.raises(CallFinding):
        explored(subject, wrongly(fault))


@pytest.mark.parametrize("attend", [groups_in_wrong_order, strides_ignored])
def test_fault_of_heads_and_strides_is_found(attend: Attend) -> None:
    with pytest.raises(CallFinding):
        explored("whole", attend)


def test_fault_is_recorded_with_the_command_that_replays_it() -> None:
    notes = Notes()
    with pytest.raises(CallFinding):
        explore(subject="window", dtype="bf16", device="cpu", measure=notes, attend=wrongly("flash-attn-window-one-too-wide"))
    call = eval(notes.seen["failing_call"])

    assert isinstance(call, Call)
    assert repr(call) in shlex.split(notes.seen["replay"])[2]


def test_replay_command_names_what_it_calls() -> None:
    """The program of the command makes the same call of the installed package, or says that it is not installed."""
    with pytest.raises(CallFinding) as found:
        judge(CALL, device="cpu", attend=wrongly("flash-attn-top-left"))

    with pytest.raises(CallFinding, match="No module named 'flash_attn'"):
        exec(shlex.split(found.value.replay)[2], {})


def test_finding_carries_every_value() -> None:
    with pytest.raises(CallFinding) as found:
        judge(CALL, device="cpu", attend=wrongly("flash-attn-top-left"))
    message = str(found.value)

    for words in ("actual ", "expected ", "error ", "tolerance ", "(2, 5, 4, 64), strides", "torch.bfloat16", "causal", "True",
                  "seed=3", "replay "):  # fmt: skip
        assert words in message


def test_refusal_without_a_documented_reason_is_found() -> None:
    """A package that suddenly declines a plain call is not excused."""
    with pytest.raises(CallFinding, match="no documented restriction speaks against it"):
        judge(CALL, device="cpu", attend=partial(refused, "FlashAttention only supports Ampere GPUs or newer."))


def test_kernel_that_a_build_left_out_is_counted_as_refused() -> None:
    notes = explored("head-dimensions", partial(refused_beyond, "run_mha_fwd_ head_dim 32 is not in this reduced build"))

    assert {"a build without the kernels of this head dimension", "heads wider than 256"} == set(notes.seen["refusals"])
    assert sorted(OTHER_HEAD_DIMS) == notes.seen["head_dimensions"]["refused"]


def refused_beyond(words: str, arguments: dict[str, Any], call: Call) -> torch.Tensor:
    raise RuntimeError(words if call.head_dim <= 256 else "FlashAttention forward only supports head dimension at most 256")


def test_kernel_that_every_build_has_must_not_be_left_out() -> None:
    with pytest.raises(CallFinding, match="is not in this reduced build"):
        explored("whole", partial(refused, "run_mha_fwd_ head_dim 64 is not in this reduced build"))


def test_package_that_executed_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refusals that are all documented are no success when nothing was executed."""
    with pytest.raises(Finding, match="was executed by flash-attn in fp32"):
        explored("whole", rightly, "fp32")


def test_every_restriction_names_its_source() -> None:
    assert all(row.source.startswith("https://") for row in RESTRICTIONS)


def drawn() -> list[Call]:
    calls: list[Call] = []
    for subject in SUBJECTS:
        for_each(subject, "bf16", calls.append)
    return calls


def test_calls_of_ci_cover_every_choice() -> None:
    """Every length, head dimension, grouping, layout, window's edge, cap and number of splits is met by the few examples."""
    calls = drawn()
    sides = {side for call in calls for side in call.window}

    assert set(LENGTHS) <= {length for call in calls for row in call.lengths for length in row}
    assert {*HEAD_DIMS, *OTHER_HEAD_DIMS} == {call.head_dim for call in calls}
    assert {(kv, kv * group) for kv, group in HEADS} == {(call.kv_heads, call.heads) for call in calls}
    assert set(LAYOUTS) == {call.layout for call in calls if call.function != "kvcache"}
    assert set(KEPT_LAYOUTS) == {call.layout for call in calls if call.function == "kvcache"}
    assert set(EDGES) <= sides
    assert {0.0, *SOFTCAPS} == {call.softcap for call in calls}
    assert {"", "heads", "rows"} == {call.slopes for call in calls}
    assert set(SPLITS) == {call.splits for call in calls}
    assert {"func", "varlen", "kvcache"} == {call.function for call in calls}


def test_calls_of_ci_hold_rows_that_are_empty() -> None:
    rows = [row for call in drawn() for row in call.lengths]

    assert any(queries and not keys for queries, keys in rows)
    assert any(keys and not queries for queries, keys in rows)


def test_calls_of_ci_are_the_same_every_time() -> None:
    """Two runs judge the same calls, so that their errors can be compared."""
    assert drawn() == drawn()


def test_landmarks_take_turns() -> None:
    """No head dimension comes a second time before all have come once."""
    dims = [call.head_dim for call in landmarks("bf16", "whole")]

    assert set(HEAD_DIMS) == set(dims[: len(HEAD_DIMS)])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_changes_no_value(layout: str) -> None:
    states = torch.arange(2 * 3 * 4 * 8, dtype=torch.float32).view(2, 3, 4, 8)
    states = states[:, :, :1].expand(states.shape) if layout == "expanded-heads" else states

    assert torch.equal(states, laid_out(states, layout))


def test_cache_holds_nan_where_no_row_is() -> None:
    """Rows lie where the call says, in reverse order, and the new keys are not yet in the cache."""
    call = Call(function="kvcache", lengths=((1, 4), (1, 9)), heads=2, kv_heads=2, head_dim=64, dtype="bf16", new_keys=1,
                shuffled=True)  # fmt: skip
    arguments = arguments_of(call, values_of(call, "cpu"))
    filled = (~arguments["k_cache"].isnan().any(dim=(-1, -2))).sum(dim=1).tolist()

    assert [0, 8, 3] == filled
    assert ([2, 1], [3, 8]) == (arguments["cache_batch_idx"].tolist(), arguments["cache_seqlens"].tolist())
