"""Attention for self-tests: a plain implementation, of which one thing can be done wrong, and an exploration of it."""

from __future__ import annotations

from typing import Any

import torch

from fixtures.attention_agreement import scale_of
from fixtures.attention_calls import Call
from fixtures.attention_exploration import explore
from fixtures.attention_tensors import Tensors

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
