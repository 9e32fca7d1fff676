"""The page for a browser, looked at as text: what it holds, how large it is, and that no record writes markup into it."""

from __future__ import annotations

import base64
import gzip
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix.errors import UserError
from reports.document import from_text
from reports.fleet import Fleet, fleet
from reports.record import Outcome, Record
from reports.render import html
from reports.render.grid import of_records
from reports.render.html import data, entry
from reports.render.html.axis import Axis
from reports.render.html.plot import errors, memory, placement
from reports.render.text import address
from reports.run import Run
from reports.thresholds import load_thresholds
from reports.verdict import Kind
from suites.selftest.examples import RUNS, compared, record, run, written

GOOD = record(subject="good")
BAD = record(subject="bad", outcome=Outcome.FAILED, message="rms error 0.5 is above 0.02", command="pytest -k bad")
HOSTILE = record(
    configuration='"><img src=x onerror=alert(1)>', model="</script><script>alert(1)</script>", subject="<!--<script>",
    outcome=Outcome.FAILED, message="</details><b onclick=alert(1)>\ud800\x00\u202e{{ 7 * 7 }}",
    command="<svg/onload=alert(1)>",
    evidence={"families": ["</script>"], "kernels": {"<img src=x onerror=alert(1)>": 1}, "]]>": "<style>"},
    expectation="javascript:alert(1)",
)  # fmt: skip
HARMLESS = record(
    configuration="odd", model="model", subject="subject", outcome=Outcome.FAILED, message="words", command="command",
    evidence={"families": ["family"], "kernels": {"kernel": 1}, "key": "value"}, expectation="address",
)  # fmt: skip
ENVIRONMENT = {"libraries": {"torch": {"version": "<script>alert(1)</script>"}}, "<b>": "</table>"}
SOME, LARGEST = 2_000, 5_000_000


