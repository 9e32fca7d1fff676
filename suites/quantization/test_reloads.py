"""The two ways in agree: quantized while loading, and saved quantized and loaded again."""

from __future__ import annotations

import pytest

from fixtures.builders.bitsandbytes import QuantizedBuilt
from fixtures.measure import Measurement
from fixtures.quantization.judgement import holds_quantized_layers
from fixtures.quantization.reloading import reloaded_is_the_same
from matrix.cell import Check


@pytest.mark.check("reloads", "quantization")
def test_a_saved_model_is_the_same_when_it_is_loaded(check: Check, built: QuantizedBuilt, measure: Measurement) -> None:
    """To the bit in its weights and to rounding in its output; neither running nor loading it changes what it saves."""
    holds_quantized_layers(built)
    reloaded_is_the_same(check.subject, built, measure)
