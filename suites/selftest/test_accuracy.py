"""The metrics by which logits are judged: relative, without unit, and blind to nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fixtures.accuracy import FLOOR, Error, K, Logits, error, limit, worst_token
from matrix.cell import DTYPES

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 5))
LOGITS = SHAPES.flatmap(lambda shape: arrays(np.float64, shape, elements=st.floats(1, 100)))
REFERENCE = np.array([[3.0, 4.0], [0.0, 5.0]])  # every token has norm 5


def off(*distances: float) -> Logits:
    """The reference with each token moved by a distance."""
    return REFERENCE + np.array([[distance, 0.0] for distance in distances])


def test_both_metrics_are_those_of_their_definition() -> None:
    actual = error(off(0.5, 1.0), REFERENCE)

    assert (pytest.approx(np.sqrt((0.25 + 1) / 50)), pytest.approx(1 / 5)) == (actual.rms, actual.worst)


@given(LOGITS)
def test_logits_are_not_off_from_themselves(logits: Logits) -> None:
    assert Error(rms=0.0, worst=0.0) == error(logits, logits)


@given(LOGITS, st.floats(0.01, 100))
def test_an_error_does_not_depend_on_the_scale_of_the_logits(logits: Logits, factor: float) -> None:
    usual, scaled = error(logits + 1, logits), error(factor * (logits + 1), factor * logits)

    assert (pytest.approx(usual.rms), pytest.approx(usual.worst)) == (scaled.rms, scaled.worst)


@given(LOGITS)
def test_the_worst_token_is_at_least_as_far_off_as_the_mean(logits: Logits) -> None:
    actual = error(np.sqrt(logits), logits)

    assert actual.rms <= actual.worst * (1 + 1e-12)


def test_a_single_wrong_token_among_many_shows_at_the_worst_token() -> None:
    reference = np.ones((1000, 4))
    judged = reference.copy()
    judged[500] = -1
    actual = error(judged, reference)

    assert (pytest.approx(2 / np.sqrt(1000)), pytest.approx(2)) == (actual.rms, actual.worst)
    assert 500 == worst_token(judged, reference)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_within_no_limit(value: float) -> None:
    judged = off(0.0, 0.0)
    judged[1, 1] = value

    assert not error(judged, REFERENCE).within(Error(rms=1e300, worst=1e300))
    assert 1 == worst_token(judged, REFERENCE)


def test_a_reference_that_is_not_finite_lets_nothing_pass() -> None:
    reference = off(0.0, np.nan)

    assert not error(REFERENCE, reference).within(Error(rms=1e300, worst=1e300))


@pytest.mark.parametrize(
    ("rms", "worst", "expected"),
    [
        (0.1, 0.2, True),
        (0.0, 0.0, True),
        (0.11, 0.2, False),
        (0.1, 0.21, False),
        (float("nan"), 0.0, False),
        (0.0, float("nan"), False),
    ],
)
def test_both_metrics_must_be_within_their_limit(rms: float, worst: float, expected: bool) -> None:
    assert expected == Error(rms=rms, worst=worst).within(Error(rms=0.1, worst=0.2))


def test_a_limit_that_is_not_a_number_lets_nothing_pass() -> None:
    """Eager attention that fails must not excuse every other configuration."""
    allowed = limit(Error(rms=float("nan"), worst=float("nan")), "bf16")

    assert not Error(rms=0.0, worst=0.0).within(allowed)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_limit_is_twice_eagers_own_error_above_the_rounding_of_the_dtype(dtype: str) -> None:
    actual = limit(Error(rms=0.25, worst=0.5), dtype)

    assert Error(rms=K * 0.25 + FLOOR[dtype], worst=K * 0.5 + FLOOR[dtype]) == actual


@pytest.mark.parametrize("judged", [np.ones((2, 3)), np.ones((1, 2)), np.ones(2)])
def test_logits_of_another_shape_are_not_judged(judged: Logits) -> None:
    """numpy would broadcast them."""
    with pytest.raises(ValueError, match=r"^logits have shape .*, the reference has \(2, 2\)$"):
        error(judged, REFERENCE)


@pytest.mark.parametrize("shape", [(2, 2), (0, 2)])
def test_no_error_is_relative_to_nothing(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="is zero, no error can be relative to it"):
        error(np.ones(shape), np.zeros(shape))
