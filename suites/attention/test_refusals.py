"""What the library documents as unsupported is declined in clear words, never replaced by something else."""

from __future__ import annotations

import re

import pytest

from fixtures import execution
from fixtures.cells import Cells
from fixtures.findings import Finding
from fixtures.measure import Measurement
from matrix.cell import Check


@pytest.mark.check("refuses", "attention")
def test_unsupported_request_is_refused(check: Check, cells: Cells, device: str, measure: Measurement) -> None:
    """Building or running raises the documented error."""
    assert check.refusal is not None
    try:
        built = cells.get(check.cell, device)
        if check.workload is not None:  # refused when it runs, not when it is built
            execution.run(built, check.workload)
    except Exception as raised:  # any type is fine; the words are what is judged
        measure.evidence(refused=type(raised).__name__, message=str(raised).strip()[:500])
        if not re.search(check.refusal.error, str(raised)):
            raise
    else:
        where = check.subject if check.refusal.at == "run" else "loading the model"
        raise Finding(
            "not-refused",
            f"{where} was expected to raise {check.refusal.error!r} ({check.refusal.source}) and "
            "succeeded: if the library supports it now, take the refusal out of configurations.toml, "
            "else it is silently wrong",
        )
