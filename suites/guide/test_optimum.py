"""The Optimum section of the GPU inference guide does what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.cells import Cells
from fixtures.measure import Measurement
from fixtures.onnxruntime.guide import follow, promised, with_graph
from fixtures.selection import Plan
from matrix.cell import Check


@pytest.mark.check("guide", "guide-optimum")
@pytest.mark.usefixtures("import_seconds")  # faults that are injected are put in before
def test_the_snippet_of_the_guide_runs_where_it_says(
    check: Check, cells: Cells, planned: Plan, tmp_path: Path, measure: Measurement
) -> None:
    """Loaded from a folder with model.onnx, exported on the fly, and in a pipeline."""
    with measure.phase("build"):
        folder = with_graph(cells.checkpoint(check.cell.model), tmp_path / "checkpoint")
    with measure.phase("workload"):
        provider = check.cell.configuration.options["provider"]
        follow(check.subject, folder, provider, measure, promised=promised(provider, planned.facts))
