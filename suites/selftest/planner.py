"""The library's planner on models without weights: what it makes of a ``device_map`` over GPUs that are not here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fixtures import transformers_api
from fixtures.builders.bitsandbytes import quantization_config
from fixtures.builders.placement import PLANNERS, method_in
from fixtures.checkpoints import materialize
from fixtures.messages import collected
from fixtures.placement.plan import Skeleton, empty, promised_place, skeleton_of
from fixtures.quantization.method import Method
from matrix.cell import Cell
from matrix.expand import cells
from matrix.load import load_matrix

MATRIX = load_matrix()
PLACED = [
    cell for cell in cells(MATRIX, "cuda", "full")
    if cell.configuration.combined[-1:] in {("sdpa",), ("bnb-int8",), ("bnb-nf4",)} and cell.dtype in ("bf16", "fp32")
    and not cell.configuration.refusals
]  # fmt: skip
PLENTY = {0: 10**11, 1: 10**11, "cpu": 10**11}
SDPA = [cell for cell in PLACED if cell.configuration.name == "device-map-auto-sdpa"]


def quantizer(model: Any, method: Method | None, name: str) -> Any:
    """What transformers quantizes a model with, its layers already those of bitsandbytes; None without a method."""
    if method is None:
        return None
    from transformers.quantizers.auto import AutoHfQuantizer

    dtype = transformers_api.torch_dtype(name)
    made = AutoHfQuantizer.from_config(quantization_config(method, dtype), pre_quantized=False)
    made.preprocess_model(model=model, dtype=dtype, device_map="auto", checkpoint_files=None, use_kernels=False)
    return made


@pytest.fixture(scope="module")
def bones(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A model without weights, its quantizer (None without one) and its skeleton."""
    folder, kept = tmp_path_factory.mktemp("checkpoints"), {}

    def made(cell: Cell) -> tuple[Any, Any, Skeleton]:
        key = cell.model.name, cell.dtype, cell.configuration.combined[-1]
        if key not in kept:
            model, method = empty(cell, materialize(cell.model, folder)), method_in(cell)
            skeleton = skeleton_of(model, method)
            kept[key] = model, quantizer(model, method, cell.dtype), skeleton
        return kept[key]

    yield made


def many(gpus: int) -> dict[Any, int]:
    return {**dict.fromkeys(range(gpus), 10**11), "cpu": 10**11}


def planned(model: Any, given: Any, limits: dict[Any, int], quantizes: Any = None) -> tuple[dict[str, Any], list[str]]:
    """The map that the library makes, and what it logs of it but for GPUs that are not here."""
    from transformers.integrations.accelerate import _get_device_map

    if isinstance(given, dict):
        return given, []
    with collected(*PLANNERS) as said:
        map = _get_device_map(model, given, limits, quantizes)
    return map, [message for message in said if not message.startswith("Device ")]


def planned_bytes(skeleton: Skeleton, map: dict[str, Any]) -> dict[Any, int]:
    held: dict[Any, int] = {}
    for name, size in skeleton.sizes.items():
        place = promised_place(name, map)
        held[place] = held.get(place, 0) + size
    return held
