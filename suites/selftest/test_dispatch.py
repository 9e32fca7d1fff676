"""Evidence of dispatch: what executed is told from traces, and a broken promise is told in a sentence."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fixtures.dispatch import Evidence, Finding, Kernel, Operator, Trace, capture, evidence, judge
from fixtures.dispatch.capture import trace_of
from matrix.errors import UserError
from matrix.kernels import Kernels, load_kernels

RECORDED = Path(__file__).parent / "recorded"
FLASH = "aten::_scaled_dot_product_flash_attention"
FLASH_KERNEL = "void pytorch_flash::flash_fwd_kernel<"
SOFTMAX_KERNEL = "void (anonymous namespace)::softmax_warp_forward<"


@pytest.fixture(scope="module")
def table() -> Kernels:
    return load_kernels()


def recorded(name: str) -> Trace:
    return Trace.from_json((RECORDED / f"{name}.json").read_text(encoding="utf-8"))


def seen(table: Kernels, trace: Trace) -> Evidence:
    return evidence(trace, table, trace.platform)


def gpu(*calls: tuple[str, int, str | None], platform: str = "cuda") -> Trace:
    """Calls of an operator (name, rank of its first input, kernel beneath it or none), besides one GEMM."""
    operators = [Operator("aten::mm", (2, 2))] + [Operator(name, (rank,)) for name, rank, _ in calls]
    kernels = [Kernel("nvjet_sm90_hsh", 0, 10.0)]
    kernels += [Kernel(kernel, position, 1.0) for position, (_, _, kernel) in enumerate(calls, start=1) if kernel]
    return Trace(platform=platform, operators=tuple(operators), kernels=tuple(kernels))


def found(table: Kernels, trace: Trace, *promised: str) -> Finding:
    finding = judge(seen(table, trace), promised)
    assert finding is not None
    return finding


# --- captured on the CPU --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def attention() -> Callable[[str], Callable[[], object]]:
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

    layers = {"eager": (eager, eager), "math": (math, math), "default": (default, default), "mixed": (default, math), "none": ()}

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
    table: Kernels, attention: Callable[[str], Callable[[], object]], name: str, families: dict[str, int], operators: dict[str, int]
) -> None:
    actual = seen(table, capture(attention(name), "cpu"))

    assert (families, operators, ()) == (actual.calls, actual.operators, actual.unclaimed)


def test_math_in_place_of_flash_is_found_on_the_cpu(table: Kernels, attention: Callable[[str], Callable[[], object]]) -> None:
    actual = found(table, capture(attention("math"), "cpu"), "sdpa-flash")

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
        calls.append(seen(table, capture(run, "cpu")).calls)

    assert [{"eager": 3}, {"sdpa-flash": 3}] == calls


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
    seen(table, trace)

    assert (2000, True) == (len(trace.operators), time.process_time() - start < 0.2)


# --- recorded on GPUs -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "calls"),
    [
        ("cuda-backends-h200", {"sdpa-cudnn": 1, "sdpa-efficient": 1, "sdpa-math": 1}),
        ("cuda-sdpa-flash-qwen-h100", {"sdpa-flash": 2}),
        ("cuda-flash-attention-2", {"flash-attention-2": 2}),
        ("rocm-aotriton-qwen-mi300", {"aotriton": 2}),
        ("rocm-eager-timesformer-mi300", {"eager": 1}),
        ("rocm-composable-kernel-sdpa", {"composable-kernel": 1}),
        ("rocm-composable-kernel-flash-attn", {"composable-kernel": 2}),
        ("rocm-triton-flash-attn", {"flash-attention-triton": 1}),
    ],
)
def test_a_recorded_trace_shows_the_family_that_ran(table: Kernels, name: str, calls: dict[str, int]) -> None:
    actual = seen(table, recorded(name))

    assert (calls, ()) == (actual.calls, actual.unclaimed)


def test_the_kernels_of_attention_are_told_from_the_others_of_a_call(table: Kernels) -> None:
    actual = seen(table, recorded("rocm-aotriton-qwen-mi300"))

    assert ({"attn_fwd": 2}, 6) == (actual.kernels, actual.kernel_count)


def test_a_kernel_of_no_known_family_beside_known_ones_is_found(table: Kernels) -> None:
    """AITER's kernel in a model whose other attention runs through AOTriton."""
    actual = found(table, recorded("rocm-aiter-flux-mi300"), "aotriton")

    assert "unclaimed_kernel" == actual.code
    assert "kernel aiter::fmha_fwd_hd128_bf16_rtz is attention of no known family (1x)" in actual.sentence


