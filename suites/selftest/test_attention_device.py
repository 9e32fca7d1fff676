"""A call that breaks the device: the process can do nothing more, and says which call it was."""

from __future__ import annotations

import pytest
import torch

from fixtures import attention_agreement
from fixtures.attention_agreement import CallFinding
from fixtures.attention_calls import Call
from fixtures.attention_exploration import explore
from fixtures.attention_tensors import Tensors
from fixtures.hypothesis_profiles import register_profiles
from suites.selftest.attention import Notes, attend, explored


@pytest.fixture(autouse=True)
def profile_of_ci() -> None:
    """With everything that Hypothesis does after a failure."""
    register_profiles()


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
    broken = BrokenDevice(nth)
    with pytest.raises(CallFinding) as found:
        explored("no-mask", "bf16", broken)

    assert nth == len(broken.made)
    assert found.value.code == "device-error"


def test_broken_device_is_recorded_with_the_call_that_broke_it() -> None:
    """The finding says what was raised, that the process is unusable, which call it was and how to make it again."""
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
