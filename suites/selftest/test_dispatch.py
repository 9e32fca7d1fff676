"""Evidence of dispatch: what executed is told from traces, and a broken promise is told in a sentence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.dispatch import Evidence, Finding, Kernel, Operator, Trace, evidence, judge
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


# recorded on GPUs


@pytest.mark.parametrize(
    ("name", "calls"),
    [
        ("cuda-h200-llama-sdpa-default-padded-prefill", {"sdpa-cudnn": 2}),
        ("cuda-h200-mixtral-eager-default-decode", {"eager": 2}),
        ("cuda-h200-mixtral-sdpa-flash-prefill", {"sdpa-flash": 2}),
        ("cuda-h200-llama-sdpa-efficient-padded-decode", {"sdpa-efficient": 2}),
        ("cuda-h200-gemma2-sdpa-math-prefill", {"sdpa-math": 2}),
        ("cuda-h200-graph-flash", {"sdpa-flash": 1}),
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

    assert (actual.kernels, actual.kernel_count) == ({"attn_fwd": 2}, 6)


def test_a_kernel_of_no_known_family_beside_known_ones_is_found(table: Kernels) -> None:
    """AITER's kernel in a model whose other attention runs through AOTriton."""
    actual = found(table, recorded("rocm-aiter-flux-mi300"), "aotriton")

    assert actual.code == "unclaimed_kernel"
    assert "kernel aiter::fmha_fwd_hd128_bf16_rtz is attention of no known family (1x)" in actual.sentence


def test_every_recorded_trace_says_where_it_is_from_and_survives_json() -> None:
    traces = [recorded(path.stem) for path in sorted(RECORDED.glob("*.json"))]

    assert traces == [Trace.from_json(trace.to_json()) for trace in traces]
    assert [trace for trace in traces if not trace.source] == []


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"version": 1}', '{"version": 2}', '{"version": 1, "platform": "cpu", "operators": 3}']
)
def test_a_malformed_recording_is_one_line(text: str) -> None:
    with pytest.raises(UserError, match="record it again") as raised:
        Trace.from_json(text)

    assert len(str(raised.value).splitlines()) == 1


# what must be found


def test_the_promised_family_alone_is_no_finding(table: Kernels) -> None:
    trace = gpu((FLASH, 4, FLASH_KERNEL), ("aten::_softmax", 2, SOFTMAX_KERNEL))

    assert judge(seen(table, trace), ("sdpa-flash", "sdpa-cudnn")) is None


def test_no_kernel_on_a_gpu_is_nothing_captured_whatever_the_operators_say(table: Kernels) -> None:
    trace = replace(gpu((FLASH, 4, FLASH_KERNEL)), kernels=())

    actual = found(table, trace, "sdpa-flash")

    assert actual.code == "nothing_captured"
    assert "promised sdpa-flash, but the profiler saw no kernel on the device" in actual.sentence


def test_kernels_without_attention_are_nothing_captured(table: Kernels) -> None:
    actual = found(table, gpu(("aten::_softmax", 2, SOFTMAX_KERNEL)), "eager")

    assert actual == Finding(code="nothing_captured", sentence="promised eager, but no attention was seen among 2 kernels")


def test_an_empty_run_on_the_cpu_is_nothing_captured(table: Kernels) -> None:
    assert found(table, Trace(platform="cpu", operators=()), "eager").code == "nothing_captured"


def test_math_in_place_of_flash_is_found_on_a_gpu(table: Kernels) -> None:
    trace = gpu(("aten::_scaled_dot_product_attention_math", 4, SOFTMAX_KERNEL))

    assert found(table, trace, "sdpa-flash") == Finding(
        code="wrong_family",
        sentence="promised sdpa-flash, executed sdpa-math (1x): operators aten::_scaled_dot_product_attention_math (1x), "
        "kernels void (anonymous namespace)::softmax_warp_forward< (1x)",
    )


def test_sdpa_in_place_of_flash_attention_2_is_found(table: Kernels) -> None:
    assert found(table, gpu((FLASH, 4, FLASH_KERNEL)), "flash-attention-2").code == "wrong_family"


def test_triton_in_place_of_composable_kernel_is_found(table: Kernels) -> None:
    assert found(table, recorded("rocm-triton-flash-attn"), "composable-kernel").code == "wrong_family"


def test_one_layer_that_fell_back_is_found(table: Kernels) -> None:
    trace = gpu(*[(FLASH, 4, FLASH_KERNEL)] * 3, ("aten::_scaled_dot_product_attention_math", 4, SOFTMAX_KERNEL))

    actual = found(table, trace, "sdpa-flash")

    assert actual.code == "mixed_families"
    assert "promised sdpa-flash, but 1 of 4 calls were of sdpa-math" in actual.sentence


@pytest.mark.parametrize("kernel", [None, "void some::NewKernel<"])
def test_a_known_operator_above_no_known_kernel_is_unclaimed(table: Kernels, kernel: str | None) -> None:
    actual = found(table, gpu((FLASH, 4, kernel)), "sdpa-flash")

    assert actual.code == "unclaimed_kernel"
    assert f"{FLASH} launched no kernel of sdpa-flash or flash-attention-3 or flash-attention-4; it launched" in actual.sentence


def test_a_kernel_of_another_family_beneath_an_operator_is_unclaimed(table: Kernels) -> None:
    trace = gpu((FLASH, 4, FLASH_KERNEL), ("aten::_scaled_dot_product_cudnn_attention", 4, FLASH_KERNEL))

    assert found(table, trace, "sdpa-flash").code == "unclaimed_kernel"


def test_a_registered_flash_back_end_is_known_by_its_kernel(table: Kernels) -> None:
    trace = gpu((FLASH, 4, "void cutlass::device_kernel<flash::enable_sm90<flash::FlashAttnFwdSm90<"))

    assert seen(table, trace).calls == {"flash-attention-3": 1}


def test_a_package_that_registers_no_operator_is_known_by_its_kernel(table: Kernels) -> None:
    trace = gpu(("_flash_attn2_9e27194::fwd", 4, "void flash::flash_fwd_kernel<Flash_fwd"))
    actual = seen(table, trace)

    assert (actual.calls, actual.unclaimed) == ({"flash-attention-2": 1}, ())


def test_an_attention_operator_that_nobody_knows_is_unclaimed_on_the_cpu(table: Kernels) -> None:
    trace = Trace(platform="cpu", operators=(Operator("new_package::fused_attention", (4, 4, 4)),))

    assert found(table, trace, "sdpa-flash").code == "unclaimed_kernel"


def test_attention_that_ran_on_the_host_of_a_gpu_is_unclaimed(table: Kernels) -> None:
    trace = gpu((FLASH, 4, FLASH_KERNEL), ("aten::_scaled_dot_product_flash_attention_for_cpu", 4, None))

    assert found(table, trace, "sdpa-flash").code == "unclaimed_kernel"


def test_an_empty_promise_still_asks_for_known_attention(table: Kernels) -> None:
    traces = [gpu((FLASH, 4, FLASH_KERNEL)), gpu((FLASH, 4, None)), gpu()]
    findings = [judge(seen(table, trace), ()) for trace in traces]

    assert [finding and finding.code for finding in findings] == [None, "unclaimed_kernel", "nothing_captured"]
