"""What ONNX Runtime finds must not depend on what was imported before it."""

from __future__ import annotations

import pytest

from fixtures.measure import Measurement
from fixtures.onnxruntime.import_order import order_does_not_matter
from fixtures.selection import Plan
from matrix.cell import Check


@pytest.mark.check("import-order", "environment")
def test_a_session_is_made_whatever_was_imported_before(check: Check, planned: Plan, measure: Measurement) -> None:
    """Torch brings CUDA's libraries into the process; without it a session may be made on the CPU, and nothing is raised."""
    promised = [each.cell.model.name for each in planned.checks if each.kind == "imports"]
    with measure.phase("evidence"):
        order_does_not_matter(check.cell.model.name, promised, planned.facts.platform, measure)
