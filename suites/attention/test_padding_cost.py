"""What padding costs is measured, as time on the device."""

from __future__ import annotations

import pytest

from fixtures.builders import Built
from fixtures.measure import Measurement
from fixtures.padding_cost import measure_padding
from matrix.cell import Check


@pytest.mark.check("padding-cost", "attention")
def test_cost_of_padding_is_recorded(check: Check, built: Built, measure: Measurement) -> None:
    """A padded batch beside the same tokens without padding."""
    measure_padding(check, built, measure)
