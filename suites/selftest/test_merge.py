"""Shards join to the run that one machine would have recorded, and what is not there is missing."""

from __future__ import annotations

import dataclasses
import html
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.__main__ import main
from reports.merge import Joined, joined, write
from reports.record import Outcome, Record
from reports.run import Run
from reports.shard import Shard
from reports.store import JUNIT, read_run
from reports.summary import judge
from suites.selftest.examples import PREFLIGHT, record, run, written
from suites.selftest.test_reports_command import command

RECORDS = tuple(record(subject=subject) for subject in ("one", "two", "three", "four"))
PLAN = tuple(item.id for item in RECORDS)
ENVIRONMENT = {"libraries": {"torch": {"version": "2.11", "location": "/a"}}, "host": {"cores": 2}}


def part(number: int, *records: Record, of: int = 2, plan: tuple[str, ...] = PLAN, **changes: Any) -> Run:
    """A shard that did all it had planned."""
    usual = {
        "environment": ENVIRONMENT,
        "id": f"r{number}",
        "started": 100.0 + number,
        "shard": Shard(number=number, of=of, plan=plan),
    }
    return run(*records, **usual | changes)


def read_back(made: Joined, folder: Path) -> Run:
    return write(made, folder / "joined")


FIRST, SECOND = part(1, PREFLIGHT, *RECORDS[:2]), part(2, PREFLIGHT, *RECORDS[2:])


def test_shards_join_to_one_whole_run(tmp_path: Path) -> None:
    actual = read_back(joined([SECOND, FIRST]), tmp_path)

    assert (True, None, {PREFLIGHT.id, *PLAN}) == (actual.whole, actual.header.shard, set(actual.records))
    assert ((PREFLIGHT.id, *PLAN), ()) == (actual.header.planned, actual.superseded)
    assert ("joined from 2 parts: 1/2 r1, 2/2 r2",) == actual.header.notes
    assert (tmp_path / "joined" / JUNIT).exists()


@given(st.lists(st.integers(1, 3), min_size=4, max_size=4))
def test_whoever_ran_a_check_it_is_in_the_whole(numbers: list[int]) -> None:
    shards = [
        part(number, *(item for item, at in zip(RECORDS, numbers, strict=True) if at == number), of=3) for number in (1, 2, 3)
    ]
    made = joined(shards)

    assert {item.id: item.outcome for item in RECORDS} == {item.id: item.outcome for item in made.records}
    assert made.header.complete


def test_a_record_says_which_shard_it_is_of() -> None:
    made = joined([FIRST, part(2, dataclasses.replace(RECORDS[2], worker="gw0"), RECORDS[3])])

    assert "2/2 gw0" == next(item.worker for item in made.records if item.id == PLAN[2])


def test_a_shard_that_never_came_back_is_missing(tmp_path: Path) -> None:
    actual = read_back(joined([FIRST]), tmp_path)

    assert (PLAN[2:], False, False) == (actual.missing, actual.whole, judge(actual).good)
    assert "of 2 shards 2 never came back" in actual.header.notes


def test_a_shard_that_ended_early_is_said_to_have(tmp_path: Path) -> None:
    cut = part(2, RECORDS[2], complete=False, planned=PLAN[2:])
    actual = read_back(joined([FIRST, cut]), tmp_path)

    assert (PLAN[3:], False) == (actual.missing, actual.header.complete)
    assert "shard 2/2 (r2) ended early" in actual.header.notes


def test_a_shard_that_was_run_again_replaces_what_it_recorded_and_hides_no_failure(tmp_path: Path) -> None:
    failed = part(2, dataclasses.replace(RECORDS[2], outcome=Outcome.FAILED), complete=False, id="r0", started=1.0)
    actual = read_back(joined([FIRST, SECOND, failed]), tmp_path)

    assert ((), (PLAN[2],), True) == (actual.missing, actual.hidden_failures, actual.header.complete)
    assert not judge(actual).good


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"plan": PLAN[:3]}, "it was planned with other checks (3, the others with 4)"),
        ({"of": 3}, "it is one of 3 shards, the others are of 2"),
        ({"tier": "full"}, "its tier is 'full', that of the others 'quick'"),
        ({"environment": {**ENVIRONMENT, "libraries": {"torch": {"version": "2.13", "location": "/a"}}}},
         "its libraries.torch.version is 2.13, that of the others 2.11"),
        ({"injected": ("mask-dropped",)}, "its injected is ('mask-dropped',), that of the others ()"),
    ],
)  # fmt: skip
def test_a_shard_of_something_else_is_left_out_and_missing(changes: dict[str, Any], why: str) -> None:
    other = part(2, *RECORDS[2:], **changes, id="other")
    made = joined([other, FIRST, part(1, *RECORDS[:2], id="again")])

    assert any(note.startswith("left out shard 2/") and note.endswith(f"(other): {why}") for note in made.header.notes)
    assert [True] == [sentence.endswith(f"(other): {why}") for sentence in made.left_out]
    assert not {PLAN[2], PLAN[3]} & {item.id for item in made.records}
    assert {PLAN[2], PLAN[3]} < set(made.header.planned)


