"""Pages show what a run or a comparison found, whatever its texts hold."""

from __future__ import annotations

import io
import json as stdlib_json
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.record import Outcome, Record
from reports.render import json, junit, markdown, terminal
from reports.render.terminal import Page
from reports.verdict import Finding, Kind
from suites.selftest.examples import PREFLIGHT, RUNS, compared, record, run

GOOD = record(subject="good")
BAD = record(subject="bad", outcome=Outcome.FAILED, message="rms error 0.5 is above 0.02", command="pytest -k bad")
SKIPPED = record(subject="off", outcome=Outcome.SKIPPED, reason="capability", message="needs 10.0, this device has 9.0")
HOSTILE = record(
    model="<b>|`x`\x1b[31m\ud800", subject="@octocat #1 \u202e](http://evil)", outcome=Outcome.FAILED,
    message="<script>alert(1)</script>\n| a | b |\n\x00]]>&amp;",
)  # fmt: skip
MANY = [
    record(configuration=f"sdpa-{at:03}", outcome=Outcome.FAILED, message="lost " + "abcdefghij"[at % 10]) for at in range(600)
]
LETTERS = str.maketrans("0123456789", "abcdefghij")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(*records: Record, page: Page | None = None, **header: object) -> str:
    return terminal.show(run(*records, **header), page or Page())


def cases(text: str) -> dict[str, list[str]]:
    suite = ElementTree.fromstring(text).find("testsuite")
    assert suite is not None
    return {case.get("name", ""): [child.tag for child in case] for case in suite.iter("testcase")}


def test_a_good_run_says_so_in_its_first_line() -> None:
    assert shown(GOOD, SKIPPED).splitlines()[0] == "GOOD: 1 of 2 checks passed, 1 skipped."


def test_a_run_that_is_not_good_says_why_in_its_first_line() -> None:
    assert shown(GOOD, BAD).splitlines()[0] == "NOT GOOD: 1 failed; 1 of 2 checks passed."


@pytest.mark.parametrize("records", [(), (SKIPPED,), (PREFLIGHT,), (PREFLIGHT, SKIPPED)])
def test_a_run_that_executed_nothing_is_not_good(records: tuple[Record, ...]) -> None:
    assert "NOT GOOD: nothing was executed" in shown(*records)


def test_a_machine_that_was_not_ready_is_told_as_what_failed() -> None:
    page = shown(replace(PREFLIGHT, outcome=Outcome.FAILED, message="gpu 0: no driver"))

    assert page.startswith("NOT GOOD: 1 failed; 0 of 1 checks passed.")
    assert "failed: gpu 0: no driver" in page


def test_an_incomplete_run_says_so() -> None:
    page = shown(GOOD, planned=(GOOD.id, BAD.id), complete=False, finished=None)

    assert "NOT GOOD: 1 planned and never run, ended before its end; 1 of 2 checks passed." in page
    assert "! it is incomplete: it ended early, 1 of 2 planned checks recorded" in page


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        ({"injected": ("mask-dropped",)}, "! faults were injected on purpose: mask-dropped"),
        ({"cells": "sdpa"}, "! it was narrowed to 'sdpa'"),
        ({"narrowed": True, "cells": "*"}, "! it was narrowed to a part of its tier"),
        ({"notes": ("no GPU here",)}, "! no GPU here"),
    ],
)
def test_what_a_reader_must_know_stands_above_all_else(header: dict[str, object], sentence: str) -> None:
    assert sentence in shown(GOOD, **header)


def test_a_failure_comes_with_its_sentence_and_the_command_that_reproduces_it() -> None:
    expected = f"  {BAD.id}\n    failed: rms error 0.5 is above 0.02\n    $ pytest -k bad\n"

    assert expected in shown(GOOD, BAD)


def test_columns_that_do_not_fit_follow_for_the_rows_that_have_something_there() -> None:
    kinds = ("builds", "correct", "dispatch", "invariant")
    records = [record(configuration="sdpa", check=kind, subject=kind) for kind in kinds]
    records.append(record(configuration="eager", check="builds", outcome=Outcome.FAILED, message="lost"))
    table = shown(*records, page=Page(width=40)).partition("Checks:\n")[2].partition("\nOutcomes")[0]

    assert table.splitlines() == [
        "  configuration      builds  correct",
        "  eager          1 of 1 bad        -",
        "  sdpa                    1        1",
        "",
        "  configuration  dispatch  invariant",
        "  sdpa                  1          1",
    ]


