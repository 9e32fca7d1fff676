"""The formats that other programs read: each says what the page says, in the reader's own terms."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix.load import FOLDER, load_matrix
from reports import metrics
from reports.formats import FORMATS
from reports.record import RED, Outcome, Record
from reports.render import benchmark, github, gitlab, junit, markdown, openmetrics
from reports.run import Run
from reports.summary import judge
from suites.selftest.examples import RUNS, compared, record, run, timed

GOOD = record(subject="good")
BAD = record(subject="bad", outcome=Outcome.FAILED, message="rms error 0.5 is above 0.02", nodeid="suites/a.py::test_it[x]")
HOSTILE = record(
    model='"m"\n}', subject="::error::x%0A,", outcome=Outcome.FAILED, command="",
    message='::stop-commands::x\n%0A "quoted" \\ \ud800',
)  # fmt: skip
MANY = [record(configuration=f"c{at}", outcome=Outcome.FAILED, message="lost " + chr(97 + at)) for at in range(25)]
COMMAND = re.compile(r"::(error|warning|notice) [^:]*::[^\r\n]*")
SAMPLE = re.compile(
    r'[a-zA-Z_:][a-zA-Z0-9_:]*(\{([a-zA-Z_][a-zA-Z0-9_]*="([^"\\\n]|\\["\\n])*",?)*\})? (NaN|[+-]Inf|[-+0-9.e]+)'
)


def levels(text: str) -> list[str]:
    return [line.split(" ")[0].strip(":") for line in text.splitlines()]


def quality(given_run: Run) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(gitlab.of_run(given_run))
    return found


def red(text: str) -> bool:
    suite = ElementTree.fromstring(text).find("testsuite")
    assert suite is not None
    return suite.get("failures") != "0" or suite.get("errors") != "0"


# JUnit


@given(RUNS, st.booleans())
def test_junit_is_red_where_the_run_is_not_good(records: list[Record], complete: bool) -> None:
    given_run = run(*records, complete=complete)

    assert (not judge(given_run).good) == red(junit.of_run(given_run))


@given(RUNS, RUNS, st.booleans())
def test_junit_is_red_where_the_comparison_is_worse(before: list[Record], after: list[Record], complete: bool) -> None:
    found = compared([GOOD, *before], [GOOD, *after], complete=complete)

    assert found.worse == red(junit.of_comparison(found))


# annotations


def test_annotations_name_the_configurations_own_table() -> None:
    path, line = re.findall(r"file=([^,]+),line=(\d+)", github.of_run(run(BAD)))[0]
    text = (FOLDER / Path(path).name).read_text().splitlines()[int(line) - 1]

    assert ("matrix/configurations.toml", "[configuration.sdpa]") == (path, text)


def test_every_configuration_has_its_place() -> None:
    """Its own table, or that of the placement that it is combined with."""
    names = load_matrix().configurations
    problems = [replace(BAD, configuration=name, id=name, message=f"m{name}", nodeid="") for name in names]
    lines = re.findall(r'"begin": (\d+)', gitlab.of_run(run(*problems)))

    assert len(names) == len(lines)
    assert "1" not in lines


def test_annotations_are_no_more_than_github_keeps_and_the_last_counts_the_rest() -> None:
    lines = github.of_run(run(*MANY)).splitlines()

    assert ["notice", *["error"] * github.MOST] == levels("\n".join(lines))
    assert lines[-1].endswith("::16 more do not fit here; the report has them.")


def test_annotations_of_a_comparison_tell_the_undecided_as_warnings() -> None:
    found = compared([GOOD, record()], [replace(GOOD, definition="d2"), record()])

    assert ["notice", "warning"] == levels(github.of_comparison(found))


def test_no_text_of_a_record_is_a_workflow_command() -> None:
    lines = github.of_run(run(HOSTILE)).splitlines()

    assert 2 == len(lines)
    assert all(COMMAND.fullmatch(line) for line in lines)


# GitLab


def test_a_code_quality_entry_has_what_gitlab_asks_for() -> None:
    (entry,) = quality(run(GOOD, BAD))

    assert ("failed", "critical") == (entry["check_name"], entry["severity"])
    assert {"description", "check_name", "fingerprint", "severity", "location"} == set(entry)
    assert entry["location"]["lines"]["begin"] > 1


def test_the_fingerprint_of_a_problem_outlives_its_numbers() -> None:
    again = replace(BAD, message="rms error 0.7 is above 0.02")

    assert quality(run(BAD))[0]["fingerprint"] == quality(run(again))[0]["fingerprint"]


@given(RUNS, RUNS)
def test_code_quality_is_empty_where_nothing_is_wrong(before: list[Record], after: list[Record]) -> None:
    found = compared([GOOD, *before], [GOOD, *after])

    assert bool(found.worse or found.undecided) == bool(json.loads(gitlab.of_comparison(found)))


# OpenMetrics


@given(RUNS, st.text(), st.floats(allow_nan=False))
def test_no_run_makes_openmetrics_that_cannot_be_read(records: list[Record], name: str, started: float) -> None:
    lines = openmetrics.of_run(
        run(*records, HOSTILE, id=name, started=started, environment={"libraries": {name: {"version": name}}})
    )
    samples = [line for line in lines.split("\n")[:-2] if not line.startswith("# ")]

    assert lines.endswith("\n# EOF\n")
    assert [] == [line for line in samples if not SAMPLE.fullmatch(line)]
    assert len(samples) == len({line.rpartition(" ")[0] for line in samples})


def test_openmetrics_has_the_errors_with_their_tolerances() -> None:
    page = openmetrics.of_run(run(GOOD))

    assert 'check="correct",subject="good",metric="rms"} 0.004\n' in page
    assert re.search(r'gpu_inference_tolerance_ratio\{.*metric="rms"\} 0.02\n', page)


def test_openmetrics_of_a_comparison_counts_the_verdicts() -> None:
    page = openmetrics.of_comparison(compared([GOOD], [replace(GOOD, outcome=Outcome.FAILED)]))

    assert 'gpu_inference_verdicts{verdict="newly_failing"} 1.0\n' in page


# benchmarks


def test_bencher_gets_a_measure_for_each_number() -> None:
    tree = json.loads(benchmark.bencher(run(GOOD)))

    assert {"rms-error", "worst-error", "footprint-memory", "peak-memory"} == set(tree[GOOD.id])
    assert {"value": 4e-3} == tree[GOOD.id]["rms-error"]


def test_the_benchmark_action_gets_name_unit_and_value() -> None:
    entries = json.loads(benchmark.action(run(GOOD)))

    assert {"name": f"{GOOD.id} rms error", "unit": "ratio", "value": 4e-3, "extra": "tolerance 0.02"} == entries[0]


def test_a_latency_is_the_median_of_its_processes_with_their_range() -> None:
    measured = timed(2e-3, 1e-3, 4e-3)
    bounds = {"value": 2e-3, "lower_value": 1e-3, "upper_value": 4e-3}

    assert {"prefill-latency": bounds} == json.loads(benchmark.bencher(run(measured)))[measured.id]
    assert "0.001 to 0.004 in 3 processes" == json.loads(benchmark.action(run(measured)))[0]["range"]
    assert 'figure="prefill"} 0.002\n' in openmetrics.of_run(run(measured))


@given(RUNS)
def test_numbers_that_json_cannot_hold_are_left_out_of_benchmarks(records: list[Record]) -> None:
    def refuse(name: str) -> None:
        raise ValueError(name)

    given_run = run(*records, record(subject="nan", errors={"rms": float("nan")}))
    tree, entries = (json.loads(text(given_run), parse_constant=refuse) for text in (benchmark.bencher, benchmark.action))

    assert len(entries) == sum(map(len, tree.values()))


def test_the_error_of_the_yardstick_is_no_metric_of_a_cell() -> None:
    names = [item.name for item in metrics.of_record(record(errors={"rms": 1.0, "rms_eager": 1.0}, memory={}))]

    assert ["rms"] == names


# markdown


def test_names_of_checks_lead_into_the_page() -> None:
    page = markdown.show(run(BAD), link="https://ci.example.org/report.html")

    assert 'href="https://ci.example.org/report.html#sdpa/llama-tiny/bf16/cuda%3A%3Acorrect%5Bbad%5D"' in page


def test_a_hostile_address_cannot_inject_markup() -> None:
    assert "<script>" not in markdown.show(run(BAD), link='"><script>')


def test_a_summary_may_be_longer_than_a_comment() -> None:
    many = [record(configuration=f"c{at}", outcome=Outcome.FAILED, message="x" * 300 + chr(0x4E00 + at)) for at in range(2000)]
    sizes = {name: len(FORMATS[name].of_run(run(*many), "").encode()) for name in ("markdown", "summary")}

    assert sizes["markdown"] <= 65_536 < sizes["summary"] <= 2**20


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_tells_runs_and_comparisons(name: str) -> None:
    assert FORMATS[name].of_run(run(GOOD), "")
    assert FORMATS[name].of_comparison(compared([GOOD], [BAD]), "")


def test_what_is_red_is_a_problem() -> None:
    records = [record(subject=outcome, outcome=outcome) for outcome in Outcome]

    assert len(RED) == sum(entry["check_name"] in set(RED) for entry in quality(run(*records)))
