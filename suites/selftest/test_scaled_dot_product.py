"""The float64 oracle of one attention call, against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fixtures.oracle.scaled_dot_product import scaled_dot_product


def test_oracle_weighs_by_hand() -> None:
    """Two keys whose scores differ by log 3 weigh 1/4 and 3/4."""
    query, key = np.array([[[[1.0]]]]), np.array([[[[0.0], [np.log(3.0)]]]])
    value = np.array([[[[4.0], [8.0]]]])

    assert scaled_dot_product(query, key, value) == pytest.approx(7.0, rel=1e-15)


def test_oracle_aligns_causal_at_the_upper_left() -> None:
    """The first of two queries sees only the first of three keys, the second two of them."""
    value = np.arange(3.0).reshape(1, 1, 3, 1)
    output = scaled_dot_product(np.zeros((1, 1, 2, 1)), np.zeros((1, 1, 3, 1)), value, is_causal=True)

    assert output.ravel().tolist() == [0.0, 0.5]


def test_oracle_gives_zero_where_no_key_is_seen() -> None:
    """A row without a key is zero, whether a bool mask, an additive one or the absence of keys made it so."""
    states = np.ones((1, 1, 2, 1))
    hidden = np.array([[False, False], [True, True]])

    assert scaled_dot_product(states, states, states, mask=hidden).ravel().tolist() == [0.0, 1.0]
    assert scaled_dot_product(states, states, states, mask=np.where(hidden, 0.0, -np.inf)).ravel().tolist() == [0.0, 1.0]
    assert scaled_dot_product(states, states[:, :, :0], states[:, :, :0]).ravel().tolist() == [0.0, 0.0]


def test_oracle_groups_neighbouring_heads() -> None:
    """Of four heads over two key heads, the first two read the first."""
    value = np.array([10.0, 20.0]).reshape(1, 2, 1, 1)
    output = scaled_dot_product(np.zeros((1, 4, 1, 1)), np.zeros((1, 2, 1, 1)), value)

    assert output.ravel().tolist() == [10.0, 10.0, 20.0, 20.0]


def test_oracle_aligns_causal_at_the_lower_right() -> None:
    """The last query sees every key, the one before it all but the last; of more queries than keys the first see none."""
    few, many = np.zeros((1, 1, 2, 1)), np.zeros((1, 1, 3, 1))
    value = np.arange(3.0).reshape(1, 1, 3, 1)
    wide = scaled_dot_product(few, many, value, is_causal=True, alignment="lower-right")
    tall = scaled_dot_product(many, few, value[:, :, :2], is_causal=True, alignment="lower-right")

    assert [0.5, 1.0] == wide.ravel().tolist()
    assert [0.0, 0.0, 0.5] == tall.ravel().tolist()


def test_oracle_counts_a_window_from_each_querys_own_place() -> None:
    """One key before and none behind: of four keys, the first of two queries has its place at the third."""
    value = np.array([1.0, 2.0, 4.0, 8.0]).reshape(1, 1, 4, 1)
    output = scaled_dot_product(np.zeros((1, 1, 2, 1)), np.zeros((1, 1, 4, 1)), value, window=(1, 0), alignment="lower-right")

    assert [3.0, 6.0] == output.ravel().tolist()


def test_oracle_leaves_a_side_of_the_window_open() -> None:
    value = np.array([1.0, 2.0, 4.0]).reshape(1, 1, 3, 1)
    states = np.zeros((1, 1, 3, 1))

    assert [7 / 3, 7 / 3, 3.0] == pytest.approx(scaled_dot_product(states, states, value, window=(1, -1)).ravel().tolist())
    assert [1.0, 1.5, 7 / 3] == pytest.approx(scaled_dot_product(states, states, value, window=(-1, 0)).ravel().tolist())


def test_oracle_bends_scores_by_the_cap() -> None:
    """A score of artanh(1/2) under a cap of 1 becomes 1/2: weights of e^(1/2) to 1."""
    query, key = np.array([[[[1.0]]]]), np.array([[[[np.arctanh(0.5)], [0.0]]]])
    value = np.array([[[[1.0], [0.0]]]])
    expected = np.exp(0.5) / (np.exp(0.5) + 1)

    assert expected == pytest.approx(scaled_dot_product(query, key, value, scale=1.0, softcap=1.0).item(), rel=1e-15)


def test_oracle_takes_distance_off_each_score_after_the_cap() -> None:
    """Slopes of log 2 and log 3 halve and third the weight of the key next to the query's own place, before and behind."""
    states = np.zeros((1, 2, 2, 1))
    value = np.array([1.0, 0.0]).reshape(1, 1, 2, 1).repeat(2, axis=1)
    output = scaled_dot_product(states, states, value, softcap=0.1, slopes=np.log([2.0, 3.0]))

    assert [2 / 3, 1 / 3, 3 / 4, 1 / 4] == pytest.approx(output.ravel().tolist(), rel=1e-15)