def test_skips_are_counted_by_their_reason() -> None:
    assert "  2 x needs 10.0, this device has 9.0\n" in shown(GOOD, SKIPPED, replace(SKIPPED, id="another"))


def test_time_is_told_by_phase_with_what_no_phase_accounts_for() -> None:
    assert "Time: wall 60.0 s, build 1.0 s, other 0.5 s, workload 0.5 s" in shown(GOOD, replace(GOOD, id="another"))


def test_the_error_nearest_to_its_tolerance_is_told() -> None:
    near = record(subject="near", errors={"rms": 0.019, "rms_tolerance": 0.02})

    assert f"Nearest to the tolerance:\n    95 %  rms    {near.id}\n" in shown(GOOD, near)


def test_failures_that_differ_in_numbers_only_are_told_once() -> None:
    alike = [replace(BAD, id=f"{at}", message=f"rms error {at}.5 is above 0.02") for at in range(9)]

    assert "and 8 more alike: sdpa 8" in shown(*alike)


def test_a_page_of_many_findings_fits_a_screen() -> None:
    assert len(shown(*MANY).splitlines()) < 60


@pytest.mark.parametrize("height", [24, 40, 60])
def test_a_page_fits_the_screen_that_it_is_shown_on(height: int) -> None:
    letters = [replace(item, message=item.id.translate(LETTERS)) for item in MANY]
    skipped = [replace(SKIPPED, id=f"{at}", message="needs " + "abcdefghij"[at % 10]) for at in range(40)]
    notes = tuple(f"{'a long note ' * 30}{letter}" for letter in "abcdefgh")

    assert len(shown(*letters, *skipped, page=Page(height=height), notes=notes).splitlines()) <= max(height, 26)
    assert len(shown(*letters, *skipped, notes=notes).splitlines()) > 60


def test_all_findings_are_shown_where_that_was_asked() -> None:
    page = shown(*MANY, page=Page(all=True))

    assert all(item.id in page for item in MANY)


def test_colour_is_for_terminals_only() -> None:
    assert not terminal.page_for(io.StringIO(), 80, all=False).colour


def test_a_terminal_gets_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")

    assert terminal.page_for(Terminal(), 80, all=False).colour


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    assert not terminal.page_for(Terminal(), 80, all=False).colour


@pytest.mark.parametrize(
    ("stream", "columns", "expected"), [(Terminal(), "", 80), (io.StringIO(), "", 120), (io.StringIO(), "80", 80)]
)
def test_what_is_no_terminal_has_no_width_of_its_own(
    stream: io.StringIO, columns: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)

    assert expected == terminal.page_for(stream, 80, all=False).width


def test_two_runs_that_are_alike_say_so() -> None:
    page = terminal.compared(compared([GOOD], [GOOD]), Page())

    assert page.splitlines()[0] == "NOTHING GOT WORSE: 1 unchanged; 1 checks compared."


def test_a_comparison_tells_the_worst_first() -> None:
    after = [replace(GOOD, evidence={"families": ["sdpa-math"]}), BAD]
    page = terminal.compared(compared([GOOD, replace(BAD, outcome=Outcome.PASSED)], after), Page())

    assert page.index("Newly failing:") < page.index("Regressed:")
    assert "executes sdpa-math, executed sdpa-flash before" in page


def test_what_else_differs_in_a_check_is_counted_by_its_reason_and_what_is_better_said_to_be() -> None:
    found = compared([GOOD], [replace(GOOD, outcome=Outcome.FAILED)])
    [worst] = found.verdicts
    others = [(worst.kind, "latency"), (Kind.IMPROVED, "launches"), (worst.kind, "latency"), (worst.kind, "operators")]
    also = tuple(Finding(kind=kind, reason=reason, message="") for kind, reason in others)
    page = terminal.compared(replace(found, verdicts=(replace(worst, also=also),)), Page())

    assert "(also: latency (2), operators; improved: launches)" in page


