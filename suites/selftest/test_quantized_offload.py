"""What is said of a model of which a block stays on the CPU, and of one that something was done to.

Offloading needs a GPU. Here the device that computes is the CPU as well: the block is handed to accelerate's hooks, which hold
it apart and fetch it when it is needed, as they do on a GPU.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from fixtures.builders import bitsandbytes
from fixtures.builders.bitsandbytes import QuantizedBuilt
from fixtures.cells import Cells
from fixtures.checkpoints import materialize
from fixtures.findings import Finding
from fixtures.measure import Measurement
from fixtures.quantization.dispatch import feeding
from fixtures.quantization.judgement import needs_what_its_format_implies, quantizes_what_it_should, stores_the_nearest_codes
from fixtures.quantization.layers import quantized_modules
from fixtures.quantization.method import Method, method_of
from fixtures.quantization.observation import layers_compute_what_is_stored
from fixtures.quantization.reference import QuantizedReferences
from matrix.cell import PLATFORMS, Cell
from matrix.expand import checks
from matrix.load import load_matrix

BLOCK = "model.layers.1"
WEIGHT = f"{BLOCK}.mlp.up_proj.weight"
CELL = "bnb-int8-offload/llama-tiny/bf16/cuda"
CHECKS = {check.id.removeprefix(f"{CELL}::"): check for check in checks(load_matrix(), "cuda", "full") if check.cell.id == CELL}


def nothing(held: Any) -> None:
    """Leaves it as it is."""


@pytest.fixture(scope="module")
def cell() -> Cell:
    return dataclasses.replace(CHECKS["builds"].cell, platform="cpu")


@pytest.fixture(scope="module")
def checkpoint(cell: Cell, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return materialize(cell.model, tmp_path_factory.mktemp("checkpoints"))


def split(
    monkeypatch: pytest.MonkeyPatch,
    cell: Cell,
    checkpoint: Path,
    blocks: tuple[str, ...],
    prepare: Callable[[Any], object] = nothing,
    drop: Callable[[dict[str, Any]], object] = nothing,
) -> QuantizedBuilt:
    """The cell with blocks taken away; ``prepare`` is done to the model before, and ``drop`` to what is held after that."""
    load = bitsandbytes.load

    def loading(cell: Cell, folder: Path, method: Method | None, device: str) -> Any:
        if method is None or not method.offloaded:
            return load(cell, folder, method, device)
        model = bitsandbytes.in_one_place(cell, folder, method, device)
        prepare(model)
        drop(taken_away(model, blocks))
        return model

    with monkeypatch.context() as patched:
        patched.setattr(bitsandbytes, "load", loading)
        return bitsandbytes.build(cell, checkpoint, "cpu")


@pytest.fixture
def make(cell: Cell, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., QuantizedBuilt]]:
    """Builds the cell with its block taken away, or other ones."""

    def build(blocks: tuple[str, ...] = (BLOCK,), **changes: Any) -> QuantizedBuilt:
        return split(monkeypatch, cell, checkpoint, blocks, **changes)

    with torch.inference_mode():
        yield build


def taken_away(model: Any, blocks: tuple[str, ...]) -> dict[str, Any]:
    """What accelerate's dispatch_model does of a block that its map leaves on the CPU; returns what the hooks take it from."""
    from accelerate.hooks import attach_align_device_hook
    from accelerate.utils import OffloadedWeightsLoader, extract_submodules_state_dict

    state: dict[str, Any] = extract_submodules_state_dict(model.state_dict(), list(blocks))
    for block in blocks:
        attach_align_device_hook(
            model.get_submodule(block), execution_device="cpu", offload=True, module_name=block,
            weights_map=OffloadedWeightsLoader(state_dict=state),
        )  # fmt: skip
    return state


@pytest.fixture
def references(tmp_path: Path) -> QuantizedReferences:
    return QuantizedReferences(Cells(tmp_path))


def builds(built: QuantizedBuilt) -> Measurement:
    measure = Measurement(CHECKS["builds"])
    quantizes_what_it_should(built, measure)
    return measure


def footprint(built: QuantizedBuilt) -> Measurement:
    measure = Measurement(CHECKS["footprint"])
    needs_what_its_format_implies(built, measure)
    return measure


def layers(built: QuantizedBuilt, references: QuantizedReferences, phase: str) -> Measurement:
    measure = Measurement(CHECKS[f"layers[{phase}]"])
    layers_compute_what_is_stored(built, references, feeding(built, phase), measure)
    return measure


def test_on_the_cpu_there_is_no_split(cell: Cell, checkpoint: Path) -> None:
    """What is mapped to the CPU is left as it is, in the dtype of the model: that is all of it where there is nothing else."""
    model = bitsandbytes.load(cell, checkpoint, method_of(cell.configuration), "cpu")

    assert ({}, {torch.bfloat16}) == (quantized_modules(model), {parameter.dtype for parameter in model.parameters()})


