"""Shapes that change, shapes that must not, and what they cost."""

from __future__ import annotations

import pytest

from fixtures.builders.onnxruntime import SessionBuilt
from fixtures.measure import Measurement
from fixtures.onnxruntime.shapes import measure_shapes, memory_does_not_grow, other_shapes_are_declined
from matrix.cell import Check


@pytest.mark.check("static-shapes", "onnxruntime")
def test_a_session_of_one_shape_declines_every_other(check: Check, built: SessionBuilt, measure: Measurement) -> None:
    """In words that name the input."""
    other_shapes_are_declined(built, measure)


@pytest.mark.check("memory-growth", "onnxruntime")
def test_memory_does_not_grow_with_calls_of_mixed_shapes(check: Check, built: SessionBuilt, measure: Measurement) -> None:
    """A hundred calls of shapes that were seen before."""
    memory_does_not_grow(built, measure)


@pytest.mark.check("shape-cost", "onnxruntime")
def test_time_of_steady_and_of_alternating_shapes_is_recorded(check: Check, built: SessionBuilt, measure: Measurement) -> None:
    """Two measurements, neither judged."""
    measure_shapes(built, measure)
