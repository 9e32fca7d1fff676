"""A known failure is expected exactly where its entry says, and an entry that describes nothing is reported."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet

from fixtures.expectations import applies, expected, statuses
from fixtures.platform import PACKAGES
from fixtures.selection import Plan
from matrix.availability import Facts
from matrix.expectation import SPECIFIER, Expectation
from matrix.load import load_expectations
from suites.selftest.samples import check, configuration, facts, matrix, packages, workload

TODAY = datetime.date(2026, 7, 1)
URL = "https://example.org/issues/1"


def entry(**changes: Any) -> Expectation:
    usual: dict[str, Any] = {
        "cells": "sdpa", "checks": ("correct[short]",), "platforms": ("cpu", "cuda", "rocm"), "versions": {},
        "outcome": "failed",
        "message": "", "url": URL, "expires": TODAY,
    }  # fmt: skip
    return Expectation(**usual | changes)


def plan(*entries: Expectation, machine: Facts | None = None) -> Plan:
    made = matrix(configuration(dtypes={"bf16": "full"}), expectations=entries, workloads={"short": workload()})
    return Plan(facts=machine or facts(), matrix=made, checks=(), unavailable={})


# which checks an entry covers


@pytest.mark.parametrize(
    ("changes", "covered"),
    [
        ({}, True),
        ({"cells": "*"}, True),
        ({"cells": "sdpa and llama*"}, True),
        ({"cells": "eager"}, False),
        ({"checks": ("correct[*]",)}, True),
        ({"checks": ("correct*",)}, True),
        ({"checks": ("builds", "*short*")}, True),
        ({"checks": ("correct",)}, False),
        ({"checks": ("correct[shor]",)}, False),
        ({"checks": ("correct[[]short]",)}, False),
        ({"platforms": ("cuda",)}, False),
    ],
)
def test_an_entry_covers_the_checks_that_it_names(changes: dict[str, Any], covered: bool) -> None:
    """A bracket is a bracket, a star is a glob."""
    assert covered == entry(**changes).covers(check())


# where its condition is true


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ({}, True),
        ({"torch": ">=2.13"}, True),
        ({"torch": "==2.13.*"}, True),
        ({"torch": "<2.13"}, False),
        ({"torch": ">=2.10, <2.13"}, False),
        ({"torch": ">=2.13", "transformers": "<5"}, False),
        ({"flash-attn": ">=2"}, False),
    ],
)
def test_a_condition_holds_where_every_version_does(versions: dict[str, str], expected: bool) -> None:
    """A package that is not installed has no version that could."""
    assert expected == applies(entry(versions=versions), facts())


@pytest.mark.parametrize(
    ("condition", "details", "holds"),
    [
        ({"processor": ("avx2",)}, {"processor_features": ["avx2"]}, True),
        ({"processor": ("avx2",)}, {}, False),
        ({"processor_lacks": ("avx512f",)}, {"processor_features": ["avx2"]}, True),
        ({"processor_lacks": ("avx512f",)}, {}, True),
        ({"processor_lacks": ("avx512f",)}, {"processor_features": ["avx2", "avx512f"]}, False),
        ({"processor_lacks": ("avx2", "avx512f")}, {"processor_features": ["avx2"]}, True),
        ({"unfound": ("cublasLt",)}, {"loadable": ["cudnn"]}, True),
        ({"unfound": ("cublasLt",)}, {"loadable": ["cublasLt"]}, False),
    ],
)
def test_a_condition_may_be_about_the_processor_and_the_loader(
    condition: dict[str, Any], details: dict[str, Any], holds: bool
) -> None:
    assert holds == applies(entry(**condition), facts(details=details))


@pytest.mark.parametrize(("gpus", "holds"), [(0, True), (1, False), (2, True), (3, False)])
def test_a_condition_may_be_about_the_number_of_gpus(gpus: int, holds: bool) -> None:
    assert holds == applies(entry(gpus=gpus, platforms=("cuda",)), facts("cuda", devices=("9.0", "9.0")))


@pytest.mark.parametrize("installed", ["2.13.0+cu130", "2.13.0rc1", "2.13.0.dev20260101"])
def test_local_and_preliminary_versions_are_judged(installed: str) -> None:
    machine = facts(packages=packages(torch=installed))

    assert applies(entry(versions={"torch": ">=2.12, <2.14"}), machine)


@settings(max_examples=30)
@given(st.from_regex(SPECIFIER, fullmatch=True))
def test_every_specifier_that_is_accepted_can_be_judged(specifier: str) -> None:
    """It would otherwise be found out in the middle of a run."""
    SpecifierSet(specifier)


@pytest.mark.parametrize("specifier", [">=5 <6", ">=5.*", "~=5", "==1.*.*", "5.0", ">=", ">=5.0,", "==1.2*", ""])
def test_a_specifier_that_cannot_be_judged_is_not_accepted(specifier: str) -> None:
    assert SPECIFIER.fullmatch(specifier) is None


@pytest.mark.parametrize(
    "specifier", [">=5.0, <5.2", "==2.11.0+cu130", "~=4.57.1", "!=5.0.*", "<5.0rc1", " == 5 ", ">=5.0.0.dev0"]
)
def test_specifiers_that_people_write_are_accepted(specifier: str) -> None:
    assert SPECIFIER.fullmatch(specifier) is not None


# what is expected of a check


def test_the_first_entry_that_covers_a_check_is_expected_of_it() -> None:
    first, second = entry(cells="sdpa", message="a"), entry(cells="*", message="b")

    assert first is expected(check(), plan(first, second), TODAY)


@pytest.mark.parametrize("changes", [{"cells": "eager"}, {"versions": {"torch": "<2"}}, {"platforms": ("rocm",)}])
def test_nothing_is_expected_where_no_entry_speaks_of_the_check(changes: dict[str, Any]) -> None:
    assert expected(check(), plan(entry(**changes)), TODAY) is None


def test_an_entry_holds_on_its_last_day_and_not_on_the_next() -> None:
    judged = plan(entry(expires=TODAY))
    actual = [expected(check(), judged, TODAY + datetime.timedelta(days)) is not None for days in (0, 1)]

    assert [True, False] == actual


# what becomes of the entries


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [("matched", "")]),
        ({"message": "said"}, [("matched", "said")]),
        ({"versions": {"torch": "<2"}}, []),
        ({"platforms": ("rocm",)}, []),
        ({"expires": datetime.date(2026, 6, 30)}, [("expired",
         "it expired on 2026-06-30: look at the issue and renew or remove it")]),
        ({"cells": "gone"}, [("unmatched", "no check of cpu is gone :: correct[short]")]),
        ({"checks": ("correct[gone]",)}, [("unmatched", "no check of cpu is sdpa :: correct[gone]")]),
        ({"versions": {"pytorch": "<2"}}, [("unmatched", "versions names pytorch, accepted: torch, transformers")]),
    ],
)  # fmt: skip
def test_each_entry_whose_condition_is_true_here_has_a_status(changes: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    actual = [(seen.status.value, seen.message) for seen in statuses(plan(entry(**changes)), TODAY)]

    assert expected == actual


def test_an_entry_for_a_check_of_a_higher_tier_describes_something() -> None:
    """The quick tier must not call the entries of the full tier stale."""
    (seen,) = statuses(plan(entry(cells="bf16")), TODAY)

    assert "matched" == seen.status


# the suite's own entries


def test_an_entry_may_speak_of_a_package() -> None:
    of_package = entry(cells="environment and torch", checks=("imports",))
    (status,) = statuses(plan(of_package), TODAY)

    assert "matched" == status.status.value


def test_the_suites_entries_speak_of_packages_that_the_probe_looks_for() -> None:
    named = {package for known in load_expectations() for package in known.versions}

    assert set() == named - set(PACKAGES)


def test_the_suites_entries_have_not_expired() -> None:
    assert [] == [known.name for known in load_expectations() if known.expires < datetime.datetime.now(datetime.UTC).date()]


def test_a_file_of_expectations_may_be_empty(tmp_path: Path) -> None:
    (tmp_path / "expectations.toml").write_text("version = 1")

    assert () == load_expectations(tmp_path / "expectations.toml")
