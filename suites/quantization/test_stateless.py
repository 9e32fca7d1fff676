"""Several batches in a row in one process: nothing of one is kept for the next."""

from __future__ import annotations

import pytest

from fixtures.builders.bitsandbytes import QuantizedBuilt
from fixtures.measure import Measurement
from fixtures.quantization.carrying import nothing_is_carried_over
from fixtures.quantization.judgement import holds_quantized_layers
from matrix.cell import Check


@pytest.mark.check("stateless", "quantization")
def test_the_same_rows_give_the_same_bits_whatever_came_between(
    check: Check, built: QuantizedBuilt, measure: Measurement
) -> None:
    """One token, a prompt and a long prompt in turn."""
    holds_quantized_layers(built)
    nothing_is_carried_over(built, measure)
