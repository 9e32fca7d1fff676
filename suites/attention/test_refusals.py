"""What the library documents as unsupported is declined in clear words, never replaced by something else."""

from __future__ import annotations

import pytest

from fixtures.cells import Cells
from fixtures.measure import Measurement
from fixtures.refusals import declined
from matrix.cell import Check


@pytest.mark.check("refuses", "attention")
def test_unsupported_request_is_refused(check: Check, cells: Cells, device: str, measure: Measurement) -> None:
    """Building or running raises the documented error."""
    declined(check, cells, device, measure)
