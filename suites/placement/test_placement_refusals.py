"""A placement that the library documents as unsupported is declined, never carried out in another way."""

from __future__ import annotations

import pytest

from fixtures.cells import Cells
from fixtures.measure import Measurement
from fixtures.refusals import declined
from matrix.cell import Check


@pytest.mark.check("refuses", "placement")
def test_quantized_layers_are_not_left_outside_of_the_gpus(
    check: Check, cells: Cells, device: str, measure: Measurement
) -> None:
    """Loading raises the documented error."""
    declined(check, cells, device, measure)
