"""What is found wrong with a placement: in its map, where its tensors are, what they take, and what the library only logs."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from fixtures.placement.asked import Promise
from fixtures.placement.judgement import of_kept, of_layers, of_limits, of_log, of_map, of_residents, of_states, of_ties, used
from fixtures.placement.plan import Skeleton, split_blocks
from fixtures.placement.residence import LOST, Resident, bytes_by_place, footprints, residents

BONES = Skeleton(
    sizes={"embed.weight": 10, "layers.0.w": 100, "layers.1.w": 100, "head.weight": 10}, ties=(),
    blocks=("layers.0", "layers.1"), modules=("embed", "layers.0", "layers.1", "head"),
)  # fmt: skip
GPUS = Promise(uses=("gpus",))
HALVES = {"embed": 0, "layers.0": 0, "layers.1": 1, "head": 1}


def resident(name: str, place: Any, storage: int = 0, **changes: Any) -> Resident:
    return replace(Resident(name=name, place=place, bytes=10, buffer=False, storage=storage or hash(name)), **changes)


def test_a_spilled_layer_is_named_with_its_size() -> None:
    (finding,) = of_map(HALVES | {"layers.1": "cpu"}, BONES, GPUS, "cuda")

    assert "spilled" == finding.code
    assert "cpu: layers.1 (100 bytes), 100 bytes in all" in str(finding)


def test_every_layer_that_was_spilled_is_named_before_what_is_where_it_should_be() -> None:
    many = Skeleton(sizes={f"layers.{at}.w": 100 for at in range(9)}, ties=(), blocks=(), modules=())
    map = {f"layers.{at}": 0 if at < 2 else "cpu" for at in range(9)}
    (finding,) = of_map(map, many, Promise(uses=("gpu",)), "cuda")
    told = str(finding)

    assert all(f"layers.{at} (100 bytes)" in told.partition("gpu-0:")[0] for at in range(2, 9))
    assert "layers.0 (100 bytes)" in told.partition("gpu-0:")[2]


def test_what_the_library_only_logged_stands_beside_layers_and_sizes() -> None:
    (finding,) = of_log(["Device 5 is not available, available devices are [0]"], GPUS, "cuda", "gpu-0: layers.0 (100 bytes)")

    assert str(finding).endswith("available devices are [0]; its map: gpu-0: layers.0 (100 bytes)")


def test_a_block_on_two_devices_is_found() -> None:
    torn = {"embed": 0, "layers.0": 0, "layers.1.attention": 0, "layers.1.mlp": 1, "head": 1}

    assert (["layers.1"], ["torn-block"]) == (
        split_blocks(torn, BONES.blocks), [finding.code for finding in of_map(torn, BONES, GPUS, "cuda")]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("place", "words"),
    [(1, "layers.0.w (10 bytes on GPU 1), promised gpu-0"), (LOST, "its values nowhere"), ("cpu", "on the CPU")],
)
def test_a_tensor_elsewhere_than_the_map_says_is_found(place: Any, words: str) -> None:
    (finding,) = of_residents([resident("embed.weight", 0), resident("layers.0.w", place)], HALVES)

    assert words in str(finding)


def test_a_layer_lies_whole_where_it_fits() -> None:
    """Half a layer on another GPU, and a layer on one that has less room than it takes, are found."""
    half = [
        resident("layers.0.w", 0, bytes=50),
        resident("layers.0.v", 1, bytes=50),
        resident("layers.0.rotary", 0, buffer=True),
    ]
    whole = [resident("layers.1.w", 1, bytes=100), resident("layers.1.rotary", 0, buffer=True), resident("embed.weight", 0)]

    assert [] == list(of_layers(whole, BONES, {0: 99, 1: 100}))
    assert ["layers.1 (100 bytes) lies on gpu-1, max_memory allows 99"] == list(map(str, of_layers(whole, BONES, {1: 99})))
    assert ["layers.0 (100 bytes) does not lie in one place: 50 bytes on gpu-0, 50 bytes on gpu-1"] == list(
        map(str, of_layers(half, BONES, {}))
    )


def test_buffers_of_what_is_offloaded_stay_where_it_is_computed() -> None:
    map = {"embed": 0, "layers": "cpu"}

    assert [] == list(of_residents([resident("layers.0.rotary", 0, buffer=True), resident("layers.0.w", "cpu")], map))
    assert ["stray-tensors"] == [finding.code for finding in of_residents([resident("layers.0.rotary", 1, buffer=True)], map)]


def test_what_is_beyond_max_memory_is_found() -> None:
    held = bytes_by_place([resident("a", 0), resident("b", 0), resident("tied", 0, storage=hash("a"))])
    (finding,) = of_limits(held, {0: 19})

    assert {0: 20} == held
    assert "gpu-0 holds 20 bytes of weights, buffers and quantization state, max_memory allows 19" == str(finding)


def test_what_a_gpu_holds_beside_the_model_is_found() -> None:
    """Two more copies of its weights; what a library needs for itself is let go."""
    of = [
        [finding.code for finding in of_kept({0: size, 1: 0}, {0: 10**6}, {0: 2 * 10**6})]
        for size in (10**6, 1_004_000, 3 * 10**6)
    ]

    assert [[], [], ["held-besides", "beyond-max-memory"]] == of


def test_buffers_count_where_they_are_but_for_those_of_what_is_on_disk() -> None:
    """A GPU's all do, those of what is offloaded as well: accelerate says so itself where they have no room."""
    map = {"a": 0, "b": "cpu", "c": "disk"}
    buffers = [resident("a.x", 0, buffer=True), resident("b.x", 0, buffer=True), resident("c.x", 0, buffer=True)]
    host = [resident("b.y", "cpu", buffer=True), resident("c.y", "cpu", buffer=True), resident("b.w", "cpu")]
    held = bytes_by_place([*buffers, *host])

    assert ({0: 30, "cpu": 30}, {0: 30, "cpu": 20}) == (held, used(held, [*buffers, *host], map))


