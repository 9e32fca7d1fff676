"""The tensors of direct attention calls lie in memory as asked, and hold the same numbers however they lie."""

from __future__ import annotations

import pytest
import torch

from fixtures.attention_calls import LAYOUTS, SUBJECTS, Call
from fixtures.attention_landmarks import landmarks
from fixtures.attention_tensors import lay_out, values_of


@pytest.mark.parametrize("subject", SUBJECTS)
def test_layouts_hold_the_same_numbers(subject: str) -> None:
    """However a call's tensors lie in memory, they equal its values."""
    for call in landmarks("bf16", subject):
        values = values_of(call, "cpu")
        tensors = lay_out(call, values)

        for name in ("query", "key", "value"):
            assert torch.equal(getattr(values, name), getattr(tensors, name))
        if values.mask is not None and tensors.mask is not None:
            assert torch.equal(values.mask.expand_as(tensors.mask), tensors.mask)


@pytest.mark.parametrize("layout", sorted({*LAYOUTS, "unaligned"} - {"contiguous"}))
def test_layouts_are_not_contiguous(layout: str) -> None:
    """Every layout but one differs from contiguous in strides or offset."""
    call = Call(batch=2, heads=4, kv_heads=4, queries=5, keys=5, head_dim=16, value_dim=16, dtype="bf16", query_layout=layout,
                key_layout=layout)  # fmt: skip
    tensors = lay_out(call, values_of(call, "cpu"))

    assert not tensors.query.is_contiguous()
    assert not tensors.key.is_contiguous()


def test_packed_tensors_share_one_projection() -> None:
    """Query, key and value of one length are slices of the same memory."""
    call = Call(batch=2, heads=4, kv_heads=2, queries=5, keys=5, head_dim=16, value_dim=16, dtype="bf16", query_layout="packed",
                key_layout="packed")  # fmt: skip
    tensors = lay_out(call, values_of(call, "cpu"))

    assert len({tensor.untyped_storage().data_ptr() for tensor in (tensors.query, tensors.key, tensors.value)}) == 1
