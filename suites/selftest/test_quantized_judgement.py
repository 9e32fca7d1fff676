"""What the assertions about quantized models say of a real one, and of one that something was done to."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from packaging.version import Version

from fixtures import transformers_api
from fixtures.builders.bitsandbytes import QuantizedBuilt, build
from fixtures.cells import Cells
from fixtures.checkpoints import materialize
from fixtures.findings import Finding
from fixtures.measure import Measurement
from fixtures.quantization import judgement
from fixtures.quantization.format import FourBit
from fixtures.quantization.judgement import (
    holds_quantized_layers,
    needs_what_its_format_implies,
    quantizes_what_it_should,
    stores_the_nearest_codes,
)
from fixtures.quantization.layers import linear_layers, quantized_modules, to_quantize
from fixtures.quantization.method import method_of
from fixtures.quantization.reference import QuantizedReferences
from fixtures.quantization.stored import quantized, raw
from matrix.cell import Check
from matrix.expand import cells, checks
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


@pytest.mark.parametrize("known", [False, True])
def test_layers_that_are_known_to_be_missing_hide_nothing(
    check: Check, built: QuantizedBuilt, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    """All that is wrong is said at once, and of missing layers in words that no known failure has."""
    extra, *_ = sorted(quantized(raw(built.stored)))
    whole = judgement.to_quantize

    def altered(shapes: Any, method: Any) -> Any:
        return {"model.absent": (1, 1)} | {
            name: shape for name, shape in whole(shapes, method).items() if known or name != extra
        }

    monkeypatch.setattr(judgement, "to_quantize", altered)
    with pytest.raises(Finding) as raised:
        quantizes_what_it_should(built, Measurement(check))

    assert known == ("linear layers were left in full precision: model.absent" in str(raised.value))
    if not known:
        assert f"1 layers are quantized that should not be: {extra}; " in str(raised.value)
        assert "besides model.layers" in str(raised.value)
        assert str(raised.value).endswith("and 1 of 14 linear layers are not quantized")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"storage": "bfloat16"}, "14 layers are stored as U8, BF16 was asked for"),
        ({"skipped": ("lm_head",)}, "of the modules that are skipped the model has none that would be quantized: lm_head"),
    ],
)
def test_what_was_asked_for_and_not_done_is_named(
    check: Check, built: QuantizedBuilt, change: dict[str, Any], message: str
) -> None:
    asked = dataclasses.replace(built, method=dataclasses.replace(built.method, **change))
    with pytest.raises(Finding, match=message):
        quantizes_what_it_should(asked, Measurement(check))


@pytest.mark.parametrize("release", ["4.57.6", "5.0.0", "5.23.0"])
def test_modules_that_are_skipped_are_in_every_model(release: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """... and would be quantized, those that a release leaves out by itself not counted."""
    monkeypatch.setattr(transformers_api, "version", lambda: Version(release))
    for cell in cells(load_matrix(), "cpu", "full"):
        method = method_of(cell.configuration) if cell.configuration.name.endswith("-skip-modules") else None
        if method is None:
            continue
        shapes = {name: values.shape for name, (_, values) in raw(materialize(cell.model, tmp_path)).items()}
        usual = {name for name in linear_layers(shapes) if ".experts." not in name}

        assert usual - set(to_quantize(shapes, method)), cell.id


def test_a_model_without_a_quantized_layer_passes_nothing() -> None:
    model: Any = SimpleNamespace(model=torch.nn.Sequential(torch.nn.Linear(2, 2)))
    with pytest.raises(Finding, match="no layer of the model is quantized"):
        holds_quantized_layers(model)


@pytest.mark.parametrize(("more", "said"), [(0, "which explains it"), (1 << 20, r"with which it would be [\d,]+$")])
def test_layers_that_are_known_to_be_missing_do_not_explain_any_size(
    check: Check, built: QuantizedBuilt, monkeypatch: pytest.MonkeyPatch, more: int, said: str
) -> None:
    whole = 2 * sum(values.size for _, values in raw(built.original).values())
    monkeypatch.setattr(judgement, "quantized", lambda tensors: {})

    with pytest.raises(Finding, match=f"its format implies .* 14 layers were left in full precision, {said}"):
        needs_what_its_format_implies(dataclasses.replace(built, footprint=whole + more), Measurement(check))


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


def test_blocks_of_another_size_are_no_format(check: Check, built: QuantizedBuilt, references: QuantizedReferences) -> None:
    first, *_ = references.stored(built)
    layer = references.stored(built)[first]
    assert isinstance(layer, FourBit)
    references._stored[str(built.stored)] = {first: dataclasses.replace(layer, block=128)}
    with pytest.raises(Finding, match=f"{first}: 128 weights share a scale, 64 of nf4 do"):
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
