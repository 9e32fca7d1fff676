"""A trend says what changed, which run had it first, and what was new in that run."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix.errors import UserError
from reports.__main__ import main
from reports.changepoint import ALPHA, change_points
from reports.history import History, read_history
from reports.record import Outcome, Record
from reports.render import trend as pages
from reports.render import trend_plot
from reports.render.terminal import Page
from reports.thresholds import load_thresholds
from reports.trend import Event, Trends, find
from suites.selftest.examples import PREFLIGHT, record, timed, written

NIGHT = 86_400.0
OLD, NEW = {"libraries": {"torch": {"version": "2.12.0"}}}, {"libraries": {"torch": {"version": "2.13.0"}}}


def apart(was: float, now: float) -> bool:
    return was != now


def store(folder: Path, nights: Iterable[Sequence[Record]], new: int = 10**6, **header: Any) -> Path:
    """A night's run a folder; from night ``new`` on with another torch."""
    for at, records in enumerate(nights):
        environment = OLD if at < new else NEW
        written(folder / f"n{at:03}", *records, id=f"n{at}", started=1.79e9 + at * NIGHT, environment=environment, **header)
    return folder


def trends(folder: Path) -> Trends:
    return find(read_history(folder), load_thresholds())


def only(found: Trends) -> Event:
    (event,) = found.events
    return event


def rms(value: float, **changes: Any) -> list[Record]:
    return [record(errors={"rms": value, "rms_tolerance": 1.0}, memory={}, evidence={}, **changes)]


# change points


@pytest.mark.parametrize(
    ("values", "places"),
    [
        ([], []),
        ([1.0] * 9, []),
        ([1.0] * 4 + [2.0], [4]),
        ([1.0] * 3 + [2.0], []),
        ([1.0] * 6 + [3.0] * 6 + [2.0] * 6, [6, 12]),
        ([1.0] * 10 + [2.0] + [1.0] * 5, [10, 11]),
        ([1.0, 1.01, 0.99, 1.0, 1.01, 1.5], [5]),
        ([1.0, 1.01, 0.99, 1.0, 1.01, 1.5, 1.0, 0.99, 1.01], []),
        ([1.0, 1.01, 0.99, 1.0, 1.0, 1.2, 1.21, 1.19, 1.0, 1.01, 0.99, 1.0], [5, 8]),
    ],
)
def test_a_level_ends_where_another_begins(values: list[float], places: list[int]) -> None:
    assert places == change_points(values, apart)


def test_noise_has_no_change_points() -> None:
    """In 1000 series of 30 nights about one by chance; 6 or more would be chance in one of 1000 such tests."""
    draw = random.Random(7)
    found = [change_points([draw.gauss(100, 1) for _ in range(30)], apart) for _ in range(1000)]

    assert sum(map(bool, found)) < 6
    assert 0.001 == ALPHA


def test_a_difference_that_does_not_matter_is_none() -> None:
    assert [] == change_points([1.0] * 6 + [1.001] * 6, lambda was, now: abs(was - now) > 0.01)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e9, max_value=1e9), max_size=20))
def test_change_points_are_places_in_order(values: list[float]) -> None:
    places = change_points(values, apart)

    assert sorted(set(places)) == places
    assert all(0 < place < len(values) for place in places)


# what changed, since when, and what was new


def test_a_drift_is_told_with_the_first_run_that_has_it_and_what_was_new_there(tmp_path: Path) -> None:
    draw = random.Random(1)
    nights = [rms((4e-3 if at < 8 else 8.2e-3) * draw.gauss(1, 0.01)) for at in range(14)]
    event = only(trends(store(tmp_path, nights, new=8)))

    assert ("n8", "n7") == (event.line.nights[event.night].id, event.line.nights[event.before].id)
    assert [("rms error", True)] == [(shift.what, shift.worse) for shift in event.shifts]
    assert [("libraries.torch.version", "2.12.0", "2.13.0")] == [(item.path, item.before, item.after) for item in event.changes]


def test_a_drift_below_its_threshold_is_none(tmp_path: Path) -> None:
    assert () == trends(store(tmp_path, [rms(4e-3 if at < 8 else 5e-3) for at in range(14)])).events