def test_every_recorded_trace_says_where_it_is_from_and_survives_json() -> None:
    traces = [recorded(path.stem) for path in sorted(RECORDED.glob("*.json"))]

    assert traces == [Trace.from_json(trace.to_json()) for trace in traces]
    assert [] == [trace for trace in traces if not trace.source]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 1}', '{"version": 2}', '{"version": 1, "platform": "cpu", "operators": 3}'])
def test_a_malformed_recording_is_one_line(text: str) -> None:
    with pytest.raises(UserError, match="record it again") as raised:
        Trace.from_json(text)

    assert 1 == len(str(raised.value).splitlines())


# --- what must be found ---------------------------------------------------------------------------------------------------------------


def test_the_promised_family_alone_is_no_finding(table: Kernels) -> None:
    trace = gpu((FLASH, 4, FLASH_KERNEL), ("aten::_softmax", 2, SOFTMAX_KERNEL))

    assert judge(seen(table, trace), ("sdpa-flash", "sdpa-cudnn")) is None


def test_no_kernel_on_a_gpu_is_nothing_captured_whatever_the_operators_say(table: Kernels) -> None:
    trace = replace(gpu((FLASH, 4, FLASH_KERNEL)), kernels=())

    actual = found(table, trace, "sdpa-flash")

    assert "nothing_captured" == actual.code
    assert "promised sdpa-flash, but the profiler saw no kernel on the device" in actual.sentence


def test_kernels_without_attention_are_nothing_captured(table: Kernels) -> None:
    actual = found(table, gpu(("aten::_softmax", 2, SOFTMAX_KERNEL)), "eager")

    assert actual == Finding(code="nothing_captured", sentence="promised eager, but no attention was seen among 2 kernels")


def test_an_empty_run_on_the_cpu_is_nothing_captured(table: Kernels) -> None:
    assert "nothing_captured" == found(table, Trace(platform="cpu", operators=()), "eager").code


def test_math_in_place_of_flash_is_found_on_a_gpu(table: Kernels) -> None:
    trace = gpu(("aten::_scaled_dot_product_attention_math", 4, SOFTMAX_KERNEL))

    assert found(table, trace, "sdpa-flash") == Finding(
        code="wrong_family",
        sentence="promised sdpa-flash, executed sdpa-math (1x): operators aten::_scaled_dot_product_attention_math (1x), "
        "kernels void (anonymous namespace)::softmax_warp_forward< (1x)",
    )


def test_sdpa_in_place_of_flash_attention_2_is_found(table: Kernels) -> None:
    assert "wrong_family" == found(table, gpu((FLASH, 4, FLASH_KERNEL)), "flash-attention-2").code


def test_triton_in_place_of_composable_kernel_is_found(table: Kernels) -> None:
    assert "wrong_family" == found(table, recorded("rocm-triton-flash-attn"), "composable-kernel").code


def test_one_layer_that_fell_back_is_found(table: Kernels) -> None:
    trace = gpu(*[(FLASH, 4, FLASH_KERNEL)] * 3, ("aten::_scaled_dot_product_attention_math", 4, SOFTMAX_KERNEL))

    actual = found(table, trace, "sdpa-flash")

    assert "mixed_families" == actual.code
    assert "promised sdpa-flash, but 1 of 4 calls were of sdpa-math" in actual.sentence


@pytest.mark.parametrize("kernel", [None, "void some::NewKernel<"])
def test_a_known_operator_above_no_known_kernel_is_unclaimed(table: Kernels, kernel: str | None) -> None:
    actual = found(table, gpu((FLASH, 4, kernel)), "sdpa-flash")

    assert "unclaimed_kernel" == actual.code
    assert f"{FLASH} launched no kernel of sdpa-flash or flash-attention-3 or flash-attention-4; it launched" in actual.sentence


