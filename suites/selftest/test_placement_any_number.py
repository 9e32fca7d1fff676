"""Any number of GPUs: what the library's planner makes of each, and what is found of it."""

from __future__ import annotations

from typing import Any

import pytest

from fixtures.placement.asked import Asked, asked_of
from fixtures.placement.judgement import of_limits, of_log, of_map, of_order
from fixtures.placement.plan import device_map, max_memory, promise
from matrix.cell import Cell
from suites.selftest.planner import PLACED, PLENTY, SDPA, bones, many, planned, planned_bytes

__all__ = ["bones"]


@pytest.mark.parametrize("gpus", [3, 8, 16])
def test_what_two_gpus_promise_many_keep(gpus: int, bones: Any) -> None:
    """Whatever is asked for; some of many GPUs get nothing of a small model, which the library logs and nobody misses."""
    for cell in PLACED:
        model, quantizes, skeleton = bones(cell)
        asked = asked_of(cell.configuration)
        given, limits = device_map(asked, skeleton, "cuda"), max_memory(asked, skeleton, quantized=quantizes is not None)
        map, said = planned(model, given, dict(limits or many(gpus)), quantizes)
        wanted = promise(asked, given, limits or {}, skeleton, gpus)
        found = [
            *of_log(said, wanted, "cuda", used=set(map.values())),
            *of_map(map, skeleton, wanted, "cuda"),
            *of_order(map, skeleton, asked, limits or {}, gpus, quantized=quantizes is not None),
        ]

        assert (cell.id, []) == (cell.id, [str(finding) for finding in found])


@pytest.mark.parametrize("gpus", [2, 3, 4, 8])
@pytest.mark.parametrize("word", ["auto", "balanced", "balanced_low_0"])
@pytest.mark.parametrize("cell", SDPA, ids=lambda cell: cell.model.name)
def test_a_model_of_which_one_gpu_got_nearly_all_is_found(cell: Cell, word: str, gpus: int, bones: Any) -> None:
    """On the first of those that share it; of two GPUs of which the first is to be spared there is one alone."""
    *_, skeleton = bones(cell)
    first = int(word == "balanced_low_0")
    asked = Asked(device_map=word, uses=("other-gpus",) if first else ("gpus",), room={})
    lopsided: dict[str, Any] = dict.fromkeys(skeleton.modules, first) | {skeleton.modules[-1]: gpus - 1}
    found = [finding.code for finding in of_order(lopsided, skeleton, asked, {}, gpus, quantized=False)]

    assert (["unbalanced"] if gpus - first > 1 else []) == found


@pytest.mark.parametrize("cell", SDPA, ids=lambda cell: cell.model.name)
@pytest.mark.parametrize("room", [{}, {0: 0.4, 1: 0.4, 2: 0.9}], ids=["auto", "max-memory"])
def test_the_library_plans_what_is_promised_of_three_gpus(cell: Cell, room: dict[Any, float], bones: Any) -> None:
    """And one of them that gets nothing is missed, where the library had to use it."""
    model, _, skeleton = bones(cell)
    asked = Asked(device_map="auto", uses=("gpus",), room=room)
    limits = max_memory(asked, skeleton, quantized=False) or {}
    map, _ = planned(model, "auto", limits or {**PLENTY, 2: 10**11})
    wanted = promise(asked, "auto", limits, skeleton, 3)
    without = {name: 1 if place == 2 else place for name, place in map.items()}
    missed = [finding.code for finding in of_map(without, skeleton, wanted, "cuda")]

    assert [] == list(of_map(map, skeleton, wanted, "cuda"))
    assert [] == list(of_order(map, skeleton, asked, limits, 3, quantized=False))
    assert [] == list(of_limits(planned_bytes(skeleton, map), limits))
    assert (["other-places"] if room or cell.model.name == "llama-deep-tiny" else []) == missed


@pytest.mark.parametrize("gpus", [2, 4, 6, 8])
@pytest.mark.parametrize("cell", SDPA, ids=lambda cell: cell.model.name)
def test_nothing_lies_further_than_it_must_on_any_number_of_gpus(cell: Cell, gpus: int, bones: Any) -> None:
    """And everything but the embedding on the last GPU does, where a block fits into a GPU's share."""
    model, _, skeleton = bones(cell)
    asked = Asked(device_map="auto", uses=("gpus",), room={})
    map, _ = planned(model, "auto", many(gpus))
    lopsided = {skeleton.modules[0]: 0} | dict.fromkeys(skeleton.modules[1:], gpus - 1)
    found = [finding.code for finding in of_order(lopsided, skeleton, asked, {}, gpus, quantized=False)]

    assert [] == list(of_order(map, skeleton, asked, {}, gpus, quantized=False))
    assert ["further-than-needed"] == found or (cell.model.name, gpus) not in [("llama-deep-tiny", many) for many in (2, 4, 6)]