class Elements(HTMLParser):
    """The names of all elements, and of their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "action", "data", "srcset")]


def of_text(page: str, pattern: str) -> list[str]:
    return re.findall(pattern, page, re.DOTALL)


def index(page: str) -> dict[str, Any]:
    found: dict[str, Any] = from_text(of_text(page, r'id="index">(.*?)</script>')[0], "index")
    return found


def recorded(page: str) -> list[dict[str, dict[str, object]]]:
    chunks = of_text(page, r'class="records">(.*?)</script>')
    return [item for chunk in chunks for item in from_text(gzip.decompress(base64.b64decode(chunk)), "records")]


def test_the_verdict_is_the_heading_and_the_title() -> None:
    page = html.show(run(GOOD, BAD))

    sentence = "NOT GOOD: 1 failed; 1 of 2 checks passed."
    assert (f"<title>{sentence}</title>" in page, f"</span> {sentence}</h1>" in page) == (True, True)


def test_a_comparison_tells_what_changed_in_the_environment() -> None:
    page = html.compared(compared([GOOD], [GOOD], environment={"runtime": {"cuda": "13.1"}}))

    assert '<th scope="row">runtime.cuda</th><td>absent</td><td>13.1</td>' in page


def test_a_finding_comes_with_its_sentence_its_command_and_a_link_to_its_cell() -> None:
    page = html.show(run(GOOD, BAD))

    assert f'<a class="id" href="{address("", BAD.id)}">{BAD.id}</a>' in page
    assert "<p>failed: rms error 0.5 is above 0.02</p>" in page
    assert "<code>pytest -k bad</code>" in page


def test_what_was_planned_and_never_run_is_in_the_grid() -> None:
    page = html.show(run(GOOD, planned=(GOOD.id, "sdpa-flash/llama-tiny/bf16/cuda::dispatch[decode]")))

    assert ["sdpa-flash", "llama-tiny", "bf16", "cuda"] in index(page)["cells"]
    assert {"name": "never_run", "state": "bad", "sign": "∅"} in index(page)["states"]


def test_what_is_bad_in_both_runs_is_not_shown_as_good() -> None:
    page = html.compared(compared([GOOD, BAD], [GOOD, BAD]))

    assert {"name": "unchanged_and_not_good", "state": "open", "sign": "≡"} in index(page)["states"]


def fleet_of(**runs: Run) -> Fleet:
    return fleet(runs, (), None, load_thresholds())


def test_of_several_runs_each_is_a_column_and_only_what_differs_is_told() -> None:
    first, second = ({"runtime": {"cuda": cuda, "hip": None}} for cuda in ("12.8", "13.0"))
    old, new = run(GOOD, environment=first), run(BAD, planned=("a/b/c/cuda::d",), environment=second)
    page = html.together(fleet_of(old=old, new=new))

    assert "NOT GOOD: new; 1 of 2 runs is good." in page
    assert index(page)["columns"] == ["new", "old"]
    assert ("<td>13.0</td><td>12.8</td>" in page, "runtime.hip" in page) == (True, False)


def test_a_run_that_did_not_come_back_is_told_above_all_else() -> None:
    page = html.together(fleet({"a": run(GOOD)}, ("a", "b"), None, load_thresholds()))

    assert "<li>b: MISSING: no part of it came back.</li>" in page


def test_of_several_runs_with_baselines_each_column_has_verdicts(tmp_path: Path) -> None:
    written(tmp_path / "a", GOOD)
    page = html.together(fleet({"a": run(replace(GOOD, outcome=Outcome.FAILED))}, (), tmp_path, load_thresholds()))

    assert [state["name"] for state in index(page)["states"]] == ["newly_failing"]


@pytest.mark.parametrize("name", [*Outcome, *Kind, entry.KNOWN, entry.STILL, entry.NEVER_RUN])
def test_no_state_is_told_by_its_colour_alone(name: str) -> None:
    assert entry.sign(name).strip()


def test_every_record_can_be_unpacked_whole() -> None:
    odd = replace(GOOD, errors={"rms": math.inf}, evidence={"kernels": {"k": 2}, "deep": [{"a": [1, None]}]})
    (found,) = recorded(html.show(run(odd)))

    assert (found["after"]["errors"], found["after"]["evidence"]) == (odd.errors, odd.evidence)


def test_a_comparison_has_both_records_of_a_check() -> None:
    (found,) = recorded(html.compared(compared([GOOD], [replace(GOOD, memory={"peak": 90_000_000})])))

    assert (found["before"]["memory"], found["after"]["memory"]) == (GOOD.memory, {"peak": 90_000_000})


def test_nothing_is_loaded_from_anywhere() -> None:
    found = Elements(html.compared(compared([GOOD], [BAD])))

    assert [link for link in found.links if not link.startswith("#")] == []


def elements(odd: Record, environment: dict[str, object], note: str, *, two: bool) -> Elements:
    if two:
        return Elements(html.compared(compared([GOOD, odd], [GOOD, odd], environment=environment, notes=(note,))))
    return Elements(html.show(run(GOOD, odd, environment=environment, injected=(note,))))


@pytest.mark.parametrize("two", [False, True])
def test_no_text_of_a_record_becomes_markup(two: bool) -> None:
    harmless = elements(HARMLESS, {"libraries": {"torch": {"version": "1"}}, "name": "text"}, "note", two=two)
    hostile = elements(HOSTILE, ENVIRONMENT, "<img src=x onerror=alert(1)>", two=two)

    assert (hostile.names, hostile.attributes) == (harmless.names, harmless.attributes)


def test_no_text_of_a_record_is_a_template() -> None:
    assert "{{ 7 * 7 }}" in html.show(run(HOSTILE))


def test_markup_that_got_in_could_neither_run_nor_load_anything() -> None:
    (policy,) = of_text(html.show(run(GOOD)), r'Content-Security-Policy" content="(.*?)">')

    assert policy.startswith("default-src &#39;none&#39;; style-src &#39;sha256-")
    assert "unsafe" not in policy


def test_an_address_that_is_no_page_of_the_web_is_no_link() -> None:
    assert not [link for link in Elements(html.show(run(HOSTILE))).links if "javascript" in link and not link.startswith("#")]


@given(RUNS, st.text(), st.floats())
def test_no_run_makes_the_page_fail(records: list[Record], name: str, started: float) -> None:
    page = html.show(run(*records, HOSTILE, id=name, started=started, environment={name: [name]}))

    assert Elements(page).names.count("script") == 3
    page.encode(errors="backslashreplace")


@given(RUNS, RUNS)
def test_no_comparison_makes_the_page_fail(before: list[Record], after: list[Record]) -> None:
    assert Elements(html.compared(compared([GOOD, *before], after))).names.count("script") == 3


def test_a_check_adds_so_little_that_a_page_of_ten_thousand_stays_below_five_megabytes() -> None:
    kernel = "void cutlass::device_kernel<flash::enable_sm90<flash::FlashAttnFwdSm90<Traits<{}, 128>>>>(Params)"
    before = [
        record(
            configuration=f"sdpa-{at % 25:02}", model=f"model-{at // 25 % 20:02}", subject=f"workload-{at // 500}",
            errors=dict.fromkeys(("rms", "rms_tolerance", "worst", "worst_tolerance"), (at + 1) / 700000.0),
            evidence={"families": ["sdpa-flash"], "kernels": {kernel.format(at): at}, "device_time_us": at / 7},
            durations={"build": at / 7, "total": at / 3},
        )
        for at in range(SOME)
    ]  # fmt: skip
    after = [replace(item, errors={name: value / 3 for name, value in item.errors.items()}) for item in before]

    assert len(html.compared(compared(before, after)).encode()) < LARGEST / 10_000 * SOME


def test_without_jinja2_the_answer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)

    with pytest.raises(UserError, match="needs the package jinja2"):
        html.show(run(GOOD))


def of_suite(suite: str, configuration: str, check: str, **changes: Any) -> Record:
    return record(configuration, check, nodeid=f"suites/{suite}/test_it.py::test_it", **changes)


@pytest.mark.parametrize("bad", [False, True])
def test_each_suite_is_a_block_of_its_own_columns_and_what_is_bad_comes_first(bad: bool) -> None:
    placed = of_suite("placement", "device-map-one-sdpa", "placed", outcome=Outcome.FAILED if bad else Outcome.PASSED)
    page = html.show(run(of_suite("attention", "sdpa", "correct"), placed, of_suite("attention", "eager", "dispatch")))
    found = index(page)
    told = {
        block["name"]: ([found["columns"][at] for at in block["columns"]], block["configurations"]) for block in found["blocks"]
    }

    assert told == {
        "attention": (["correct", "dispatch"], ["eager", "sdpa"]),
        "placement": (["placed"], ["device-map-one-sdpa"]),
    }
    assert list(told) == (["placement", "attention"] if bad else ["attention", "placement"])
    assert of_text(page, r'class="heads"><th scope="col">(.*?)</th>') == list(told)


def test_a_configuration_is_in_the_block_where_most_of_its_checks_are() -> None:
    many = [of_suite("attention", "sdpa", "correct", subject=name) for name in "ab"]
    odd = record("bnb", "preflight", nodeid="preflight")

    found = of_records([of_suite("latency", "sdpa", "latency"), *many, odd])
    assert {table.name: [name for name, _ in table.rows] for table in found} == {"attention": ["sdpa"], "other": ["bnb"]}


def test_of_several_runs_every_block_has_the_column_of_every_run() -> None:
    attention, placement = of_suite("attention", "sdpa", "correct"), of_suite("placement", "device-map-one-sdpa", "placed")
    page = html.together(fleet_of(old=run(attention), new=run(placement)))

    assert [sorted(block["columns"]) for block in index(page)["blocks"]] == [[0, 1], [0, 1]]


def test_checks_come_by_cell_and_inside_it_by_kind() -> None:
    entries = entry.of_run(run(record(check="dispatch"), record(configuration="eager"), record(check="builds")))
    found = data.ordered(entries, ["eager", "sdpa"])

    assert [(item.configuration, item.check) for item in found] == [
        ("eager", "correct"),
        ("sdpa", "builds"),
        ("sdpa", "dispatch"),
    ]


def test_an_error_beyond_its_tolerance_is_right_of_the_line() -> None:
    entries = entry.of_run(run(replace(BAD, errors={"rms": 0.5, "rms_tolerance": 0.02})))
    plot = errors(entries, ["sdpa"], two=False)
    assert plot is not None

    assert plot.rows[0].named[0].x > plot.limit


def test_memory_of_one_run_is_set_against_eager_on_the_same_workload() -> None:
    other = record(configuration="eager", memory={"peak": 40_000_000}), record(memory={"peak": 80_000_000})
    plot = memory(entry.of_run(run(*other)), ["eager", "sdpa"], two=False)
    assert plot is not None

    assert [(row.label, row.named[0].said.rpartition(": ")[2]) for row in plot.rows] == [("sdpa", "peak 2.000 times eager's")]


@pytest.mark.parametrize(("two", "series"), [(False, {"prefill", "decode"}), (True, {"baseline", "candidate"})])
def test_what_placement_loses_is_set_against_the_whole_model(two: bool, series: set[str]) -> None:
    times = {"placed_us": 30_000.0, "whole_us": 20_000.0}
    spread = record(configuration="max-memory-gpus-sdpa", check="transfer-cost",
                    evidence={"prefill": times, "decode": {**times, "placed_us": 20_000.0}})  # fmt: skip
    both = replace(entry.of_run(run(spread))[0], before=spread)
    plot = placement([both], ["max-memory-gpus-sdpa"], two=two)
    assert plot is not None

    assert (series, series) == ({name for name, _ in plot.series}, set(plot.rows[0].paths))
    assert "10.00 of 30.00 ms of a prefill" in plot.rows[0].named[0].said
    assert plot.rows[0].named[0].x > (plot.limit or 0)
    assert placement(entry.of_run(run(GOOD)), ["sdpa"], two=two) is None


@pytest.mark.parametrize(
    ("value", "place"), [(0.0, 0), (0.01, 0), (0.1, 50), (1.0, 100), (7.0, 100), (math.nan, 100), (math.inf, 100)]
)
def test_what_is_beyond_an_axis_is_drawn_at_its_end(value: float, place: float) -> None:
    assert Axis(low=0.01, high=1, left=0, right=100).at(value) == place
