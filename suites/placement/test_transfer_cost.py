"""What a placement costs is measured."""

from __future__ import annotations

import pytest

from fixtures.builders.placement import PlacedBuilt
from fixtures.measure import Measurement
from fixtures.placement.sameness import Wholes
from fixtures.placement.transfers import measure_transfers
from matrix.cell import Check


@pytest.mark.check("transfer-cost", "placement")
def test_time_lost_to_copies_is_recorded(check: Check, built: PlacedBuilt, wholes: Wholes, measure: Measurement) -> None:
    """A pass of the placed model beside one of the whole model, and of its copies beside its kernels."""
    measure_transfers(check, built, wholes, measure)
