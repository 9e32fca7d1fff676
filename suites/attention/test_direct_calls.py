"""Direct calls of attention functions, drawn by Hypothesis, agree with the float64 oracle."""

from __future__ import annotations

import pytest

from fixtures import attention_exploration, flash_attention
from fixtures.measure import Measurement
from matrix.cell import Check


@pytest.mark.check("calls", "attention")
@pytest.mark.usefixtures("import_seconds")  # faults that are injected are put in before
def test_direct_calls_agree_with_the_float64_oracle(check: Check, device: str, measure: Measurement) -> None:
    """Every call of the check's subject is computed within the tolerance or declined for a documented reason."""
    cell = check.cell
    with measure.phase("workload"):
        if cell.model.architecture == "flash-attn-call":
            flash_attention.explore(subject=check.subject, dtype=cell.dtype, device=device, measure=measure)
        else:
            attention_exploration.explore(
                subject=check.subject, backends=cell.configuration.options.get("backends", ()), dtype=cell.dtype,
                device=device, platform=cell.platform, measure=measure,
            )  # fmt: skip
