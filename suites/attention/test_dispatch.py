"""The kernels that a configuration promises are the ones that execute."""

from __future__ import annotations

import pytest

from fixtures.builders import Built
from fixtures.judgement import executed_as_promised
from fixtures.measure import Measurement
from matrix.cell import Check


@pytest.mark.check("dispatch", "attention")
def test_promised_kernels_execute(check: Check, built: Built, measure: Measurement) -> None:
    """No other family of attention ran, none that nobody claims, and something ran at all."""
    executed_as_promised(check, built, measure)
