"""An exported graph computes what eager attention computes, whatever was asked of it before."""

from __future__ import annotations

import pytest

from fixtures.builders.onnxruntime import SessionBuilt
from fixtures.judgement import baseline_holds, close_to_reference, outcome_of, same_as_alone
from fixtures.measure import Measurement
from fixtures.onnxruntime.asked import arithmetic
from fixtures.onnxruntime.carrying import nothing_is_kept
from fixtures.reference import References
from matrix.cell import Check


@pytest.mark.check("correct", "onnxruntime")
def test_logits_of_an_export_agree_with_eager_fp32(
    check: Check, built: SessionBuilt, references: References, measure: Measurement
) -> None:
    """Every real token of the workload."""
    assert check.workload is not None
    baseline_holds(check, references, measure)
    rows = outcome_of(built, check.workload, measure)

    close_to_reference(check, rows, references, measure, arithmetic=arithmetic(check.cell))


@pytest.mark.check("invariant", "onnxruntime")
def test_an_export_obeys_the_law_of_the_workload(
    check: Check, built: SessionBuilt, references: References, measure: Measurement
) -> None:
    """Padded = unpadded, batched = alone, cached = uncached, chunked = whole, generation = greedy argmax."""
    assert check.workload is not None
    rows = outcome_of(built, check.workload, measure)

    same_as_alone(check, built, rows, references, measure, arithmetic=arithmetic(check.cell))


@pytest.mark.check("stateless", "onnxruntime")
def test_no_call_depends_on_another(check: Check, built: SessionBuilt, measure: Measurement) -> None:
    """Other inputs and other batch sizes between: the same bits, no answer replayed, none overwritten."""
    nothing_is_kept(built, measure)