def test_a_kernel_of_another_family_beneath_an_operator_is_unclaimed(table: Kernels) -> None:
    trace = gpu((FLASH, 4, FLASH_KERNEL), ("aten::_scaled_dot_product_cudnn_attention", 4, FLASH_KERNEL))

    assert "unclaimed_kernel" == found(table, trace, "sdpa-flash").code


def test_a_registered_flash_back_end_is_known_by_its_kernel(table: Kernels) -> None:
    trace = gpu((FLASH, 4, "void cutlass::device_kernel<flash::enable_sm90<flash::FlashAttnFwdSm90<"))

    assert {"flash-attention-3": 1} == seen(table, trace).calls


def test_a_package_that_registers_no_operator_is_known_by_its_kernel(table: Kernels) -> None:
    trace = gpu(("_flash_attn2_9e27194::fwd", 4, "void flash::flash_fwd_kernel<Flash_fwd"))
    actual = seen(table, trace)

    assert ({"flash-attention-2": 1}, ()) == (actual.calls, actual.unclaimed)


def test_an_attention_operator_that_nobody_knows_is_unclaimed_on_the_cpu(table: Kernels) -> None:
    trace = Trace(platform="cpu", operators=(Operator("new_package::fused_attention", (4, 4, 4)),))

    assert "unclaimed_kernel" == found(table, trace, "sdpa-flash").code


def test_attention_that_ran_on_the_host_of_a_gpu_is_unclaimed(table: Kernels) -> None:
    trace = gpu((FLASH, 4, FLASH_KERNEL), ("aten::_scaled_dot_product_flash_attention_for_cpu", 4, None))

    assert "unclaimed_kernel" == found(table, trace, "sdpa-flash").code


def test_an_empty_promise_still_asks_for_known_attention(table: Kernels) -> None:
    traces = [gpu((FLASH, 4, FLASH_KERNEL)), gpu((FLASH, 4, None)), gpu()]
    findings = [judge(seen(table, trace), ()) for trace in traces]

    assert [None, "unclaimed_kernel", "nothing_captured"] == [finding and finding.code for finding in findings]


# --- raw events of a GPU --------------------------------------------------------------------------------------------------------------


def event(name: str, start: int, end: int, *, correlation: int = 0, linked: int = 0, device: str = "CPU", mark: bool = False) -> Any:
    return SimpleNamespace(
        name=lambda: name, start_ns=lambda: start, duration_ns=lambda: end - start, start_thread_id=lambda: 1,
        correlation_id=lambda: correlation, linked_correlation_id=lambda: linked, shapes=lambda: [[1, 2, 3, 4], []],
        device_type=lambda: SimpleNamespace(name=device), is_user_annotation=lambda: mark,
    )  # fmt: skip


def test_kernels_are_linked_to_the_operator_that_launched_them() -> None:
    """Runtime calls share the numbers of operators, and copies, synchronization and annotated ranges are no kernels."""
    trace = trace_of(
        [
            event("aten::sdpa", 0, 100, correlation=1),
            event("aten::flash", 10, 90, correlation=2),
            event("aten::mm", 100, 120, correlation=3),
            event("cudaLaunchKernel", 20, 30, correlation=3, linked=2),
            event("cudaDeviceSynchronize", 130, 140, correlation=2),
            event("hipDeviceSynchronize", 140, 150, correlation=2),
            event("flash_kernel", 200, 1700, correlation=3, linked=2, device="CUDA"),
            event("gemm_kernel", 150, 160, linked=3, device="CUDA"),
            event("lone_kernel", 2000, 2001, device="CUDA"),
            event("Memcpy HtoD (Pageable -> Device)", 1, 2, linked=3, device="CUDA"),
            event("Memset (Device)", 1, 2, linked=3, device="CUDA"),
            event("Stream Sync", 1, 2, device="CUDA"),
            event("attention", 1, 2, device="CUDA", mark=True),
        ],
        "cuda",
    )

    assert trace == Trace(
        platform="cuda",
        operators=(Operator("aten::sdpa", (4, 0)), Operator("aten::flash", (4, 0), 0), Operator("aten::mm", (4, 0))),
        kernels=(Kernel("gemm_kernel", 2, 0.01), Kernel("flash_kernel", 1, 1.5), Kernel("lone_kernel", -1, 0.001)),
    )
