"""What is copied from one GPU to another arrives as it was sent, and a sum over all of them is theirs."""

from __future__ import annotations

import pytest

from fixtures.measure import Measurement
from fixtures.placement.copies import explore
from fixtures.quantization.guide import gpus
from matrix.cell import Check


@pytest.mark.check("calls", "placement")
@pytest.mark.usefixtures("import_seconds")  # faults that are injected are put in before
def test_every_byte_arrives(check: Check, device: str, measure: Measurement) -> None:
    """Between all ordered pairs, by each way of copying; and in sums over all GPUs."""
    with measure.phase("workload"):
        explore(check, device, gpus(), measure)
