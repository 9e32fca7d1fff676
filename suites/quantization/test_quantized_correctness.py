"""Quantized models are judged twice: tightly by what their stored weights say, loosely by eager fp32."""

from __future__ import annotations

import pytest

from fixtures.builders.bitsandbytes import QuantizedBuilt
from fixtures.judgement import baseline_holds, outcome_of
from fixtures.measure import Measurement
from fixtures.quantization.dispatch import feeding
from fixtures.quantization.judgement import close_to_full_precision, close_to_stored_weights, holds_quantized_layers
from fixtures.quantization.observation import layers_compute_what_is_stored
from fixtures.quantization.reference import QuantizedReferences
from fixtures.reference import References
from matrix.cell import Check


@pytest.mark.check("correct", "quantization")
def test_logits_agree_with_the_stored_weights_and_with_fp32(
    check: Check, built: QuantizedBuilt, quantized_references: QuantizedReferences, references: References, measure: Measurement
) -> None:
    """Every real token of the workload."""
    assert check.workload is not None
    holds_quantized_layers(built)
    baseline_holds(check, references, measure)
    rows = outcome_of(built, check.workload, measure)

    close_to_stored_weights(check, built, rows, quantized_references, measure)
    close_to_full_precision(check, built, rows, quantized_references, references, measure)


@pytest.mark.check("layers", "quantization")
def test_every_layer_gives_what_its_stored_weights_say(
    check: Check, built: QuantizedBuilt, quantized_references: QuantizedReferences, measure: Measurement
) -> None:
    """Call by call on the activations that occur, so that nothing hides behind the layers that follow."""
    layers_compute_what_is_stored(built, quantized_references, feeding(built, check.subject), measure)
