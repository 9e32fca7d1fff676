"""The bitsandbytes section of the GPU inference guide does what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.cells import Cells
from fixtures.measure import Measurement
from fixtures.quantization import native
from fixtures.quantization.guide import follow, placed
from matrix.cell import Check


@pytest.mark.check("guide", "guide-bitsandbytes")
@pytest.mark.usefixtures("import_seconds")  # faults that are injected are put in before
def test_the_advice_of_the_guide_holds(check: Check, cells: Cells, device: str, measure: Measurement, tmp_path: Path) -> None:
    """Its snippets run and quantize; and what it says of Pipeline is measured."""
    native.require(check.cell.platform)
    place = placed(cells.checkpoint(check.cell.model), tmp_path / check.cell.model.name, device)
    with measure.phase("workload"):
        follow(check.subject, place, measure)
