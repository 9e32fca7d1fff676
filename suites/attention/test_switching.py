"""The attention implementation of a loaded model can be switched, and switched back."""

from __future__ import annotations

import numpy as np
import pytest

from fixtures import execution, inputs
from fixtures.builders import Built
from fixtures.findings import Finding
from fixtures.measure import Measurement
from fixtures.reference import References
from matrix.cell import Check


@pytest.mark.check("switches", "attention")
def test_switching_takes_effect_and_can_be_undone(
    check: Check, built: Built, references: References, measure: Measurement
) -> None:
    """set_attn_implementation changes the implementation, and switching back brings eager's numbers back to the bit."""
    measure.evidence(asked=built.asked, configured=built.configured, said=list(built.said))
    if built.configured != built.asked:
        raise Finding(
            "switch-ignored",
            f"set_attn_implementation({built.asked!r}) changed nothing: the model still says "
            f"{built.configured!r}; the library said: {'; '.join(built.said) or 'nothing'}",
        )
    row = inputs.row(check.cell.model, 0, 48)
    before = check.cell.configuration.options["implementation"]
    eager = references.cells.baseline(check.cell.model, check.cell.dtype, check.cell.platform, built.device)

    built.model.set_attn_implementation(before)
    undone = execution.whole(built, row)
    built.model.set_attn_implementation(built.asked)

    if not np.array_equal(execution.whole(eager, row), undone):
        raise Finding(
            "switch-not-undone",
            f"after switching back to {before!r} the logits differ from those of a model that was "
            f"loaded with {before!r}: something of {built.asked!r} stayed",
        )
