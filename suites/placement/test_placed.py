"""A placed model is where its user asked for it to be, and nowhere else."""

from __future__ import annotations

import pytest

from fixtures.builders.placement import PlacedBuilt
from fixtures.measure import Measurement
from fixtures.placement.judgement import placed_as_asked
from matrix.cell import Check


@pytest.mark.check("placed", "placement")
def test_every_tensor_is_where_it_was_asked_for(check: Check, built: PlacedBuilt, measure: Measurement) -> None:
    """On the promised devices, within max_memory, tied where it was tied; and nothing was only logged."""
    placed_as_asked(built, measure)
