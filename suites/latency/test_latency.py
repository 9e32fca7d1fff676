"""Latency is measured in fresh processes and handed to pytest-benchmark; whether it got worse is for a comparison to say."""

from __future__ import annotations

from typing import Any

import pytest

from fixtures.latency.found import Findings
from fixtures.latency.handover import REPLAY, Saved, hand_over
from fixtures.measure import Measurement
from matrix.cell import Check


@pytest.mark.check("latency", "attention")
@pytest.mark.benchmark(timer=REPLAY)
def test_latency_of_attention(
    check: Check, measured: Findings, measure: Measurement, benchmark: Any, saved_benchmarks: Saved
) -> None:
    """Device time of a workload in several processes, with what was counted and seen beside it."""
    hand_over(check, measured, measure, benchmark, saved_benchmarks)


@pytest.mark.check("latency", "quantization")
@pytest.mark.benchmark(timer=REPLAY)
def test_latency_of_quantized_models(
    check: Check, measured: Findings, measure: Measurement, benchmark: Any, saved_benchmarks: Saved
) -> None:
    """Device time of a workload in several processes, with what was counted and seen beside it."""
    hand_over(check, measured, measure, benchmark, saved_benchmarks)