def test_shards_of_other_machines_with_the_same_environment_join() -> None:
    elsewhere = {"libraries": {"torch": {"version": "2.11", "location": "/b"}}, "host": {"cores": 64}}
    made = joined([FIRST, part(2, *RECORDS[2:], environment=elsewhere)])

    assert "its machines differ in host.cores, libraries.torch.location" in made.header.notes
    assert len(PLAN) == sum(item.check != "preflight" for item in made.records)


def test_the_worst_preflight_of_all_machines_counts() -> None:
    """A machine that is not ready plans nothing."""
    broken = dataclasses.replace(PREFLIGHT, outcome=Outcome.FAILED)
    made = joined([FIRST, part(2, broken, plan=(), environment={"problem": "no driver"})])

    assert [Outcome.FAILED] == [item.outcome for item in made.records if item.check == "preflight"]
    assert {PREFLIGHT.id, *PLAN} == set(made.header.planned)


def test_what_was_damaged_in_a_part_is_said() -> None:
    spoilt = dataclasses.replace(SECOND, damage=("records.jsonl line 2: cut off",))

    assert "shard 2/2: records.jsonl line 2: cut off" in joined([FIRST, spoilt]).header.notes


def test_a_whole_run_is_its_only_shard(tmp_path: Path) -> None:
    actual = read_back(joined([run(*RECORDS, environment=ENVIRONMENT)]), tmp_path)

    assert (True, (), "r1") == (actual.whole, actual.header.notes, actual.header.id)


# python -m reports merge


def recorded(folder: Path, *parts: Run) -> None:
    for each in parts:
        header = {name: getattr(each.header, name) for name in ("id", "started", "complete", "shard", "planned", "tier")}
        written(folder / each.header.id, *each.records.values(), environment=dict(each.environment), **header)


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """The parts of two environments, one of which lacks a shard."""
    recorded(tmp_path / "parts" / "whole", FIRST, SECOND)
    recorded(tmp_path / "parts" / "half", FIRST)
    return tmp_path


def test_parts_in_one_folder_are_of_one_run_and_the_others_are_beside_it(fleet: Path) -> None:
    code, out, _ = command("merge", fleet / "parts", "--into", fleet / "runs")

    assert (1, True, False) == (code, read_run(fleet / "runs/whole").whole, read_run(fleet / "runs/half").whole)
    assert out.startswith("NOT GOOD: half; 1 of 2 runs is good.\n")


def test_a_run_of_which_nothing_came_back_is_missing_where_it_is_expected(fleet: Path) -> None:
    (fleet / "parts/half").rename(fleet / "elsewhere")
    code, out, _ = command("merge", fleet / "parts", "--into", fleet / "runs", "--expect", "whole", "gone")

    assert 1 == code
    assert "  gone   MISSING: no part of it came back." in out.splitlines()


