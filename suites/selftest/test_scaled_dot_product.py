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