def test_what_is_left_on_the_cpu_is_listed_and_counted_apart(
    make: Callable[..., QuantizedBuilt], references: QuantizedReferences
) -> None:
    built = make()
    seen, sizes = builds(built).seen, footprint(built).bytes
    stores_the_nearest_codes(built, references, Measurement(CHECKS["weights"]))

    assert (7, 7, 9) == (seen["quantized"], len(seen["kept"]), len(seen["on_cpu"]))
    assert all(name.startswith(f"{BLOCK}.") for name in (*seen["kept"], *seen["on_cpu"]))
    assert sizes["footprint@cpu"] == sizes["implied@cpu"] < sizes["footprint"]


@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_quantized_layers_before_what_is_offloaded_are_judged(
    phase: str, make: Callable[..., QuantizedBuilt], references: QuantizedReferences
) -> None:
    built = make()
    measure = layers(built, references, phase)

    assert 0 < measure.figures["bound_used"] < 1
    assert (7, 7) == (measure.seen["calls"], len(references.stored(built)))


def test_scales_of_another_row_are_found_in_its_layers(
    make: Callable[..., QuantizedBuilt], references: QuantizedReferences
) -> None:
    def rolled(model: Any) -> None:
        weight = model.model.layers[0].mlp.up_proj.weight
        weight.SCB = weight.SCB.roll(1, 0)

    with pytest.raises(Finding, match=r"1 of \d+ calls .* model\.layers\.0\.mlp\.up_proj is furthest off"):
        layers(make(prepare=rolled), references, "prefill")


def test_a_tensor_that_nothing_holds_is_missing_on_the_cpu(make: Callable[..., QuantizedBuilt]) -> None:
    built = make(drop=lambda state: state.pop(WEIGHT))
    with pytest.raises(Finding, match=rf"8 tensors are kept on the CPU, 9 must be: without {WEIGHT}, besides none"):
        builds(built)
    with pytest.raises(Finding, match="its format implies"):
        footprint(built)


def test_what_should_not_be_on_the_cpu_is_named(make: Callable[..., QuantizedBuilt]) -> None:
    built = make(blocks=(BLOCK, "model.norm"))
    with pytest.raises(Finding, match=r"10 tensors are kept on the CPU, 9 must be: without none of them, besides model\.norm"):
        builds(built)


def test_a_block_that_stays_where_it_is_computed_is_found(make: Callable[..., QuantizedBuilt]) -> None:
    """Each byte is there, in the wrong place."""
    built = make(blocks=())
    with pytest.raises(Finding, match=r"0 tensors are kept on the CPU, 9 must be"):
        builds(built)
    with pytest.raises(Finding, match=r"on the CPU it holds 0 bytes, its format implies [\d,]+: -100\.0%"):
        footprint(built)


def test_a_block_in_fp32_is_found(make: Callable[..., QuantizedBuilt]) -> None:
    """As the name of the option would have it."""
    built = make(prepare=lambda model: model.get_submodule(BLOCK).float())
    with pytest.raises(Finding, match=r"9 tensors are not where or what they should be: model\.layers\.1\..* \(torch.float32"):
        builds(built)
    with pytest.raises(Finding, match="its format implies"):
        footprint(built)


def test_a_block_that_is_quantized_all_the_same_is_found(make: Callable[..., QuantizedBuilt]) -> None:
    def quantized(model: Any) -> None:
        model.get_submodule(BLOCK).mlp.up_proj = copy.deepcopy(model.model.layers[0].mlp.up_proj)

    with pytest.raises(Finding, match=r"has 8 quantized layers, 7 must be: .* besides model\.layers\.1\.mlp\.up_proj"):
        builds(make(prepare=quantized, blocks=()))


# Of other architectures: the block that is kept on the CPU, and layers that are quantized and that are not.
BLOCKS = {"gpt2-tiny": ("transformer.h.1", 4, 4), "gemma2-tiny": (BLOCK, 7, 7),
          "distilbert-tiny": ("distilbert.transformer.layer.1", 8, 6)}  # fmt: skip


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_of_other_architectures_can_stay_on_the_cpu(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, references: QuantizedReferences
) -> None:
    """Each has its own among the blocks that the configuration names."""
    block, quantized, kept = BLOCKS[name]
    planned = {check.what: check for check in checks(load_matrix(), "cuda", "full")
               if check.cell.id == f"bnb-int8-offload/{name}/bf16/cuda"}  # fmt: skip
    cell = dataclasses.replace(planned["builds"].cell, platform="cpu")
    builds, layers = Measurement(planned["builds"]), Measurement(planned["layers[prefill]"])
    with torch.inference_mode():
        built = split(monkeypatch, cell, materialize(cell.model, tmp_path), (block,))
        quantizes_what_it_should(built, builds)
        needs_what_its_format_implies(built, Measurement(planned["footprint"]))
        layers_compute_what_is_stored(built, references, feeding(built, "prefill"), layers)

    assert (quantized, kept) == (builds.seen["quantized"], len(builds.seen["kept"]))
    assert quantized == layers.seen["calls"]


def test_the_cells_that_offload_are_of_gpus_alone() -> None:
    planned = {platform: kinds(platform) for platform in PLATFORMS}
    expected = {"builds", "footprint", "weights", "layers", "correct", "dispatch", "quality"}

    assert {"cpu": set(), "cuda": expected, "rocm": expected} == planned


def kinds(platform: str) -> set[str]:
    planned = checks(load_matrix(), platform, "full")
    return {check.kind for check in planned if check.cell.configuration.name == "bnb-int8-offload"}
