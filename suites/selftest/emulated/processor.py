"""A pytest plugin for nested runs (``-p suites.selftest.emulated.processor``): bitsandbytes on another kind of processor.

What the probe measured of the processor and what bitsandbytes is told of it are changed alike. bitsandbytes then takes its own
ways, but for the fused 4-bit kernel of processors with AVX512-BF16, which no other one could run: a decoding product in bf16
stands in for it, behind the same operator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Final

import pytest

from fixtures.isolation import FACTS

# The features that each kind has, and what PyTorch calls it.
KINDS: Final = {
    "avx2": (("avx2",), "AVX2"),
    "avx512": (("avx2", "avx512f"), "AVX512"),
    "avx512-bf16": (("avx2", "avx512f", "avx512_bf16"), "AVX512"),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Which kind of processor this is."""
    parser.addoption("--processor", choices=tuple(KINDS), required=True, help="kind of processor to emulate")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Before bitsandbytes is imported, which decides then."""
    import torch

    features, capability = KINDS[config.getoption("processor")]
    facts = config.stash[FACTS]
    config.stash[FACTS] = replace(facts, details={**facts.details, "processor_features": list(features)})
    backend: Any = torch.backends.cpu
    backend.get_cpu_capability = lambda: capability
    _four_bit(fused="avx512_bf16" in features)


def _four_bit(*, fused: bool) -> None:
    from bitsandbytes import functional
    from bitsandbytes.nn import modules

    if fused and not functional.has_avx512bf16():
        from bitsandbytes._ops import register_kernel

        register_kernel("bitsandbytes::gemv_4bit", "cpu")(_product)
    for module in (functional, modules):
        asked: Any = module
        asked.has_avx512bf16 = lambda: fused


def _product(states: Any, packed: Any, shape: Sequence[int], scales: Any, code: Any, blocksize: int) -> Any:
    """The product with a weight in the fused kernel's layout: scales of shape (inputs / blocksize, outputs)."""
    import torch
    from bitsandbytes.functional import _convert_weight_packed_for_cpu_inverse

    layout = SimpleNamespace(
        packing_format_for_cpu=True, original_qshape=(-1, 1), original_nested=False, original_dtype=torch.bfloat16
    )
    codes, _ = _convert_weight_packed_for_cpu_inverse(packed, layout)
    flat, kind = scales.T.contiguous().reshape(-1).float(), "fp4" if code[1] > 0 else "nf4"
    weight = torch.ops.bitsandbytes.dequantize_4bit(codes, flat, blocksize, kind, shape, torch.bfloat16)
    return torch.nn.functional.linear(states.to(torch.bfloat16), weight).to(states.dtype)