def test_what_fails_in_both_runs_is_told_though_nothing_got_worse() -> None:
    page = terminal.compared(compared([GOOD, BAD], [GOOD, BAD]), Page())

    assert "Unchanged, but not good in either run:" in page


def test_no_control_character_reaches_the_terminal() -> None:
    page = shown(HOSTILE, environment={"a": "\x1b]0;x"})

    assert all(character.isprintable() or character == "\n" for character in page)


def test_no_markup_of_a_record_is_markup_of_the_page() -> None:
    page = markdown.show(run(HOSTILE))

    assert not any(text in page for text in ("<script>", "<b>", "`x`", "](http", "| a | b |"))


def test_no_text_of_a_record_mentions_a_person_or_an_issue() -> None:
    page = markdown.show(run(replace(BAD, message="thanks to @octocat for #1 and GH-2", command="")))

    assert not any(text in page for text in ("@octocat", "#1", "GH-2"))


@pytest.mark.parametrize("limit", [1_000, 10_000, 65_000])
def test_markdown_stays_within_its_limit_and_says_what_it_left_out(limit: int) -> None:
    page = markdown.show(run(*(replace(item, message=item.id.translate(LETTERS)) for item in MANY)), limit)

    assert len(page.encode()) <= limit
    assert "more entries do not fit here" in page


def test_markdown_of_a_comparison_tells_what_changed_in_the_environment() -> None:
    found = compared([GOOD], [GOOD], environment={"driver": "590"})

    assert "| <code>driver</code> | absent | 590 |" in markdown.compared(found)


def test_junit_of_a_run_tells_failures_from_errors_from_skips() -> None:
    crashed = record(subject="crash", outcome=Outcome.CRASHED)

    expected = {"correct[good]": [], "correct[bad]": ["failure"], "correct[off]": ["skipped"], "correct[crash]": ["error"]}
    assert expected == cases(junit.of_run(run(GOOD, BAD, SKIPPED, crashed)))


def test_junit_of_a_run_has_a_case_for_what_never_ran_and_for_the_run_itself() -> None:
    found = cases(junit.of_run(run(planned=(GOOD.id,), complete=False)))

    assert found == {"correct[good]": ["error"], "executed": ["error"], "complete": ["error"]}


def test_junit_of_a_comparison_has_the_verdicts() -> None:
    found = cases(junit.of_comparison(compared([GOOD, SKIPPED], [replace(GOOD, outcome=Outcome.FAILED), SKIPPED])))

    assert found == {"correct[good]": ["failure"], "correct[off]": []}


def test_the_numbers_of_a_junit_suite_are_those_of_its_cases() -> None:
    suite = ElementTree.fromstring(junit.of_run(run(GOOD, BAD, SKIPPED))).find("testsuite")
    assert suite is not None

    assert tuple(suite.get(key) for key in ("tests", "failures", "errors", "skipped")) == ("3", "1", "0", "1")


@given(RUNS, st.text(), st.floats())
def test_no_run_makes_junit_that_is_not_xml(records: list[Record], name: str, started: float) -> None:
    ElementTree.fromstring(junit.of_run(run(*records, HOSTILE, id=name, started=started)))


@given(RUNS, st.text(), st.floats(), st.booleans())
def test_no_run_makes_a_page_fail(records: list[Record], name: str, started: float, everything: bool) -> None:
    given_run = run(*records, HOSTILE, id=name, started=started, environment={name: [name]})

    terminal.show(given_run, Page(all=everything, colour=True))
    markdown.show(given_run)
    stdlib_json.loads(json.of_run(given_run))


@given(RUNS, RUNS, st.booleans())
def test_no_comparison_makes_a_page_fail(before: list[Record], after: list[Record], everything: bool) -> None:
    found = compared([GOOD, *before], after)

    terminal.compared(found, Page(all=everything, colour=True))
    markdown.compared(found)
    ElementTree.fromstring(junit.of_comparison(found))
    stdlib_json.loads(json.of_comparison(found))


def test_json_of_a_comparison_has_the_exit_code_and_the_verdicts() -> None:
    tree = stdlib_json.loads(json.of_comparison(compared([GOOD], [])))

    assert (tree["exit"], tree["verdicts"][0]["kind"]) == (1, "missing")
