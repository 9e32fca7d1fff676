"""A model that is spread over devices says what it says on one."""

from __future__ import annotations

import pytest

from fixtures.builders.placement import PlacedBuilt
from fixtures.measure import Measurement
from fixtures.placement.sameness import Wholes, same_as_whole, takes_inputs
from matrix.cell import Check


@pytest.mark.check("same", "placement")
def test_split_equals_whole(check: Check, built: PlacedBuilt, wholes: Wholes, measure: Measurement) -> None:
    """To the bit: forward, cached decode and generation."""
    same_as_whole(check, built, wholes, measure)


@pytest.mark.check("inputs", "placement")
def test_inputs_are_answered_or_declined_wherever_they_are(
    check: Check, built: PlacedBuilt, wholes: Wholes, measure: Measurement
) -> None:
    """On the first device as the guide says; and what happens to those that are not."""
    takes_inputs(check, built, wholes, measure)
