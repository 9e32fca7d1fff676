"""Direct calls of ``scaled_dot_product_attention``, drawn by Hypothesis, agree with the float64 oracle."""

from __future__ import annotations

import pytest

from fixtures.attention_exploration import explore
from fixtures.measure import Measurement
from matrix.cell import Check


@pytest.mark.check("calls", "attention")
@pytest.mark.usefixtures("import_seconds")  # faults that are injected are put in before
def test_direct_calls_agree_with_the_float64_oracle(check: Check, device: str, measure: Measurement) -> None:
    """Every call of the check's subject is computed within the tolerance or declined for a documented reason."""
    cell = check.cell
    backends = cell.configuration.options.get("backends", ())
    with measure.phase("workload"):
        explore(
            subject=check.subject, backends=backends, dtype=cell.dtype, device=device, platform=cell.platform, measure=measure
        )