def test_a_quantization_state_that_lies_apart_from_its_weight_is_found() -> None:
    """Of tensors that only say where they are."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        layer = torch.nn.Linear(1, 1, bias=False, device="meta")
        layer.weight = torch.nn.Parameter(torch.empty(1, device="cuda:0"))
        layer.weight.quant_state = SimpleNamespace(absmax=torch.empty(4, device="cuda:0"))
        together = list(of_states(torch.nn.Sequential(layer)))
        layer.weight.quant_state.state2 = SimpleNamespace(absmax=torch.empty(4, device="cuda:1"))
        (apart,) = of_states(torch.nn.Sequential(layer))

    assert [] == together
    assert "1 weights and their quantization states lie apart: 0.weight on cuda:0, of its quantization state on cuda:1" == str(
        apart
    )


def test_scales_of_quantized_layers_count_against_max_memory() -> None:
    """A weight of 64 bytes with the scales of 4 bits, and of those the nested ones; an int8 layer's; and a large buffer."""
    import torch

    nested = SimpleNamespace(absmax=torch.zeros(4), code=torch.zeros(8))
    layer, state = torch.nn.Linear(1, 1, bias=False), SimpleNamespace(SCB=torch.zeros(16))
    layer.weight = torch.nn.Parameter(torch.zeros(64, dtype=torch.uint8), requires_grad=False)
    layer.weight.quant_state = SimpleNamespace(absmax=torch.zeros(32), code=torch.zeros(2), state2=nested)
    layer.state = state
    layer.register_buffer("mask", torch.zeros(1000))
    found = residents(layer)
    held = used(footprints(layer, found), found, {"": "cpu"})

    assert {"cpu": 64 + 4 * (4 + 8 + 16 + 32 + 2 + 1000)} == held
    assert ["beyond-max-memory"] == [finding.code for finding in of_limits(held, {"cpu": 64 + 4000})]


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (resident("head", 0, storage=7), []),
        (resident("head", 0, storage=8), ["untied"]),
        (resident("head", 1, storage=7), ["untied"]),  # nobody asks for a model whose tied tensors are apart
        (resident("head", "disk", storage=7), ["untied"]),
    ],
)
def test_a_tied_tensor_is_one_in_one_place(head: Resident, expected: list[str]) -> None:
    found = of_ties([resident("embed", 0, storage=7), head], [("embed", "head")])

    assert expected == [finding.code for finding in found]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("Device 5 is not available, available devices are [0, 1]", ["unavailable-gpu"]),
        ("Device 1 seems unavailable, Proceeding to check subsequent devices.", ["unavailable-gpu"]),
        ("Tied parameters are on different devices: {'a': 0, 'b': 1}. ", ["tied-apart"]),
        ("Some parameters are on the meta device because they were offloaded to the cpu.", []),
    ],
)
def test_what_the_library_only_logs_is_a_finding(said: str, expected: list[str]) -> None:
    assert expected == [finding.code for finding in of_log([said], GPUS, "cuda")]


@pytest.mark.parametrize(
    ("passed_over", "promised", "platform", "expected"),
    [
        (1, Promise(uses=("gpus",)), "cuda", True), (2, Promise(uses=("gpus",), gpus=frozenset({0, 1, 2})), "cuda", True),
        (2, Promise(uses=("gpus",), gpus=frozenset({0, 1})), "cuda", False), (0, Promise(uses=("other-gpus",)), "cuda", False),
        (1, Promise(uses=("other-gpus",)), "cuda", True), (0, Promise(uses=("gpu", "cpu")), "cuda", True),
        ("cpu", Promise(uses=("gpu", "cpu")), "cuda", True), ("cpu", Promise(uses=("gpus",)), "cuda", False),
        ("cpu", Promise(uses=("device",)), "cpu", True), (0, Promise(uses=("device",)), "cuda", True),
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", ["100", "361472.0"])  # 4-bit weights are counted in fractions
def test_a_promised_place_that_is_passed_over_for_want_of_memory_is_a_finding(
    passed_over: object, promised: Promise, platform: str, expected: bool, size: str
) -> None:
    """The library names places that it gave nothing, so that its map never holds them."""
    said = (
        "Based on the current allocation process, no modules could be assigned to the following devices due to insufficient "
        f"memory:\n  - {passed_over}: {size} bytes required\nThese minimum requirements"
    )
    found = [finding.code for finding in of_log([said], promised, platform)]

    assert (["too-little-memory"] if expected else []) == found
