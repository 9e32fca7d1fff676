"""Several batches in a row in one process: nothing of one is kept for the next."""

from __future__ import annotations

import pytest

from fixtures.builders.bitsandbytes import QuantizedBuilt, build
from fixtures.measure import Measurement
from fixtures.quantization.carrying import nothing_is_carried_over, nothing_is_kept
from fixtures.quantization.judgement import holds_quantized_layers
from matrix.cell import Check


@pytest.mark.check("stateless", "quantization")
def test_the_same_rows_give_the_same_bits_whatever_came_between(
    check: Check, built: QuantizedBuilt, measure: Measurement
) -> None:
    """One token, a prompt and a long prompt in turn; and what the first calls of a model leave behind."""
    holds_quantized_layers(built)
    nothing_is_carried_over(built, measure)
    with measure.phase("build"):
        fresh = build(built.cell, built.original, built.device)
    nothing_is_kept(fresh, measure)
