"""Every feature of every generated model shows in its logits, far above the tolerance that guards it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from fixtures.sensitivity import Sensitivity, distortions, guarding_dtypes
from matrix.load import load_models

# Others are never judged by their logits, or were not generated for it.
JUDGED = ({"*"}, {"eager"})
MODELS = {
    name: model
    for name, model in load_models().items()
    if model.task != "call" and model.purpose != "latency" and any(judged <= set(model.configurations) for judged in JUDGED)
}
TIMES = 10  # a fault moves the logits at least so many times the tolerance
CASES = [
    (name, distortion, dtype)
    for name, model in MODELS.items()
    for distortion in distortions(model)
    for dtype in guarding_dtypes(distortion)
]


@pytest.fixture(scope="module")
def sensitivity(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Sensitivity]:
    folder = tmp_path_factory.mktemp("checkpoints")
    return cache(lambda name: Sensitivity(MODELS[name], folder))


@pytest.mark.parametrize(("name", "distortion", "dtype"), CASES)
def test_a_distorted_feature_moves_the_logits_ten_times_the_tolerance(
    sensitivity: Callable[[str], Sensitivity], name: str, distortion: str, dtype: str
) -> None:
    """A fault that moves the logits less could hide inside the tolerance, or beside the rounding of another release."""
    moved, limit = sensitivity(name).moved(distortion), sensitivity(name).limit(dtype)

    assert moved.rms >= TIMES * limit.rms
    assert moved.worst >= TIMES * limit.worst


@pytest.mark.parametrize("name", MODELS)
def test_every_feature_that_the_oracle_can_distort_is_judged(sensitivity: Callable[[str], Sensitivity], name: str) -> None:
    """A feature that models.toml forgets to list would not be proven to matter."""
    expected = sensitivity(name).oracle.distortions
    actual = frozenset(distortions(MODELS[name]))

    assert expected == actual
