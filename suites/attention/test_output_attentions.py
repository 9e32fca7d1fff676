"""Asking an implementation for attention weights that it cannot give must not end in silence."""

from __future__ import annotations

import pytest

from fixtures.builders import Built
from fixtures.judgement import attentions_are_eager
from fixtures.measure import Measurement
from fixtures.reference import References
from matrix.cell import Check


@pytest.mark.check("attentions", "attention")
def test_attention_weights_come_back_or_are_refused(
    check: Check, built: Built, references: References, measure: Measurement
) -> None:
    """output_attentions=True returns the weights that eager attention returns."""
    attentions_are_eager(check, built, references, measure)
