"""What the assertions about quantized models say of a real one, and of one that something was done to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fixtures.builders.bitsandbytes import QuantizedBuilt, build
from fixtures.cells import Cells
from fixtures.checkpoints import materialize
from fixtures.findings import Finding
from fixtures.measure import Measurement
from fixtures.quantization import judgement
from fixtures.quantization.judgement import holds_quantized_layers, quantizes_what_it_should, stores_the_nearest_codes
from fixtures.quantization.layers import quantized_modules
from fixtures.quantization.reference import QuantizedReferences
from matrix.cell import Check
from matrix.expand import checks
from matrix.load import load_matrix

CORRECT = "bnb-nf4/llama-tiny/bf16/cpu::correct[prefill-short]"


@pytest.fixture(scope="module")
def check() -> Check:
    return next(check for check in checks(load_matrix(), "cpu", "quick") if check.id == CORRECT)


@pytest.fixture(scope="module")
def built(check: Check, tmp_path_factory: pytest.TempPathFactory) -> Iterator[QuantizedBuilt]:
    """nf4 of the tiny Llama."""
    with torch.inference_mode():
        yield build(check.cell, materialize(check.cell.model, tmp_path_factory.mktemp("checkpoints")), "cpu")


@pytest.fixture
def references(tmp_path: Path) -> QuantizedReferences:
    return QuantizedReferences(Cells(tmp_path))


def test_a_layer_that_is_quantized_on_disk_alone_is_found(
    check: Check, built: QuantizedBuilt, monkeypatch: pytest.MonkeyPatch
) -> None:
    quantizes_what_it_should(built, Measurement(check))
    lost, *_ = sorted(quantized_modules(built.model))
    monkeypatch.setattr(judgement, "quantized_modules", lambda model: quantized_modules(model).keys() - {lost})
    with pytest.raises(Finding, match=f"has 13 quantized layers, 14 must be: without {lost}") as raised:
        quantizes_what_it_should(built, Measurement(check))

    assert "other-layers-loaded" == raised.value.code


def test_a_model_without_a_quantized_layer_passes_nothing() -> None:
    model: Any = SimpleNamespace(model=torch.nn.Sequential(torch.nn.Linear(2, 2)))
    with pytest.raises(Finding, match="no layer of the model is quantized"):
        holds_quantized_layers(model)


def test_layers_that_are_not_stored_hide_nothing_of_the_others(
    check: Check, built: QuantizedBuilt, references: QuantizedReferences
) -> None:
    first, *others = references.stored(built)
    kept = {name: references.stored(built)[name] for name in others}
    references._stored[str(built.stored)] = kept
    with pytest.raises(Finding, match=f"{first} is not stored as nf4; 13 layers are"):
        stores_the_nearest_codes(built, references, Measurement(check))
    last = others[-1]
    spoilt = SimpleNamespace(codes=kept[last].codes[:, :-1], scales=kept[last].scales)
    references._stored[str(built.stored)] = kept | {last: spoilt}  # type: ignore[dict-item]
    with pytest.raises(Finding, match=f"{last}: the stored matrix is"):
        stores_the_nearest_codes(built, references, Measurement(check))


def test_a_defect_of_attention_widens_no_tolerance(
    check: Check, built: QuantizedBuilt, references: QuantizedReferences, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Emulations, exact and rounded, have the attention of the cell."""
    assert check.workload is not None
    right = references.scale(built, check.workload)
    attention = torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(
        torch.nn.functional, "scaled_dot_product_attention", lambda *given, **named: attention(*given, **named) / 2
    )
    wrong = QuantizedReferences(references.cells).scale(built, check.workload)

    assert wrong.rms < 2 * right.rms
    assert built.configured == references.exact(built).configured
