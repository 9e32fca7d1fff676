"""A session is what its user asked for once it is made, and every node runs where it was promised."""

from __future__ import annotations

import pytest

from fixtures.builders.onnxruntime import SessionBuilt
from fixtures.measure import Measurement
from fixtures.onnxruntime.placement import executed_where_promised, made_as_asked
from matrix.cell import Check


@pytest.mark.check("builds", "onnxruntime")
def test_session_is_made_on_the_provider_that_was_asked_for(check: Check, built: SessionBuilt, measure: Measurement) -> None:
    """Optimum returns a model on the CPU where a provider's library is missing, and raises nothing."""
    made_as_asked(built, measure)


@pytest.mark.check("dispatch", "onnxruntime")
def test_every_node_runs_on_the_promised_provider(check: Check, built: SessionBuilt, measure: Measurement) -> None:
    """By the session's own profile; arithmetic about shapes may run on the CPU, up to the model's budget."""
    executed_where_promised(check, built, measure)
