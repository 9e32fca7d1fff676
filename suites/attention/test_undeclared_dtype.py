"""A model that is loaded without a dtype does not run in silence in one that its attention does not take."""

from __future__ import annotations

import pytest

from fixtures.cells import Cells
from fixtures.measure import Measurement
from fixtures.undeclared_dtype import declines_or_warns
from matrix.cell import Check


@pytest.mark.check("undeclared-dtype", "attention")
@pytest.mark.usefixtures("import_seconds")  # faults that are injected are put in before
def test_missing_dtype_is_declined_or_warned_of(check: Check, cells: Cells, device: str, measure: Measurement) -> None:
    """Which of them happened is recorded."""
    declines_or_warns(check, cells, device, measure)
