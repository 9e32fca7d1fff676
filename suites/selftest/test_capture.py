"""What the profiler saw becomes a trace: captured on the CPU, and from the raw events of a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from fixtures.dispatch import Evidence, Finding, Kernel, Operator, Trace, capture, evidence, judge
from fixtures.dispatch.capture import trace_of
from matrix.kernels import Kernels, load_kernels

Models = Callable[[str], Callable[[], object]]


@pytest.fixture(scope="module")
def table() -> Kernels:
    return load_kernels()


def seen(table: Kernels, run: Callable[[], object]) -> Evidence:
    return evidence(capture(run, "cpu"), table, "cpu")


# captured on the CPU


@pytest.fixture(scope="module")
def attention() -> Models:
    """Two layers of attention by name of the implementation, each behind a router that runs a softmax of its own."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.nn.functional import scaled_dot_product_attention

    hidden = torch.linspace(-1, 1, 2 * 6 * 32).reshape(2, 6, 32)
    heads = hidden.view(2, 6, 4, 8).transpose(1, 2)

    def eager() -> torch.Tensor:
        return torch.softmax(heads @ heads.transpose(2, 3), dim=-1, dtype=torch.float32) @ heads

    def math() -> torch.Tensor:
        with sdpa_kernel(SDPBackend.MATH):
            return scaled_dot_product_attention(heads, heads, heads)

    def default() -> torch.Tensor:
        return scaled_dot_product_attention(heads, heads, heads, is_causal=True)

    layers = {
        "eager": (eager, eager),
        "math": (math, math),
        "default": (default, default),
        "mixed": (default, math),
        "none": (),
    }

    def model(name: str) -> Callable[[], object]:
        def run() -> None:
            for layer in layers[name]:
                layer()
            torch.softmax(hidden[:, :, :4], dim=-1)
            torch.softmax(hidden[0, :, :4], dim=-1)

        return run

    return model


@pytest.mark.parametrize(
    ("name", "families", "operators"),
    [
        ("eager", {"eager": 2}, {"aten::_softmax": 2}),
        ("math", {"sdpa-math": 2}, {"aten::_scaled_dot_product_attention_math": 2}),
        ("default", {"sdpa-flash": 2}, {"aten::_scaled_dot_product_flash_attention_for_cpu": 2}),
        ("mixed", {"sdpa-flash": 1, "sdpa-math": 1},
         {"aten::_scaled_dot_product_attention_math": 1, "aten::_scaled_dot_product_flash_attention_for_cpu": 1}),
        ("none", {}, {}),
    ],
)  # fmt: skip
def test_the_cpu_operators_tell_the_family_and_a_router_is_no_attention(
    table: Kernels, attention: Models, name: str, families: dict[str, int], operators: dict[str, int]
) -> None:
    actual = seen(table, attention(name))

    assert (families, operators, ()) == (actual.calls, actual.operators, actual.unclaimed)


def test_math_in_place_of_flash_is_found_on_the_cpu(table: Kernels, attention: Models) -> None:
    actual = judge(seen(table, attention("math")), ("sdpa-flash",))

    assert actual == Finding(
        code="wrong_family",
        sentence="promised sdpa-flash, executed sdpa-math (2x): "
        "operators aten::_scaled_dot_product_attention_math (2x), kernels none",
    )


def test_a_model_of_transformers_shows_one_call_per_layer(table: Kernels) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=32, hidden_size=64, intermediate_size=64, num_hidden_layers=3, num_attention_heads=2, num_key_value_heads=1,
        attn_implementation="eager",
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    tokens = torch.arange(5)[None]

    def run() -> None:
        with torch.inference_mode():
            model(tokens)

    calls = []
    for implementation in ("eager", "sdpa"):
        model.set_attn_implementation(implementation)
        calls.append(seen(table, run).calls)

    assert calls == [{"eager": 3}, {"sdpa-flash": 3}]


def test_a_capture_of_two_thousand_operators_costs_less_than_a_fifth_of_a_second_of_the_cpu(table: Kernels) -> None:
    """Hundreds are taken. It is about 60 ms; the profiler's own list of events takes 200 ms more."""
    import torch

    value = torch.zeros(4)

    def run() -> None:
        for _ in range(2000):
            value.neg()

    capture(run, "cpu")
    start = time.process_time()
    trace = capture(run, "cpu")
    evidence(trace, table, "cpu")

    assert (len(trace.operators), time.process_time() - start < 0.2) == (2000, True)


# raw events of a GPU


def event(
    name: str, start: int, end: int, *, correlation: int = 0, linked: int = 0, device: str = "CPU", mark: bool = False
) -> Any:
    """An event as older releases of torch give it: without ``activity_type``."""
    return SimpleNamespace(
        name=lambda: name, start_ns=lambda: start, duration_ns=lambda: end - start, start_thread_id=lambda: 1,
        correlation_id=lambda: correlation, linked_correlation_id=lambda: linked, shapes=lambda: [[1, 2, 3, 4], []],
        device_type=lambda: SimpleNamespace(name=device), is_user_annotation=lambda: mark,
    )  # fmt: skip


@pytest.mark.parametrize("typed", [False, True])
def test_kernels_are_linked_to_the_operator_that_launched_them(typed: bool) -> None:
    """Runtime calls share the numbers of operators, and copies, synchronization and annotated ranges are no kernels."""
    events = [
        event("aten::sdpa", 0, 100, correlation=1),
        event("aten::flash", 10, 90, correlation=2),
        event("aten::mm", 100, 120, correlation=3),
        event("cudaLaunchKernel", 20, 30, correlation=3, linked=2),
        event("cudaDeviceSynchronize", 130, 140, correlation=2),
        event("hipDeviceSynchronize", 140, 150, correlation=2),
        event("Activity Buffer Request", 0, 5),
        event("flash_kernel", 200, 1700, correlation=3, linked=2, device="CUDA"),
        event("gemm_kernel", 150, 160, linked=3, device="CUDA"),
        event("lone_kernel", 2000, 2001, device="CUDA"),
        event("Memcpy HtoD (Pageable -> Device)", 1, 2, linked=3, device="CUDA"),
        event("Memset (Device)", 1, 2, linked=3, device="CUDA"),
        event("Stream Sync", 1, 2, device="CUDA"),
        event("attention", 1, 2, device="CUDA", mark=True),
    ]
    if typed:
        for raw in events:
            kind = "cpu_op" if raw.name().startswith("aten::") else "cuda_runtime"
            raw.activity_type = partial(str, kind)

    trace = trace_of(events, "cuda")

    assert trace == Trace(
        platform="cuda",
        operators=(Operator("aten::sdpa", (4, 0)), Operator("aten::flash", (4, 0), 0), Operator("aten::mm", (4, 0))),
        kernels=(Kernel("gemm_kernel", 2, 0.01), Kernel("flash_kernel", 1, 1.5), Kernel("lone_kernel", -1, 0.001)),
    )
