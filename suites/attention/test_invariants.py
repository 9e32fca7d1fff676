"""Laws that need no reference: padding, batching, caching and chunking do not change what a row says."""

from __future__ import annotations

import pytest

from fixtures.builders import Built
from fixtures.judgement import outcome_of, same_as_alone
from fixtures.measure import Measurement
from fixtures.reference import References
from matrix.cell import Check


@pytest.mark.check("invariant", "attention")
def test_rows_say_what_they_say_alone(check: Check, built: Built, references: References, measure: Measurement) -> None:
    """A workload's logits equal those of the same rows run whole, alone, unpadded and uncached in the same cell."""
    assert check.workload is not None
    rows = outcome_of(built, check.workload, measure)

    same_as_alone(check, built, rows, references, measure)
