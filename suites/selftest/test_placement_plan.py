"""Maps over several GPUs, planned by the library on models without weights, and what is promised of them."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from typing import Any

import pytest
import torch
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from fixtures.placement.asked import Asked, Promise, asked_of, place_of
from fixtures.placement.judgement import of_limits, of_log, of_map, of_order
from fixtures.placement.plan import (
    Skeleton,
    device_map,
    fewest,
    max_memory,
    promise,
    promised_place,
    skeleton_of,
)
from matrix.cell import Cell
from matrix.errors import UserError
from matrix.expand import cells
from matrix.expectation import Expectation
from matrix.expression import parse
from matrix.load import load_expectations
from suites.selftest.planner import MATRIX, PLACED, PLENTY, bones, planned, planned_bytes
from suites.selftest.samples import configuration

__all__ = ["bones"]
EXPECTATIONS = load_expectations()


def holds(entry: Expectation) -> bool:
    """Whether an entry speaks of the libraries that plan here."""
    return all(Version(version(package)) in SpecifierSet(wanted) for package, wanted in entry.versions.items())


@pytest.mark.parametrize("cell", PLACED, ids=lambda cell: cell.id)
def test_the_library_plans_what_the_configuration_promises(cell: Cell, bones: Any) -> None:
    """Over two GPUs that are not here, as transformers would before it loads a weight; nothing is torn or beyond its limit."""
    model, quantizes, skeleton = bones(cell)
    asked = asked_of(cell.configuration)
    given, limits = device_map(asked, skeleton, "cuda"), max_memory(asked, skeleton, quantized=quantizes is not None)
    map, said = planned(model, given, dict(limits or PLENTY), quantizes)
    wanted = promise(asked, given, limits or {}, skeleton, 2)

    found = [
        str(finding)
        for finding in (
            *of_log(said, wanted, "cuda", used=set(map.values())),
            *of_map(map, skeleton, wanted, "cuda"),
            *of_order(map, skeleton, asked, limits or {}, 2, quantized=quantizes is not None),
            *of_limits(planned_bytes(skeleton, map), limits or {}),
        )
    ]
    known = [entry.message for entry in EXPECTATIONS if entry.about("placed") and parse(entry.cells)(cell) and holds(entry)]

    assert len(known) == len(found[:1])  # the first of them is what a check says
    assert all(message in finding for message, finding in zip(known, found, strict=False))


@pytest.mark.parametrize(
    "cell", [cell for cell in PLACED if "max-memory-" in cell.configuration.name], ids=lambda cell: cell.id
)
def test_a_model_that_is_spilled_though_there_is_room_is_found(cell: Cell, bones: Any) -> None:
    """Everything but the embedding on the last place that may be used, with the room of the whole model everywhere."""
    _, _, skeleton = bones(cell)
    asked = asked_of(cell.configuration)
    places = [place for place in (0, 1, "cpu") if place in asked.room] or [0]
    limits: dict[Any, int] = dict.fromkeys(places, 3 * skeleton.bytes)
    spilled = {skeleton.modules[0]: places[0]} | dict.fromkeys(skeleton.modules[1:], "disk")

    assert ["further-than-needed"] == [each.code for each in of_order(spilled, skeleton, asked, limits, 2, quantized=False)]


@pytest.mark.parametrize("cell", [
    cell for cell in PLACED if cell.id.startswith(("max-memory-balanced-low-0", "max-memory-gpu-cpu-sdpa"))
    and cell.model.name != "gpt2-tiny"], ids=lambda cell: cell.id)  # fmt: skip
def test_one_block_that_is_spilled_though_there_is_room_is_found(cell: Cell, bones: Any) -> None:
    """The last one that the library gave the last GPU, on the CPU, which may be used."""
    (model, _, skeleton), asked = bones(cell), asked_of(cell.configuration)
    limits = max_memory(asked, skeleton, quantized=False) or {}
    map, _ = planned(model, asked.device_map, dict(limits))
    block = [name for name in skeleton.blocks if promised_place(name, map) == max(set(limits) - {"cpu"}, key=int)][-1]
    moved: dict[str, Any] = {name: promised_place(name, map) for name in skeleton.modules} | {block: "cpu"}

    assert ["further-than-needed"] == [each.code for each in of_order(moved, skeleton, asked, limits, 2, quantized=False)]


@pytest.mark.parametrize(
    "cell", [cell for cell in PLACED if cell.id.startswith(("max-memory-sequential", "max-memory-gpus-sdpa/llama-deep-tiny"))],
    ids=lambda cell: cell.id,
)  # fmt: skip
def test_where_max_memory_is_not_heeded_a_gpu_holds_more_than_it_allows(cell: Cell, bones: Any) -> None:
    """So that what is asked for is what decides."""
    model, quantizes, skeleton = bones(cell)
    asked = asked_of(cell.configuration)
    limits = max_memory(asked, skeleton, quantized=quantizes is not None) or {}
    map, _ = planned(model, asked.device_map, dict(PLENTY), quantizes)

    assert ["beyond-max-memory"] == [each.code for each in of_limits(planned_bytes(skeleton, map), limits)]


def test_alternating_blocks_cross_a_border_at_every_step(bones: Any) -> None:
    *_, skeleton = bones(next(cell for cell in PLACED if cell.model.name == "llama-deep-tiny"))
    map = device_map(Asked(device_map="alternating", uses=("gpus",), room={}), skeleton, "cuda")

    assert [0, 1, 0, 1, 0, 1] == [map[block] for block in skeleton.blocks]


def test_a_tied_head_stays_with_its_embedding(bones: Any) -> None:
    *_, skeleton = bones(next(cell for cell in PLACED if cell.model.name == "gpt2-tiny"))
    map = device_map(Asked(device_map="halves", uses=("gpus",), room={}), skeleton, "cuda")

    assert (0, 0, 1) == (map["transformer.wte"], map["lm_head"], map["transformer.ln_f"])


def test_a_tie_is_promised_by_the_config_whatever_the_library_ties(bones: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, *_, skeleton = bones(next(cell for cell in PLACED if cell.model.name == "gpt2-tiny"))
    head = torch.nn.Linear(1, 1, device="meta")
    monkeypatch.setattr(model, "get_output_embeddings", lambda: head)
    model.add_module("other_head", head)

    assert (("transformer.wte.weight", "lm_head.weight"),) == skeleton.ties
    assert ("transformer.wte.weight", "other_head.weight") in skeleton_of(model, None).ties
    del model.other_head


def test_room_is_a_share_of_the_model_and_of_what_is_kept_for_the_largest_module() -> None:
    skeleton = Skeleton(sizes={"a.weight": 100, "b.weight": 300}, ties=(), blocks=("b",), modules=("a", "b"))
    asked = Asked(device_map="auto", uses=("gpus",), room={0: 0.5, 1: 0.5, "cpu": 0.5})

    assert {0: 500, 1: 200, "cpu": 500} == max_memory(asked, skeleton, quantized=False)
    assert {0: 240, 1: 200} == max_memory(replace(asked, room={1: 0.5}, layers={0: 0.8}), skeleton, quantized=False)


@pytest.mark.parametrize("cell", [cell for cell in PLACED if "too-large" in cell.configuration.name], ids=lambda cell: cell.id)
def test_the_largest_layer_does_not_fit_where_it_is_said_not_to(cell: Cell, bones: Any) -> None:
    _, quantizes, skeleton = bones(cell)
    limits = max_memory(asked_of(cell.configuration), skeleton, quantized=quantizes is not None)

    assert limits is not None
    assert limits[0] < skeleton.largest < limits[1]


# words


@pytest.mark.parametrize(
    ("uses", "found", "platform", "expected"),
    [
        (("gpus",), {0, 1}, "cuda", True), (("gpus",), {0}, "cuda", False), (("gpus",), {0, 1, "cpu"}, "cuda", False),
        (("gpus",), {0, 1, 2, 3}, "cuda", True), (("other-gpus",), {1}, "cuda", True), (("other-gpus",), {0, 1}, "cuda", False),
        (("gpu",), {0}, "cuda", True), (("gpu",), {1}, "cuda", False), (("gpu", "cpu"), {0, "cpu"}, "cuda", True),
        (("gpu", "cpu"), {0, "cpu", "disk"}, "cuda", False), (("gpu", "cpu", "disk"), {0, "disk"}, "cuda", False),
        (("device",), {0}, "rocm", True), (("device",), {0, 1}, "rocm", False), (("device",), {"cpu"}, "cpu", True),
        (("device",), {"cpu", "disk"}, "cpu", False), (("cpu", "disk"), {"cpu", "disk"}, "cpu", True),
        (("cpu", "disk"), {"cpu"}, "cpu", False),
    ],
)  # fmt: skip
def test_exactly_the_promised_places_are_used(uses: tuple[str, ...], found: set[Any], platform: str, expected: bool) -> None:
    assert expected == Promise(uses=uses).kept(found, platform)


@pytest.mark.parametrize(
    ("uses", "gpus", "found", "expected"),
    [
        (("gpus",), {0, 1, 2}, {0, 1, 2}, True), (("gpus",), {0, 1, 2}, {0, 1}, False), (("gpus",), {0, 1, 2}, {0, 2}, False),
        (("gpus",), {0, 1}, {0, 1, 2}, False), (("gpus", "cpu"), {0, 1, 2}, {0, 1, 2, "cpu"}, True),
        (("other-gpus",), {0, 1, 2}, {1, 2}, True), (("other-gpus",), {0, 1, 2}, {1}, False),
        (("other-gpus",), {0, 1, 2}, {0, 1, 2}, False),
    ],
)  # fmt: skip
def test_all_the_gpus_that_are_named_are_used(uses: tuple[str, ...], gpus: set[int], found: set[Any], expected: bool) -> None:
    assert expected == Promise(uses=uses, gpus=frozenset(gpus)).kept(found, "cuda")


def test_as_many_gpus_are_promised_as_the_library_must_take() -> None:
    """Six equal layers: each of three GPUs holds two of them and 5/4 of one; of twelve four hold them all."""
    layers = tuple(f"layers.{index}" for index in range(6))
    skeleton = Skeleton(sizes={f"{name}.w": 100 for name in layers}, ties=(), blocks=layers, modules=layers)

    assert [2, 3, 4] == [fewest(skeleton, gpus, low=False) for gpus in (2, 3, 12)]
    assert [1, 2, 4] == [fewest(skeleton, gpus, low=True) for gpus in (2, 3, 12)]
    assert [True, False] == [Promise(uses=("gpus",), fewest=3).kept(found, "cuda") for found in ({0, 1, 2}, {0, 1})]


@pytest.mark.parametrize(("name", "expected"), [("cuda:1", 1), ("0", 0), (2, 2), ("cuda", 0), ("cpu", "cpu"), ("disk", "disk")])
def test_a_place_is_written_as_accelerate_writes_it(name: object, expected: object) -> None:
    assert expected == place_of(name)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"device_map": "everywhere", "uses": ["gpus"]}, "options.device_map is 'everywhere', accepted: auto, balanced"),
        ({"device_map": "auto"}, "options.uses is"),
        ({"device_map": "auto", "uses": 5}, "options.uses is 5, accepted: a list of gpus"),
        ({"device_map": "auto", "uses": ["gpus"], "room": 0.5}, "options.room is 0.5, accepted: a table of GPUs' numbers"),
        ({"device_map": "auto", "uses": ["gpus"], "room": {"0": "half"}}, "options.room holds 0 = 'half', accepted"),
        ({"device_map": "auto", "uses": ["gpus"], "room": {"gpu0": 0.5}}, "options.room holds gpu0 = 0.5, accepted"),
        ({"device_map": "auto", "uses": ["gpus"], "layers": {"0": -1}}, "options.layers holds 0 = -1, accepted"),
        ({"device_map": "auto", "uses": ["gpus"], "rooms": {}}, "options.rooms is unknown"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        asked_of(configuration("spread", options={"placement": options}))


def test_a_map_promises_a_tensor_the_place_of_the_longest_name_that_holds_it() -> None:
    map = {"": 0, "model.layers.1": 1, "model.layers.10": "cpu"}
    tensors = ("model.embed.weight", "model.layers.1.w", "model.layers.10.w")

    assert [0, 1, "cpu"] == [promised_place(name, map) for name in tensors]


def test_a_family_is_asked_of_models_that_are_made_for_it() -> None:
    """Tied weights, a mixture of experts, and more layers than GPUs; nothing of it on a model of two layers by accident."""
    assert {"llama-deep-tiny", "gpt2-tiny", "mixtral-deep-tiny"} == {cell.model.name for cell in PLACED}


# what is combined with what

FAMILIES: dict[str, set[str]] = {}
for entry in MATRIX.configurations.values():
    if entry.suite == "placement" and entry.combined:
        FAMILIES.setdefault(entry.combined[0], set()).add(entry.combined[1])
ATTENTION, BITSANDBYTES = {"eager", "sdpa", "flash-attention-2"}, {"bnb-int8", "bnb-nf4"}


def asked_of_family(family: str) -> Asked:
    return asked_of(MATRIX.configurations[f"{family}-{min(FAMILIES[family])}"])


@pytest.mark.parametrize("family", FAMILIES)
def test_placements_are_combined_as_readme_says(family: str) -> None:
    """Over GPUs alone with all, with a part on the CPU or on disk with attention, and with bitsandbytes where it declines."""
    configuration = MATRIX.configurations[f"{family}-{min(FAMILIES[family])}"]
    attention = ATTENTION if "cuda" in configuration.platforms else ATTENTION - {"flash-attention-2"}
    elsewhere = BITSANDBYTES if configuration.refusals else attention

    assert (elsewhere if {"cpu", "disk"} & set(asked_of_family(family).uses) else attention | BITSANDBYTES) == FAMILIES[family]


@pytest.mark.parametrize("word", ["auto", "balanced", "balanced_low_0", "sequential"])
def test_each_of_the_library_s_words_splits_a_model_over_gpus(word: str) -> None:
    """And each is in the quick tier."""
    asked = [asked_of_family(family) for family in FAMILIES]
    quick = {asked_of(cell.configuration).device_map for cell in cells(MATRIX, "cuda", "quick") if cell.configuration.combined}

    assert [each for each in asked if each.device_map == word and "gpus" in each.uses]
    assert word in quick
