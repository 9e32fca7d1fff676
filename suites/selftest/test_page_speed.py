"""Latency over all checks on the page: ratios with their intervals, and speed-up over eager attention."""

from __future__ import annotations

import re
from typing import Any

import pytest

from reports.record import Record
from reports.render import html
from reports.render.html import entry, speed
from suites.selftest.examples import compared, record, run


def timed(configuration: str = "sdpa", *, seconds: float) -> Record:
    processes = [
        {"median": seconds * share, "cycles": None, "samples": [seconds], "marked": []}
        for share in (0.999, 1.0, 1.001, 1.0, 1.002)
    ]
    kept: dict[str, Any] = {
        "figures": {"prefill": {"clock": "device", "processes": processes}},
        "counters": {},
        "sites": {},
        "code": "c",
    }
    return record(configuration, "latency", "prefill-1x512", evidence={"latency": kept})


def lines(before: Record, after: Record) -> speed.Lines:
    entries = entry.of_comparison(compared([before], [after]))
    found = speed.of_comparison(entries, speed.gaps(entries))
    assert found is not None
    return found


def test_what_became_slower_is_right_of_the_line_with_its_interval() -> None:
    found = lines(timed(seconds=0.06), timed(seconds=0.066))
    (line,) = found.lines

    assert (found.limit < line.low < line.x < line.high, line.state) == (True, "bad")


def test_what_did_not_change_has_the_line_in_its_interval() -> None:
    found = lines(timed(seconds=0.06), timed(seconds=0.06))

    assert found.lines[0].low < found.limit < found.lines[0].high


@pytest.mark.parametrize(("seconds", "right"), [(0.03, True), (0.12, False)])
def test_one_run_tells_how_many_times_faster_than_eager_a_configuration_is(seconds: float, right: bool) -> None:
    found = speed.of_run(run(timed("eager", seconds=0.06), timed(seconds=seconds)))
    assert found is not None

    assert [(line.label, line.x > found.limit) for line in found.lines] == [("sdpa llama-tiny prefill-1x512", right)]


def test_a_run_without_latency_draws_none() -> None:
    assert speed.of_run(run(record())) is None


def test_the_page_of_a_comparison_has_the_interval_of_each_ratio() -> None:
    page = html.compared(compared([timed(seconds=0.06)], [timed(seconds=0.066)]))

    assert re.search(r"1\.100 times, between 1\.09\d and 1\.10\d", page)
