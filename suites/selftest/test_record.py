"""A record survives its way to a file and back, and nothing malformed passes for one."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given

from matrix.errors import UserError
from reports.record import Record
from suites.selftest.examples import JSON, RECORDS, record


def altered(**changes: object) -> str:
    return json.dumps(json.loads(record().to_json()) | changes)


def problem(line: str) -> str:
    with pytest.raises(UserError) as caught:
        Record.from_json(line, "runs/r1/records.jsonl line 3")
    return str(caught.value)


def reject_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


@given(RECORDS)
def test_what_is_written_is_what_is_read(given_record: Record) -> None:
    line = given_record.to_json()

    assert line == Record.from_json(line).to_json()


@given(RECORDS)
def test_a_line_is_one_line_of_standard_json_with_no_nan(given_record: Record) -> None:
    line = given_record.to_json()

    json.loads(line, parse_constant=reject_constant)
    assert "\n" not in line


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_an_error_that_is_not_finite_survives(number: float) -> None:
    read = Record.from_json(record(errors={"rms": number}).to_json())

    assert repr(number) == repr(read.errors["rms"])


def test_a_number_of_numpy_is_a_number() -> None:
    import numpy

    read = Record.from_json(record(errors={"rms": numpy.float32(0.5)}, memory={"peak": numpy.int64(7)}).to_json())

    assert (read.errors["rms"], read.memory["peak"]) == (0.5, 7)


def test_an_unknown_key_is_named_with_its_file_and_line() -> None:
    expected = "runs/r1/records.jsonl line 3: unknown key 'speed'; remove it"

    assert expected == problem(altered(speed=3))


def test_a_wrong_type_is_named_with_what_is_accepted() -> None:
    expected = "runs/r1/records.jsonl line 3: memory.peak: expected a whole number, got 1.5"

    assert expected == problem(altered(memory={"peak": 1.5}))


def test_an_unknown_outcome_is_named_with_what_is_accepted() -> None:
    actual = problem(altered(outcome="fine"))

    assert actual.startswith("runs/r1/records.jsonl line 3: outcome: expected one of passed, failed, refused, crashed")
    assert actual.endswith("got 'fine'")


def test_a_newer_schema_is_named_before_its_unknown_keys() -> None:
    actual = problem(altered(schema=2, speed=3))

    assert "schema 2 is newer than 1" in actual


def test_a_missing_key_is_named() -> None:
    tree = json.loads(record().to_json())
    del tree["outcome"]

    assert "outcome is missing" in problem(json.dumps(tree))


def test_true_is_no_number() -> None:
    assert "errors.rms: expected a number, got True" in problem(altered(errors={"rms": True}))


def test_a_bare_nan_is_refused_because_it_is_not_json() -> None:
    assert "NaN is no JSON number" in problem(record().to_json().replace("0.004", "NaN"))


def test_a_key_given_twice_is_refused() -> None:
    assert "same key twice" in problem('{"schema": 1, "schema": 1}')


def test_nesting_without_end_is_refused() -> None:
    assert "nested deeper than 64 levels" in problem("[" * 100_000 + "]" * 100_000)


def test_nesting_that_python_could_parse_is_refused_all_the_same() -> None:
    assert "nested deeper than 64 levels" in problem("[" * 200 + "]" * 200)


@given(JSON)
def test_no_json_makes_a_traceback(tree: object) -> None:
    with pytest.raises(UserError):
        Record.from_tree(tree)


@given(RECORDS, JSON)
def test_no_value_of_any_key_makes_a_traceback(given_record: Record, value: object) -> None:
    for key in given_record.to_tree():
        try:
            Record.from_tree(given_record.to_tree() | {key: value})
        except UserError as error:
            assert "\n" not in str(error)


def test_families_are_a_set_because_their_order_means_nothing() -> None:
    assert frozenset({"sdpa-flash", "sdpa-math"}) == record(evidence={"families": ["sdpa-math", "sdpa-flash"]}).families


@pytest.mark.parametrize("evidence", [{}, {"families": "sdpa-flash"}, {"families": [1]}])
def test_evidence_without_a_list_of_families_has_none(evidence: dict[str, object]) -> None:
    assert record(evidence=evidence).families is None
