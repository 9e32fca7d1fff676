"""What a backend declines is told apart from what it fails at."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from fixtures.attention_agreement import CallFinding, judge
from fixtures.attention_calls import SUBJECTS, Call, Mask
from fixtures.attention_landmarks import landmarks
from fixtures.attention_refusals import RESTRICTIONS, expected_refusals
from fixtures.attention_tensors import Tensors
from fixtures.findings import Finding
from suites.selftest.attention import CALL, explored


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
