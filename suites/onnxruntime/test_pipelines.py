"""Pipelines run a model of ONNX Runtime as they run any other."""

from __future__ import annotations

import pytest

from fixtures.builders.onnxruntime import SessionBuilt
from fixtures.measure import Measurement
from fixtures.onnxruntime.pipelines import agrees_with_eager
from fixtures.reference import References
from matrix.cell import Check


@pytest.mark.check("pipelines", "onnxruntime")
def test_a_pipeline_says_what_eager_attention_says(
    check: Check, built: SessionBuilt, references: References, measure: Measurement
) -> None:
    """Optimum's pipeline and transformers' own, over texts of different lengths in one batch."""
    agrees_with_eager(check, built, references, measure)
