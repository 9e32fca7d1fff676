"""A quantized model is what its user asked for once it is loaded, and as small as its format promises."""

from __future__ import annotations

import pytest

from fixtures.builders.bitsandbytes import QuantizedBuilt
from fixtures.measure import Measurement
from fixtures.quantization.judgement import needs_what_its_format_implies, quantizes_what_it_should, stores_the_nearest_codes
from fixtures.quantization.reference import QuantizedReferences
from matrix.cell import Check


@pytest.mark.check("builds", "quantization")
def test_every_linear_layer_that_should_be_quantized_is(check: Check, built: QuantizedBuilt, measure: Measurement) -> None:
    """By name, experts included, on the device it should be on; what stays in full precision is what is meant to."""
    quantizes_what_it_should(built, measure)


@pytest.mark.check("footprint", "quantization")
def test_footprint_is_what_the_format_implies(check: Check, built: QuantizedBuilt, measure: Measurement) -> None:
    """Scales and tables included; the peak while loading is recorded apart."""
    needs_what_its_format_implies(built, measure)


@pytest.mark.check("weights", "quantization")
def test_stored_weights_are_the_nearest_codes(
    check: Check, built: QuantizedBuilt, quantized_references: QuantizedReferences, measure: Measurement
) -> None:
    """What is saved to disk, read back by name, is the original rounded as the format says."""
    stores_the_nearest_codes(built, quantized_references, measure)