def test_a_check_that_fails_is_told_on_its_first_night(tmp_path: Path) -> None:
    nights = [[record()], [record()], [record(outcome=Outcome.FAILED, message="lost")]]
    event = only(trends(store(tmp_path, nights)))

    assert [("holds", "failed", True, "lost")] == [(item.before, item.after, item.worse, item.message) for item in event.shifts]


@pytest.mark.parametrize(("was", "now", "worse"), [("sdpa-flash", "sdpa-math", True), ("eager", "sdpa-flash", False)])
def test_other_kernels_are_told(tmp_path: Path, was: str, now: str, worse: bool) -> None:
    nights = [[record(evidence={"families": [name]})] for name in (was, was, now, now)]
    event = only(trends(store(tmp_path, nights)))

    assert [("kernels", was, now, worse)] == [(item.what, item.before, item.after, item.worse) for item in event.shifts]


def test_memory_that_grew_is_told_on_the_first_night(tmp_path: Path) -> None:
    nights = [[record(memory={"peak": 40_000_000 if at < 5 else 50_000_000})] for at in range(6)]
    (shift,) = only(trends(store(tmp_path, nights))).shifts

    assert ("peak memory", "38.15 MiB", "47.68 MiB", True) == (shift.what, shift.before, shift.after, shift.worse)


def test_a_check_that_got_slower_is_told(tmp_path: Path) -> None:
    draw = random.Random(5)
    nights = [[timed(*((2e-3 if at < 8 else 2.5e-3) * draw.gauss(1, 0.005) for _ in range(5)))] for at in range(12)]
    event = only(trends(store(tmp_path, nights)))

    assert ("n8", ["prefill latency"]) == (event.line.nights[event.night].id, [shift.what for shift in event.shifts])
    assert event.shifts[0].worse


def test_a_run_without_the_check_lies_between(tmp_path: Path) -> None:
    """What is new is everything since the last run that had it."""
    nights = [[record(), record(subject="other")], [record(subject="other")], [record(outcome=Outcome.FAILED)]]
    event = only(trends(store(tmp_path, nights, new=1)))

    assert (0, 2, 1) == (event.before, event.night, len(event.changes))


def test_a_series_begins_anew_where_what_is_checked_changed(tmp_path: Path) -> None:
    nights = [rms(4e-3 if at < 7 else 4e-2, definition=f"d{at < 7}") for at in range(14)]

    assert () == trends(store(tmp_path, nights)).events


def test_a_check_that_comes_and_goes_is_told_as_such(tmp_path: Path) -> None:
    nights = [[record(outcome=Outcome.FAILED if at % 2 else Outcome.PASSED)] for at in range(6)]
    found = trends(store(tmp_path, nights))

    assert ((), {record().id: 5}) == (found.events, found.restless)


def test_environments_are_apart(tmp_path: Path) -> None:
    for at, name in enumerate(("tf4", "tf5", "tf4", "tf5")):
        outcome = Outcome.FAILED if name == "tf5" else Outcome.PASSED
        folder = written(tmp_path / "s" / f"n{at}", record(outcome=outcome), id=f"n{at}", started=at * NIGHT)
        tree = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps(tree | {"environment": name}))
    found = trends(tmp_path / "s")

    assert ((), 2) == (found.events, len(found.history.lines))


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"injected": ("mask-dropped",)}, "faults were injected on purpose: mask-dropped"),
        ({"shard": {"number": 1, "of": 2, "plan": []}}, "is shard 1/2, and counts where it was joined"),
        ({"schema": 99}, "schema 99 is newer"),
    ],
)
def test_what_is_left_out_is_said(tmp_path: Path, header: dict[str, Any], words: str) -> None:
    store(tmp_path, [[record()]])
    odd = written(tmp_path / "odd", record(), id="odd", started=1.0)
    (odd / "run.json").write_text(json.dumps(json.loads((odd / "run.json").read_text()) | header))

    (sentence,) = read_history(tmp_path).left_out
    assert words in sentence


def test_a_run_of_preflight_alone_is_left_out_unless_it_says_what_is_broken(tmp_path: Path) -> None:
    broken = replace(PREFLIGHT, outcome=Outcome.FAILED)
    history = read_history(store(tmp_path, [[record()], [PREFLIGHT], [broken]]))

    assert ["n0", "n2"] == [night.id for night in history.lines[0].nights]
    assert ("n1: executed nothing",) == history.left_out


