"""Time limits come from the matrix, and no file of them makes a traceback."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix.cell import CHECKS, TIERS
from matrix.errors import UserError
from matrix.limits import load_limits, seconds
from suites.selftest.samples import VALUES, check, model, toml

SMALLEST: dict[str, Any] = {"version": 1, "limit": {"default": {"quick": 1, "full": 2, "headline": 3}}}


def loaded(document: dict[str, Any]) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "limits.toml"
        path.write_text(toml(document), encoding="utf-8")
        return load_limits(path)


def test_every_planned_check_has_a_limit() -> None:
    limits = load_limits()

    assert all(seconds(check(kind, of=model(tier=tier)), limits) > 0 for kind in CHECKS for tier in TIERS)


@pytest.mark.parametrize(("changes", "expected"), [({"tier": "full"}, 2), ({"config": {"checkpoint": "gpt2"}}, 3)])
def test_the_limit_is_that_of_the_models_tier(changes: dict[str, Any], expected: int) -> None:
    """A checkpoint on the command line is of any size."""
    assert expected == seconds(check(of=model(**changes)), loaded(SMALLEST))


def test_a_kind_of_check_may_have_a_limit_of_its_own() -> None:
    own = {"default": SMALLEST["limit"]["default"], "calls": {"quick": 7, "full": 8, "headline": 9}}
    limits = loaded(SMALLEST | {"limit": own})

    assert [7, 1] == [seconds(check(kind), limits) for kind in ("calls", "correct")]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"version": 1}, "limits.toml: limit is missing"),
        ({"version": 1, "limit": {"calls": SMALLEST["limit"]["default"]}}, "limit has no 'default'"),
        ({"version": 1, "limit": {"default": {"quick": 1, "full": 2}}}, "limit.default.headline is missing"),
        ({"version": 1, "limit": {"default": {"quick": 0, "full": 2, "headline": 3}}}, "limit.default.quick is 0"),
        ({"version": 1, "limit": {"default": {"quick": 1.5, "full": 2, "headline": 3}}}, "limit.default.quick is a float"),
        ({"version": 1, "limit": {**SMALLEST["limit"], "cals": SMALLEST["limit"]["default"]}}, "limit holds 'cals'"),
        ({**SMALLEST, "limits": {}}, "limits is an unknown key"),
        ({**SMALLEST, "version": 2}, "version is 2"),
    ],
)
def test_a_malformed_file_is_one_line(document: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError, match=expected) as raised:
        loaded(document)

    assert "\n" not in str(raised.value)


@given(st.dictionaries(st.sampled_from(["version", "limit", "x"]), VALUES | st.just(SMALLEST["limit"]), max_size=3))
def test_no_document_makes_a_traceback(document: dict[str, Any]) -> None:
    try:
        loaded(document)
    except UserError as error:
        assert "\n" not in str(error)