def test_nothing_at_all_is_missing_too(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()

    assert 1 == command("merge", tmp_path / "parts", "--into", tmp_path / "runs", "--expect", "gone")[0]
    assert 1 == command("merge", tmp_path / "parts", "--into", tmp_path / "runs")[0]


def test_each_run_is_compared_with_that_of_its_name(fleet: Path) -> None:
    command("merge", fleet / "parts", "--into", fleet / "trusted")
    (fleet / "parts/half").rename(fleet / "elsewhere")
    options = ("--into", fleet / "runs", "--expect", "whole", "--baseline", fleet / "trusted", "--markdown", fleet / "m.md")
    code, out, _ = command("merge", fleet / "parts", *options)

    assert (0, "  whole  NOTHING GOT WORSE: 5 unchanged; 5 checks compared.") == (code, out.splitlines()[1])
    assert "| <code>whole</code> | ✅ NOTHING GOT WORSE" in (fleet / "m.md").read_text()


def test_what_the_baseline_has_and_did_not_come_is_missing(fleet: Path) -> None:
    command("merge", fleet / "parts", "--into", fleet / "trusted")
    (fleet / "parts/half").rename(fleet / "elsewhere")
    code, out, _ = command("merge", fleet / "parts", "--into", fleet / "runs", "--baseline", fleet / "trusted")

    assert (1, True) == (code, "half   MISSING" in out)


def test_a_part_that_was_left_out_makes_its_run_not_good_and_is_told_on_every_page(tmp_path: Path) -> None:
    failing = dataclasses.replace(RECORDS[2], outcome=Outcome.FAILED)
    other = part(2, failing, RECORDS[3], id="other", environment={"libraries": {"torch": {"version": "2.13"}}})
    recorded(tmp_path / "parts" / "one", FIRST, SECOND, other)
    pages = {name: tmp_path / f"page.{name}" for name in ("markdown", "html")}
    written_to = [option for name, path in pages.items() for option in (f"--{name}", path)]
    code, out, _ = command("merge", tmp_path / "parts", "--into", tmp_path / "runs", *written_to)
    why = "shard 2/2 (other): its libraries.torch.version is 2.13, that of the others 2.11"
    told = [" ".join(html.unescape(text).split()) for text in (out, *(path.read_text() for path in pages.values()))]

    assert (1, "NOT GOOD: one; 0 of 1 runs are good.") == (code, out.splitlines()[0])
    assert f"one NOT GOOD: 1 part left out: {why}. The others: GOOD: 5 of 5 checks passed." in told[0]
    assert [True] * 3 == [f"left out {why}" in page and f"1 part left out: {why}" in page for page in told]
    assert [True] * 3 == ["joined from 2 parts: 1/2 r1, 2/2 r2" in page for page in told]


def test_a_part_that_executed_nothing_may_be_left_out(tmp_path: Path) -> None:
    recorded(tmp_path / "parts" / "one", FIRST, SECOND, part(2, PREFLIGHT, id="other", tier="full"))
    code, out, _ = command("merge", tmp_path / "parts", "--into", tmp_path / "runs")

    assert (0, True) == (code, "left out shard 2/2 (other): its tier is 'full'" in " ".join(out.split()))


def test_a_run_that_got_worse_is_shown(fleet: Path) -> None:
    command("merge", fleet / "parts", "--into", fleet / "trusted")
    bad = part(3, dataclasses.replace(RECORDS[0], outcome=Outcome.FAILED), of=3, id="bad")
    recorded(fleet / "other" / "whole", bad)
    code, out, _ = command("merge", fleet / "other", "--into", fleet / "runs", "--baseline", fleet / "trusted")

    assert 1 == code
    assert "Newly failing:" in out


def test_a_run_of_which_nothing_can_be_decided_is_said_to_be_undecided(tmp_path: Path) -> None:
    recorded(tmp_path / "before" / "whole", run(*RECORDS))
    recorded(tmp_path / "after" / "whole", run(*(dataclasses.replace(item, definition="d2") for item in RECORDS)))
    command("merge", tmp_path / "before", "--into", tmp_path / "trusted")
    code, out, _ = command("merge", tmp_path / "after", "--into", tmp_path / "runs", "--baseline", tmp_path / "trusted")

    assert (3, "NOT ALL IS DECIDED: whole; 0 of 1 runs are good.") == (code, out.splitlines()[0])


@pytest.mark.parametrize(("folder", "said"), [("gone", "gone: is no folder"), ("parts", "holds a run already")])
def test_what_cannot_be_used_is_one_line_and_status_2(fleet: Path, folder: str, said: str) -> None:
    command("merge", fleet / "parts", "--into", fleet / "runs")
    code, out, err = command("merge", fleet / folder, "--into", fleet / "runs")

    assert (2, "", 1) == (code, out, err.count("\n"))
    assert said in err


def test_a_baseline_without_runs_is_status_2(fleet: Path) -> None:
    code, _, err = command("merge", fleet / "parts", "--into", fleet / "runs", "--baseline", fleet / "elsewhere")

    assert (2, True) == (code, "holds no folder of a run" in err)


def test_a_shard_shown_alone_says_that_it_is_one(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["show", str(fleet / "parts/whole/r1")])

    assert "it is shard 1/2, with 3 of 4 planned checks" in capsys.readouterr().out
