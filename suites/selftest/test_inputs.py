"""Tokens are the same in every release and every workload, and padding is where it was asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.inputs import pad, padding_token, row, rows
from matrix.load import load_models, load_workloads
from suites.selftest.samples import model, workload

MODELS = {name: entry for name, entry in load_models().items() if entry.task != "call"}
ROWS = st.lists(st.integers(1, 9).map(lambda length: np.arange(1, length + 1)), min_size=1, max_size=4).map(tuple)
SIDES = st.sampled_from(["none", "left", "right"])


def special(**config: Any) -> set[int]:
    """Ordinary-looking tokens that a row of a small vocabulary leaves out."""
    small = model(config={"vocab_size": 8} | config)
    return set(range(8)) - set(row(small, 0, 2000).tolist())


def test_a_row_is_the_same_bits_in_every_release() -> None:
    """Errors are compared with those that were recorded under other versions."""
    assert [67, 254, 117, 278, 31] == row(MODELS["llama-tiny"], 0, 5).tolist()


@given(st.integers(0, 9), st.integers(1, 60), st.integers(0, 60))
def test_a_shorter_row_is_a_prefix_of_a_longer_one(index: int, length: int, more: int) -> None:
    longer = row(model(), index, length + more)

    np.testing.assert_array_equal(longer[:length], row(model(), index, length))


def test_rows_of_different_index_differ() -> None:
    assert 10 == len({row(model(), index, 20).tobytes() for index in range(10)})


@pytest.mark.parametrize("name", MODELS)
def test_no_row_holds_a_token_that_the_library_treats_specially(name: str) -> None:
    """A padding token inside a row would be masked, an end token would end it."""
    config = MODELS[name].config
    named = {config[key] for key in ("pad_token_id", "bos_token_id", "eos_token_id") if key in config}

    assert set() == named & set(row(MODELS[name], 0, 5000).tolist())


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, set()),
        ({"pad_token_id": 3}, {3}),
        ({"pad_token_id": None, "eos_token_id": 2}, {2}),
        ({"eos_token_id": [1, 5, 6], "bos_token_id": 0}, {0, 1, 5, 6}),
        ({"pad_token_id": -1}, set()),
    ],
)
def test_real_checkpoints_name_no_one_or_several_special_tokens(config: dict[str, Any], expected: set[int]) -> None:
    """Llama 3 ends at one of three tokens and has no padding token."""
    assert expected == special(**config)


@pytest.mark.parametrize(("config", "expected"), [({"pad_token_id": 7}, 7), ({"pad_token_id": None}, 0), ({}, 0)])
def test_a_model_without_a_padding_token_is_padded_with_the_first_one(config: dict[str, Any], expected: int) -> None:
    assert expected == padding_token(model(config={"vocab_size": 8} | config))


@pytest.mark.parametrize(
    ("schedule", "steps", "expected"), [("prefill", 0, [7, 3]), ("decode", 4, [11, 7]), ("generate", 4, [7, 3])]
)
def test_teacher_forced_steps_follow_the_prompt_and_generated_ones_do_not(
    schedule: str, steps: int, expected: list[int]
) -> None:
    asked = workload(schedule=schedule, steps=steps, lengths=(7, 3), padding="left")

    assert expected == [len(tokens) for tokens in rows(model(), asked)]


@pytest.mark.parametrize("name", MODELS)
def test_no_workload_is_longer_than_a_model_accepts(name: str) -> None:
    config = MODELS[name].config
    room = config.get("max_position_embeddings") or config["n_positions"]

    assert room >= max(entry.longest for entry in load_workloads().values() if not entry.timed)


# padding


def test_a_batch_is_padded_on_the_left() -> None:
    batch = pad((np.array([5, 6, 7]), np.array([8])), "left", 9)

    assert [[5, 6, 7], [9, 9, 8]] == batch.tokens.tolist()
    assert [[1, 1, 1], [0, 0, 1]] == batch.mask.tolist()
    assert [[0, 1, 2], [0, 0, 0]] == batch.positions.tolist()


def test_a_batch_is_padded_on_the_right() -> None:
    batch = pad((np.array([5, 6, 7]), np.array([8, 4])), "right", 9)

    assert [[5, 6, 7], [8, 4, 9]] == batch.tokens.tolist()
    assert [[1, 1, 1], [1, 1, 0]] == batch.mask.tolist()
    assert [[0, 1, 2], [0, 1, 0]] == batch.positions.tolist()


@given(ROWS, SIDES)
def test_real_tokens_and_their_positions_come_back_from_a_batch(given_rows: tuple[Any, ...], side: str) -> None:
    batch = pad(given_rows, side, 0)

    for index, tokens in enumerate(given_rows):
        real = batch.mask[index] == 1
        np.testing.assert_array_equal(tokens, batch.tokens[index][real])
        np.testing.assert_array_equal(np.arange(len(tokens)), batch.positions[index][real])


@given(ROWS, SIDES)
def test_a_batch_is_padded_when_its_rows_differ_in_length(given_rows: tuple[Any, ...], side: str) -> None:
    assert (len({len(tokens) for tokens in given_rows}) > 1) == pad(given_rows, side, 0).padded
