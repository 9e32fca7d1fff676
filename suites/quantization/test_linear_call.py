"""Direct calls of quantized linear layers agree with the float64 oracle."""

from __future__ import annotations

import pytest

from fixtures.measure import Measurement
from fixtures.quantization import native
from fixtures.quantization.call_agreement import explore
from matrix.cell import Check


@pytest.mark.check("calls", "quantization")
@pytest.mark.usefixtures("import_seconds")  # faults that are injected are put in before
def test_direct_calls_give_what_is_stored(check: Check, device: str, measure: Measurement) -> None:
    """One row, many, rows that change, outliers that come and go, views, odd sizes, zeros: up to rounding."""
    native.require(check.cell.platform)
    with measure.phase("workload"):
        explore(check, device, measure)
