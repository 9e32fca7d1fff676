"""The quantized kernels are the ones that execute."""

from __future__ import annotations

import pytest

from fixtures.builders.bitsandbytes import QuantizedBuilt
from fixtures.measure import Measurement
from fixtures.quantization.dispatch import layers_executed_as_promised
from fixtures.selection import Plan
from matrix.cell import Check


@pytest.mark.check("dispatch", "quantization")
def test_every_quantized_layer_runs_a_promised_kernel(
    check: Check, built: QuantizedBuilt, planned: Plan, measure: Measurement
) -> None:
    """Each once a pass, none in full precision; and columns with outliers go their own way where there are any."""
    layers_executed_as_promised(check, built, planned.facts.details.get("processor_features", ()), measure)
