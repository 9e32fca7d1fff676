"""A quantized model that was trained still predicts."""

from __future__ import annotations

import pytest

from fixtures.builders.bitsandbytes import QuantizedBuilt
from fixtures.measure import Measurement
from fixtures.quantization.quality import predicts_as_well
from fixtures.quantization.reference import QuantizedReferences
from fixtures.reference import References
from matrix.cell import Check


@pytest.mark.check("quality", "quantization")
def test_perplexity_and_greedy_answers_hold(
    check: Check, built: QuantizedBuilt, quantized_references: QuantizedReferences, references: References, measure: Measurement
) -> None:
    """No more is lost than the format loses, and the answers are those of full precision."""
    predicts_as_well(check, built, quantized_references, references, measure)
