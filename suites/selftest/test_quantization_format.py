"""The formats in NumPy are what bitsandbytes stores, what it stores is read back by name, and what is wrong with it is seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from packaging.version import Version

from fixtures import transformers_api
from fixtures.findings import Finding
from fixtures.quantization.call_tensors import layer_of, stored_of
from fixtures.quantization.calls import Batch, Calls
from fixtures.quantization.format import (
    FourBit,
    dynamic_map,
    misplaced,
    quantized_4bit,
    quantized_int8,
    table,
    unpacked,
    wrong_scales,
)
from fixtures.quantization.layers import linear_layers, matrix_bytes, to_quantize
from fixtures.quantization.method import Method
from fixtures.quantization.stored import quantized, raw

METHODS = {
    "int8": Method(type="int8", threshold=6.0), "nf4": Method(type="nf4"), "fp4": Method(type="fp4"),
    "nested": Method(type="nf4", double=True), "bf16": Method(type="nf4", storage="bfloat16"),
}  # fmt: skip
CALLS = Calls(inputs=192, outputs=96, batches=(Batch(rows=1),))
RANDOM = np.random.Generator(np.random.Philox(7))
WEIGHT = RANDOM.standard_normal((96, 192)).astype(np.float16).astype(np.float64)


def stored(method: Method) -> Any:
    return stored_of(layer_of(CALLS, WEIGHT, None, method, "fp32", "cpu"))


def test_the_tables_are_those_of_the_library() -> None:
    from bitsandbytes import functional

    actual = {name: np.abs(functional.get_4bit_type(name, device="cpu").numpy() - table(name)).max() for name in ("nf4", "fp4")}

    assert all(distance < 1e-6 for distance in actual.values()), actual
    assert np.abs(functional.create_dynamic_map().numpy() - dynamic_map()).max() < 1e-6


def test_the_first_code_of_a_byte_is_in_its_upper_half() -> None:
    assert [[1, 2, 3]] == unpacked(np.array([0x12, 0x30], dtype=np.uint8), (1, 3)).tolist()


@pytest.mark.parametrize("name", METHODS)
def test_what_the_library_stores_is_the_format(name: str) -> None:
    """The nearest code under the scale of its own block: a correct nf4 on random weights is not found wrong."""
    found = stored(METHODS[name])

    assert not misplaced(WEIGHT, found).any()
    assert not wrong_scales(WEIGHT, found, nested=METHODS[name].double).any()


def test_nf4_is_stored_bit_for_bit_as_the_format_gives_it() -> None:
    """fp4 has two codes for zero, and weights that lie in the middle between two values."""
    found, expected = stored(METHODS["nf4"]), quantized_4bit(WEIGHT, "nf4")

    assert np.array_equal(expected.codes, found.codes)
    assert np.allclose(expected.dequantized(), found.dequantized(), rtol=0, atol=1e-6)


def test_int8_codes_differ_from_the_format_by_ties_alone() -> None:
    assert np.abs(quantized_int8(WEIGHT).codes.astype(int) - stored(METHODS["int8"]).codes).max() <= 1


@pytest.mark.parametrize("name", METHODS)
def test_scales_that_are_one_off_are_seen(name: str) -> None:
    found = stored(METHODS[name])
    moved = type(found)(**{**{field: getattr(found, field) for field in found.__slots__}, "scales": np.roll(found.scales, 1)})

    assert wrong_scales(WEIGHT, moved, nested=METHODS[name].double).mean() > 0.3


def test_another_table_is_seen() -> None:
    right = quantized_4bit(WEIGHT, "nf4")
    wrong = FourBit(codes=right.codes, scales=right.scales, values=table("fp4"))

    assert misplaced(WEIGHT, wrong).mean() > 0.5


def test_a_matrix_that_is_no_whole_number_of_blocks_has_a_short_last_one() -> None:
    weight = WEIGHT[:3, :50]
    found = quantized_4bit(weight, "nf4")

    assert (3,) == found.scales.shape
    assert not misplaced(weight, found).any()


def saved(folder: Path, **tensors: Any) -> dict[str, Any]:
    from safetensors.numpy import save_file

    save_file({name.replace("__", "."): values for name, values in tensors.items()}, folder / "model.safetensors")
    return raw(folder)


def test_scales_in_two_dimensions_are_malformed(tmp_path: Path) -> None:
    """As bitsandbytes saves them on a CPU after a forward pass."""
    state = b'{"quant_type": "nf4", "blocksize": 64, "shape": [2, 128]}'
    tensors = saved(
        tmp_path, a__weight=np.zeros((128, 1), np.uint8), a__weight__absmax=np.zeros((2, 2), np.float32),
        a__weight__quant_map=np.zeros(16, np.float32),
        a__weight__quant_state__bitsandbytes__nf4=np.frombuffer(state, np.uint8),
    )  # fmt: skip
    renamed = {name.replace("bitsandbytes.nf4", "bitsandbytes__nf4"): entry for name, entry in tensors.items()}

    with pytest.raises(Finding, match=r"one scale a block, 4 in one dimension"):
        quantized(renamed)


def test_int8_without_a_scale_a_row_is_malformed(tmp_path: Path) -> None:
    tensors = saved(tmp_path, a__weight=np.zeros((4, 8), np.int8), a__SCB=np.zeros(8, np.float32))

    with pytest.raises(Finding, match=r"one scale a row"):
        quantized(tensors)


@pytest.fixture
def releases(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda release: monkeypatch.setattr(transformers_api, "version", lambda: Version(release))


def test_embeddings_heads_and_routers_are_no_layers_to_quantize() -> None:
    shapes = {
        "model.embed_tokens.weight": (9, 8), "lm_head.weight": (9, 8), "transformer.wpe.weight": (9, 8),
        "distilbert.embeddings.word_embeddings.weight": (9, 8), "model.layers.0.block_sparse_moe.gate.weight": (4, 8),
        "model.layers.0.block_sparse_moe.experts.3.w1.weight": (8, 8), "model.layers.0.mlp.gate_proj.weight": (8, 8),
        "model.norm.weight": (8,), "model.layers.0.self_attn.q_proj.bias": (8,),
    }  # fmt: skip

    assert ["model.layers.0.block_sparse_moe.experts.3.w1", "model.layers.0.mlp.gate_proj"] == list(linear_layers(shapes))


@pytest.mark.parametrize(("release", "expected"), [("4.57.6", ["mlp.gate"]), ("5.0.0", ["classifier"])])
def test_until_5_routers_were_quantized_and_the_last_module_was_not(
    releases: Callable[[str], None], release: str, expected: list[str]
) -> None:
    releases(release)

    assert expected == list(linear_layers({"mlp.gate.weight": (4, 8), "classifier.weight": (2, 8)}))


@pytest.mark.parametrize(("release", "expected"), [("4.57.6", ["pre_projection"]), ("5.0.0", [])])
def test_until_5_the_end_of_a_name_was_not_skipped(releases: Callable[[str], None], release: str, expected: list[str]) -> None:
    releases(release)
    shapes = {"a.projection.weight": (8, 8), "pre_projection.weight": (8, 8)}

    assert expected == list(to_quantize(shapes, Method(type="nf4", skipped=("projection",))))


@pytest.mark.parametrize(("release", "expected"), [("4.57.6", True), ("5.0.0", False)])
def test_until_5_an_expert_that_no_token_chose_was_not_called(
    releases: Callable[[str], None], release: str, expected: bool
) -> None:
    releases(release)

    assert expected == transformers_api.may_rest("model.layers.0.block_sparse_moe.experts.3.w1")


def test_the_layers_of_attention_are_called_in_every_release(releases: Callable[[str], None]) -> None:
    releases("4.48.0")

    assert not transformers_api.may_rest("model.layers.0.self_attn.q_proj")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["a.down_proj", "a.q_proj", "b.q_proj"]),
        ({"skipped": ("down_proj",)}, ["a.q_proj", "b.q_proj"]),
        ({"offloaded": ("a",)}, ["b.q_proj"]),
    ],
)
def test_what_is_skipped_or_left_on_the_cpu_is_not_to_be_quantized(changes: Any, expected: list[str]) -> None:
    shapes = {f"{name}.weight": (8, 8) for name in ("a.q_proj", "a.down_proj", "b.q_proj")}

    assert expected == list(to_quantize(shapes, Method(type="nf4", **changes)))


@pytest.mark.parametrize("name", METHODS)
def test_a_layer_holds_the_bytes_that_its_format_implies(name: str) -> None:
    from fixtures.quantization.footprint import footprint

    held = footprint(layer_of(CALLS, WEIGHT, None, METHODS[name], "fp32", "cpu"))

    assert held == matrix_bytes((96, 192), METHODS[name])
