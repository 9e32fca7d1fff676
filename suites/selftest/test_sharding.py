"""A plan divides into shards that any machine finds the same, equally long, with checks that share references together."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.scheduling import scope
from fixtures.selection import plan
from fixtures.sharding import divided, durations, grouped, part, shard, together, weights
from matrix.cell import Check
from matrix.errors import UserError
from reports import recorder
from reports.shard import Shard
from suites.selftest.examples import record, written
from suites.selftest.samples import check, facts, model
from suites.selftest.test_environments import settings
from suites.selftest.test_recorder import planned

WEIGHTS = st.dictionaries(st.text("abcdef", min_size=1, max_size=4), st.floats(0, 1e6), min_size=1, max_size=12)
MODELS = [model(name) for name in ("gpt2-tiny", "llama-tiny", "mixtral-tiny")]
CHECKS = tuple(check(subject=subject, of=of, dtype=dtype) for of in MODELS for dtype in ("fp32", "bf16")
               for subject in ("short", "long"))  # fmt: skip


def parts(checks: tuple[Check, ...], count: int, **changes: Any) -> list[tuple[Check, ...]]:
    return [part(checks, shard(f"{number}/{count}", checks), settings(**changes)) for number in range(1, count + 1)]


def recorded(folder: Path, **seconds: float) -> str:
    """A run in which the checks of each model took that long together, all dtypes."""
    records = [
        record(id=each.id, model=each.cell.model.name, durations={"total": seconds[each.cell.model.name.split("-")[0]] / 4})
        for each in CHECKS
    ]
    return str(written(folder, *records))


# what a shard is


@pytest.mark.parametrize("text", ["0/4", "5/4", "1/0", "1", "a/b", "1/4/2", "-1/4", "1/100000"])
def test_a_shard_is_one_of_several(text: str) -> None:
    with pytest.raises(UserError, match=r"^--shard is .*, accepted: K/N, the K-th of N parts, such as 1/4$"):
        shard(text)


def test_without_the_option_there_is_one_plan_and_no_shard() -> None:
    assert (None, CHECKS) == (shard("", CHECKS), part(CHECKS, None, settings()))


def test_a_shard_knows_the_whole_plan() -> None:
    made, alone = plan(settings(shard="2/3"), facts()), plan(settings(), facts())

    assert Shard(number=2, of=3, plan=tuple(each.id for each in alone.checks)) == made.shard
    assert 0 < len(made.checks) < len(alone.checks)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_shards_are_the_plan_divided(count: int) -> None:
    whole = plan(settings(cells="*"), facts()).checks
    divided_plan = parts(whole, count)

    assert sorted(each.id for each in whole) == sorted(each.id for shard in divided_plan for each in shard)
    assert len(grouped(whole)) == sum(len(grouped(shard)) for shard in divided_plan)


def test_more_shards_than_groups_end_the_run() -> None:
    with pytest.raises(
        UserError, match=r"^--shard is '1/7', the selection has 6 groups of checks .*: ask for at most 6 shards$"
    ):
        part(CHECKS, shard("1/7", CHECKS), settings())


def test_a_run_that_goes_on_plans_what_it_had_planned() -> None:
    assert CHECKS == part(CHECKS, shard("1/3", CHECKS), settings(resume=Path("r"), shard="1/3"))


@pytest.mark.parametrize("narrowed", [{"keyword": "gpt2"}, {"deselect": ["a"]}])
def test_what_is_narrowed_otherwise_has_no_shards(tmp_path: Path, narrowed: dict[str, Any]) -> None:
    """The shard would not know the plan that it is a part of."""
    usual = {"keyword": "", "markexpr": "", "deselect": [], "ignore": [], "ignore_glob": [], "collectonly": False}
    config: Any = SimpleNamespace(stash=pytest.Stash(), option=SimpleNamespace(**usual | narrowed), args_source=None)
    config.stash[recorder.PLANNED] = dataclasses.replace(planned(tmp_path / "r"), shard=Shard(number=1, of=2))
    with pytest.raises(pytest.UsageError, match="--shard divides a whole plan: choose with --cells"):
        recorder.pytest_sessionstart(SimpleNamespace(config=config))  # type: ignore[arg-type]


# how it is divided


@given(WEIGHTS, st.integers(1, 12))
def test_every_group_is_in_one_part_and_no_part_is_much_longer_than_it_must_be(weight: dict[str, float], count: int) -> None:
    found = divided({name: [] for name in weight}, weight, count)
    loads = [math.fsum(weight[name] for name in part) for part in found]

    assert sorted(weight) == sorted(name for part in found for name in part)
    assert max(loads) <= math.fsum(weight.values()) / count + max(weight.values()) + 1e-6
    assert min(count, len(weight)) == sum(bool(part) for part in found)


@given(WEIGHTS, st.integers(1, 12), st.randoms())
def test_every_machine_divides_alike(weight: dict[str, float], count: int, random: Any) -> None:
    names = list(weight)
    random.shuffle(names)

    assert divided({name: [] for name in weight}, weight, count) == divided({name: [] for name in names}, weight, count)


def test_without_durations_parts_have_equally_many_checks() -> None:
    assert [4, 4, 4] == [len(shard) for shard in parts(CHECKS, 3)]


def test_with_durations_parts_take_equally_long(tmp_path: Path) -> None:
    """Two thirds of the time are gpt2's, so each of its dtypes is a part of its own."""
    shards = parts(CHECKS, 3, durations_from=recorded(tmp_path / "r", gpt2=40, llama=10, mixtral=10))

    assert [{"gpt2-tiny"}, {"gpt2-tiny"}, {"llama-tiny", "mixtral-tiny"}] == [
        {each.cell.model.name for each in shard} for shard in shards
    ]


def test_a_check_that_was_not_recorded_counts_as_the_usual_one() -> None:
    known = {each.id: 3.0 for each in CHECKS if each.cell.model.name != "mixtral-tiny"}

    assert {6.0} == set(weights(grouped(CHECKS), known).values())


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -1.0])
def test_a_duration_that_is_none_counts_as_the_usual_one(seconds: float) -> None:
    known = {each.id: 3.0 for each in CHECKS} | {CHECKS[0].id: seconds}

    assert {6.0} == set(weights(grouped(CHECKS), known).values())


def test_durations_of_no_run_end_the_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no folder"):
        durations(str(tmp_path / "none"))


def test_what_shares_a_worker_shares_a_shard() -> None:
    made = check(dtype="bf16")

    assert scope(f"a.py::b[{made.cell.id}:correct:short]") == together(made)
