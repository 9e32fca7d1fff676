"""Logits are as close to eager fp32 as eager attention itself comes in the same dtype."""

from __future__ import annotations

import pytest

from fixtures.builders import Built
from fixtures.judgement import baseline_holds, close_to_reference, outcome_of
from fixtures.measure import Measurement
from fixtures.reference import References
from matrix.cell import Check


@pytest.mark.check("correct", "attention")
def test_logits_agree_with_eager_fp32(check: Check, built: Built, references: References, measure: Measurement) -> None:
    """Every real token of the workload, by the relative rule; the baseline itself is judged by what guards it."""
    assert check.workload is not None
    baseline_holds(check, references, measure)
    rows = outcome_of(built, check.workload, measure)

    close_to_reference(check, rows, references, measure)