def test_runs_lie_however_deep(tmp_path: Path) -> None:
    """As matrix validate, reports ab and reports merge leave them; and where a folder of the store is a link to a run."""
    for at, place in enumerate(("runs/n0", "runs/validate-1/baseline", "runs/validate-1/candidate", "runs/a/b/c")):
        written(tmp_path / place, record(), id=f"n{at}", started=float(at))
    written(tmp_path / "elsewhere", record(), id="n4", started=4.0)
    (tmp_path / "runs/link").symlink_to(tmp_path / "elsewhere")

    assert ["n0", "n1", "n2", "n3", "n4"] == [night.id for night in read_history(tmp_path / "runs").lines[0].nights]


def test_a_run_and_its_copy_count_once(tmp_path: Path) -> None:
    """As merge makes one of a run that was not divided."""
    for place in ("run", "merged/run"):
        written(tmp_path / place, record(), id="n0", started=1.0)
    history = read_history(tmp_path)

    assert 1 == len(history.lines[0].nights)
    assert ["which counts"] == [sentence.rpartition(", ")[2] for sentence in history.left_out]


def test_earlier_runs_are_left_out_and_counted(tmp_path: Path) -> None:
    history = read_history(store(tmp_path, [[record()]] * 5), last=3)

    assert (["n2", "n3", "n4"], ("2 earlier runs: the last 3 are looked at",)) == (
        [night.id for night in history.lines[0].nights],
        history.left_out,
    )


def test_a_store_without_a_run_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no run to look at"):
        read_history(tmp_path)


# pages


@pytest.fixture
def found(tmp_path: Path) -> Trends:
    failing = [record(configuration=f"c{at}", outcome=Outcome.FAILED, message="<b>$x$|\x1b[31m") for at in range(40)]
    nights = [[*rms(4e-3 if at < 8 else 8.2e-3), *(failing if at >= 8 else [])] for at in range(12)]
    for at in range(40):
        nights[7].append(record(configuration=f"c{at}"))
    return trends(store(tmp_path / "store", nights, new=8))


def test_the_page_fits_a_screen_and_says_what_was_new(found: Trends) -> None:
    page = pages.show(found, Page())

    assert len(page.splitlines()) < 40
    assert "12 runs (12 of cuda): 41 changes in 1 run, 41 for the worse." == page.splitlines()[0]
    assert "  changed since n7: libraries.torch.version 2.12.0 -> 2.13.0\n" in page
    assert "and 39 more alike: c1 1, c10 1" in page


def test_markdown_and_json_tell_the_same(found: Trends) -> None:
    tree = json.loads(pages.in_json(found))
    page = pages.in_markdown(found)

    assert 41 == len(tree["events"][0]["shifts"])
    assert "<b>" not in page and "2.12.0 -&gt; 2.13.0" in page


def test_the_plot_marks_the_change(found: Trends, tmp_path: Path) -> None:
    trend_plot.draw(found, load_thresholds(), tmp_path / "trend.svg")

    text = (tmp_path / "trend.svg").read_text()
    assert "<svg" in text and "libraries.torch" in text and "<b>" not in text


def test_the_command_tells_and_writes(tmp_path: Path) -> None:
    folder, out = store(tmp_path / "s", [[record()]] * 2), io.StringIO()
    files = [tmp_path / "t.md", tmp_path / "t.json"]

    assert 0 == main(["trend", str(folder), "--markdown", str(files[0]), "--json", str(files[1])], out, io.StringIO())
    assert out.getvalue().startswith("2 runs (2 of cuda): 0 changes in 0 runs, 0 for the worse.")
    assert all(file.stat().st_size for file in files)


def test_a_store_that_is_none_exits_with_2(tmp_path: Path) -> None:
    assert 2 == main(["trend", str(tmp_path / "no")], io.StringIO(), io.StringIO())


def test_the_history_keeps_what_a_trend_needs_and_no_more(found: Trends) -> None:
    history: History = found.history

    assert not hasattr(history.lines[0].nights[0], "records")
