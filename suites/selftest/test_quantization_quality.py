"""The trained model has learned its language, has outliers, and was made by the script that says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures.cells import Cells
from fixtures.checkpoints import recall, trained_llama, training
from fixtures.quantization.quality import quality
from matrix.cell import TRAINED, Model
from matrix.load import load_models

MODEL: Model = load_models()[TRAINED]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return Cells(tmp_path_factory.mktemp("checkpoints")).baseline(MODEL, "fp32", "cpu", "cpu")


def test_the_weights_are_small() -> None:
    assert trained_llama.PATH.stat().st_size < 1_000_000


def test_lines_are_the_same_under_every_numpy() -> None:
    expected = b"s8k0a0d6o6q7z5m8f5j9c3h7p5w2x4t9;j9p5k0m8o6h7t9s8a0q7x4d6w2z5c3f5\n"

    assert expected == bytes(recall.lines(1, 1)[0].astype(np.uint8))


def test_the_second_half_of_a_line_can_be_known_from_the_first() -> None:
    for line in recall.lines(2, 20):
        told, asked = (bytes(half.astype(np.uint8)) for half in (line[: recall.TURN], line[recall.TURN + 1 : -1]))

        assert {told[at : at + 2] for at in range(0, len(told), 2)} == {asked[at : at + 2] for at in range(0, len(asked), 2)}


def test_the_model_recalls_what_it_was_told(built: Any) -> None:
    """A model that predicts nothing could lose nothing."""
    measured = quality(built)

    assert measured.recalled > 0.99
    assert measured.perplexity == pytest.approx(4.39, abs=0.01)


def test_without_what_it_was_told_it_could_not_know(built: Any) -> None:
    """A digit is one of ten, the likeliest of a letter comes half of the time: chance recalls at most half."""
    lines = recall.lines(1, 64)
    places = range(recall.LENGTH)[recall.ANSWERS]
    chance = np.mean([np.bincount(lines[:, at]).max() / len(lines) for at in places])

    assert chance < 0.5


def test_activations_have_outliers_in_the_same_few_columns(built: Any) -> None:
    """As LLM.int8() was made for: of all rows, in the same dimensions."""
    import torch

    inputs: list[Any] = []
    layer = built.model.model.layers[1].self_attn.q_proj
    handle = layer.register_forward_pre_hook(lambda module, given: inputs.append(given[0].reshape(-1, given[0].shape[-1])))
    built.model(input_ids=torch.from_numpy(recall.lines(1, 8)[:, :-1]))
    handle.remove()
    beyond = (inputs[0].abs() >= 6).float().mean(dim=0)

    assert set(training.OUTLIERS) == set(beyond.nonzero().flatten().tolist())
    assert beyond[list(training.OUTLIERS)].min() > 0.5


def test_outliers_do_not_change_what_the_model_computes() -> None:
    """A power of two moves from the weights to the norm; no bit of the product changes."""
    import torch

    names = ["layers.0.input_layernorm", *(f"layers.0.self_attn.{name}_proj" for name in "qkv")]
    weights = {f"{name}.weight": torch.randn(128) if "norm" in name else torch.randn(64, 128) for name in names}
    before = weights["layers.0.self_attn.q_proj.weight"] * weights["layers.0.input_layernorm.weight"]

    changed = training.with_outliers(weights)

    assert torch.equal(before, changed["layers.0.self_attn.q_proj.weight"] * changed["layers.0.input_layernorm.weight"])


def test_training_writes_weights_of_the_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A few steps: that the whole training gives these weights is a quarter of an hour."""
    monkeypatch.setattr(training, "PATH", tmp_path / "trained.safetensors")
    monkeypatch.setattr(training, "STEPS", 2)
    monkeypatch.setattr(training.train, "__defaults__", (2,))
    training.main()
    monkeypatch.setattr(trained_llama, "PATH", tmp_path / "trained.safetensors")

    assert set(trained_llama.tensors({}, None)) == EXPECTED  # type: ignore[arg-type]


EXPECTED = set(trained_llama.tensors({}, None))  # type: ignore[arg-type]
