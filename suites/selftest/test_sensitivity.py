"""Every feature of every generated model shows in its logits, far above the tolerance that guards it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from fixtures import accuracy, execution, inputs, oracle
from fixtures.accuracy import Error, Logits
from fixtures.cells import Cells
from fixtures.checkpoints import materialize
from matrix.cell import DTYPES, Model
from matrix.load import load_models

MODELS = {name: model for name, model in load_models().items() if model.task != "call"}
TIMES = 10  # a fault moves the logits at least so many times the tolerance
PADDING = 64  # padding tokens beside each row where their mask is taken out
LENGTHS = {"causal-lm": (160,), "sequence-classification": (32, 33, 64, 65, 128, 129)}
EDGES = ("window-plus-one", "window-minus-one")


def distortions(model: Model) -> tuple[str, ...]:
    """The model's features, and faults in its use of them that are known from practice."""
    edges = EDGES if "sliding-window" in model.features else ()
    cosines = ("rotary-bf16",) if "rotary-base" in model.features else ()
    return (*model.features, *edges, *cosines, "attention-scale-twice")


def guards(distortion: str) -> tuple[str, ...]:
    """The dtypes whose tolerance must see a distortion; in bf16 and fp16 the library itself rounds the cosines."""
    return ("fp32",) if distortion == "rotary-bf16" else DTYPES


CASES = [
    (name, distortion, dtype)
    for name, model in MODELS.items()
    for distortion in distortions(model)
    for dtype in guards(distortion)
]


class Judge:
    """Movements and tolerances of the models on one set of rows, each computed once."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.cells = folder, Cells(folder)
        self.moved, self.limit = cache(self._moved), cache(self._limit)
        self.eager, self.oracle = cache(self._eager), cache(lambda model: oracle.load(materialize(MODELS[model], folder)))

    def rows(self, model: str) -> list[inputs.Tokens]:
        return [inputs.row(MODELS[model], index, length) for index, length in enumerate(LENGTHS[MODELS[model].task])]

    def expected(self, model: str, distortion: str | None = None) -> Logits:
        without = frozenset([distortion] if distortion else [])
        padding = PADDING if distortion == "padding-mask" else 0
        judged = self.oracle(model)
        return np.vstack([judged.logits(row, without=without, padding=padding) for row in self.rows(model)])

    def _moved(self, model: str, distortion: str) -> Error:
        return accuracy.error(self.expected(model, distortion), self.expected(model))

    def _eager(self, model: str, dtype: str) -> Logits:
        built = self.cells.baseline(MODELS[model], dtype, "cpu", "cpu")
        return np.concatenate([execution.whole(built, row) for row in self.rows(model)])

    def _limit(self, model: str, dtype: str) -> Error:
        reference = self.expected(model) if dtype == "fp32" else self.eager(model, "fp32")
        return accuracy.limit(accuracy.error(self.eager(model, dtype), reference), dtype)


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Judge:
    return Judge(tmp_path_factory.mktemp("checkpoints"))


@pytest.mark.parametrize(("model", "distortion", "dtype"), CASES)
def test_a_distorted_feature_moves_the_logits_ten_times_their_tolerance(
    judge: Judge, model: str, distortion: str, dtype: str
) -> None:
    """A fault that moves the logits less could hide inside the tolerance, or beside the rounding of another release."""
    moved, limit = judge.moved(model, distortion), judge.limit(model, dtype)

    assert moved.rms >= TIMES * limit.rms
    assert moved.worst >= TIMES * limit.worst


@pytest.mark.parametrize("model", MODELS)
def test_every_feature_that_the_oracle_can_distort_is_judged(judge: Judge, model: str) -> None:
    """A feature that models.toml forgets to list would not be proven to matter."""
    expected = judge.oracle(model).distortions
    actual = frozenset(distortions(MODELS[model]))

    assert expected == actual
