"""Which family a quantized product belongs to is read off its operator and the kernels beneath it."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from fixtures.dispatch import Kernel, Operator, Trace, evidence
from fixtures.findings import Finding
from fixtures.options import ROOT
from fixtures.quantization import native
from fixtures.quantization.dispatch import _families, decoding, plain_products
from fixtures.quantization.method import method_of
from matrix.errors import UserError
from matrix.kernels import load_kernels
from suites.selftest.samples import configuration

TABLE = load_kernels().about("quantized-linear")
# Kernel names are those of libbitsandbytes_cuda130.so and libbitsandbytes_rocm72.so (nm), or of the source in kernels.toml.
SIMT = "void gemm_4bit_simt<__nv_bfloat16, 2>(__nv_bfloat16 const*, unsigned char const*, float const*)"
MMA = "void gemm_4bit_sm80_m16n8k16<__half, 64, 64, 64>(__half const*)"
NAIVE = "void kgemm_4bit_inference_naive<__hip_bfloat16, 128, 16>(int, int, int)"
DECODE = "void kDequantizeBlockwise<__nv_bfloat16, 512, 64, 8, 2>(float*, unsigned char*, float*, __nv_bfloat16*, int, int)"
INT8 = "cutlass::Kernel2<cutlass_80_tensorop_i16832gemm_s8_128x64_128x3_tn_align16>"
INT8_HOPPER = "sm90_xmma_gemm_i8i32_i8i32_i32_tn_n_tilesize128x128x128_execute_segment_k_off_kernel__5x_cublas"
INT8_ROCM = "Cijk_Alik_Bljk_I8BH_HAI_SAV_UserArgs_MT32x96x256_MI16x16x1_SN"
SCALED = "void kdequant_mm_int32_fp16<4, 512>(int*, float*, float*, __half*, __half*, int, int, int)"
GEMM = "sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize64x64x64"


def traced(operator: str, *kernels: str, platform: str = "cuda") -> Trace:
    """One call of an operator that launched these kernels."""
    launched = tuple(Kernel(name, 0, 1.0) for name in kernels)
    return Trace(platform=platform, operators=(Operator(operator, (2,)),), kernels=launched)


@pytest.mark.parametrize(
    ("operator", "kernels", "platform", "expected"),
    [
        ("bitsandbytes::gemm_4bit", (SIMT,), "cuda", ("bnb-4bit-fused",)),
        ("bitsandbytes::gemm_4bit", (MMA,), "cuda", ("bnb-4bit-fused",)),
        ("bitsandbytes::gemm_4bit", (DECODE, GEMM), "cuda", ("bnb-4bit-dequantize",)),
        ("bitsandbytes::dequantize_4bit", (DECODE,), "cuda", ("bnb-4bit-dequantize",)),
        ("bitsandbytes::gemv_4bit", (NAIVE,), "rocm", ("bnb-4bit-fused",)),
        ("bitsandbytes::gemm_4bit", (SIMT,), "rocm", ("bnb-4bit-fused",)),
        ("bitsandbytes::int8_mixed_scaled_mm", (INT8, SCALED, GEMM), "cuda", ("bnb-int8",)),
        ("bitsandbytes::int8_scaled_mm", (INT8_HOPPER, SCALED), "cuda", ("bnb-int8",)),
        ("bitsandbytes::int8_mixed_scaled_mm", (INT8_ROCM, SCALED), "rocm", ("bnb-int8",)),
        ("bitsandbytes::gemv_4bit", (), "cpu", ("bnb-4bit-fused",)),
        ("bitsandbytes::gemm_4bit", (), "cpu", ("bnb-4bit-dequantize",)),
        ("bitsandbytes::int8_mixed_scaled_mm", (), "cpu", ("bnb-int8",)),
        ("bitsandbytes::int8_vectorwise_quant", ("void kInt8VectorQuant<__half, 1024, 1>",), "cuda", ()),
        ("aten::linear", (GEMM,), "cuda", ()),
    ],
)  # fmt: skip
def test_a_product_is_of_the_family_of_its_kernels(
    operator: str, kernels: tuple[str, ...], platform: str, expected: tuple[str, ...]
) -> None:
    seen = evidence(traced(operator, *kernels, platform=platform), TABLE, platform)

    assert (expected, ()) == (seen.families, seen.unclaimed)


def test_int8_that_launched_no_int8_kernel_is_said_to_have_done_so() -> None:
    seen = evidence(traced("bitsandbytes::int8_scaled_mm", GEMM, SCALED), TABLE, "cuda")

    assert () == seen.families
    assert "launched no kernel of bnb-int8" in seen.unclaimed[0]


def test_the_tables_of_attention_and_of_linear_layers_are_apart() -> None:
    attention = load_kernels().about("attention")

    assert {"bnb-int8", "bnb-4bit-fused", "bnb-4bit-dequantize"} == {family.name for family in TABLE.families}
    assert not {family.name for family in attention.families} & {family.name for family in TABLE.families}
    assert TABLE.looks_like_attention("bitsandbytes::gemm_4bit")
    assert not attention.looks_like_attention("bitsandbytes::gemm_4bit")


def test_a_product_of_int8_codes_in_full_precision_is_counted() -> None:
    operators = (
        Operator("bitsandbytes::int8_scaled_mm"), Operator("bitsandbytes::int8_linear_matmul", (), 0),
        Operator("aten::matmul", (), 1), Operator("aten::mm", (), 2), Operator("aten::linear"),
    )  # fmt: skip

    assert 1 == plain_products(Trace(platform="cpu", operators=operators))


@pytest.mark.parametrize(
    ("platform", "has_fused", "expected"),
    [
        ("cpu", True, ("bnb-4bit-fused",)), ("cpu", False, ("bnb-4bit-dequantize",)),
    ],
)  # fmt: skip
def test_one_row_on_the_cpu_is_decoded_whole_until_there_is_a_fused_kernel(
    platform: str, has_fused: bool, expected: tuple[str, ...]
) -> None:
    seen = evidence(decoding(traced("bitsandbytes::gemv_4bit", platform=platform), has_fused), TABLE, platform)

    assert (expected, ()) == (seen.families, seen.unclaimed)


@pytest.mark.parametrize(
    ("operators", "kernels", "layers", "code"),
    [
        (["bitsandbytes::gemm_4bit"] * 2, SIMT, 2, ""),
        (["bitsandbytes::gemm_4bit"] * 2, DECODE, 2, "wrong_family"),
        (["bitsandbytes::gemm_4bit"], SIMT, 2, "layers-not-quantized"),
        ([], GEMM, 2, "layers-not-quantized"),
        (["bitsandbytes::gemm_4bit"], GEMM, 1, "unclaimed_kernel"),
        ([], GEMM, 0, "nothing_captured"),
        ([], "", 2, "nothing_captured"),
    ],
)  # fmt: skip
def test_what_is_not_as_promised_is_named(operators: list[str], kernels: str, layers: int, code: str) -> None:
    """Every layer runs once, in the promised family; aside from that, other products are none of its business."""
    made = tuple(Operator(name, (2,)) for name in operators)
    launched = tuple(Kernel(kernels, at, 1.0) for at in range(max(1, len(made)))) if kernels else ()
    if not made and kernels:
        made = (Operator("aten::linear", (2,)),)
    seen = evidence(Trace(platform="cuda", operators=made, kernels=launched), TABLE, "cuda")

    try:
        _families("decode", seen, ("bnb-4bit-fused",), layers)
        found = ""
    except Finding as finding:
        found = finding.code
    assert code == found


# options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"load": "8-bit", "treshold": 0}, "treshold is unknown"),
        ({"load": "16-bit"}, "load is '16-bit', accepted: 8-bit, 4-bit"),
        ({}, "load is None"),
        ({"load": "4-bit", "type": "int4"}, "type is 'int4', accepted: nf4, fp4"),
        ({"load": "4-bit", "storage": "bf16"}, "storage is 'bf16', accepted: uint8, bfloat16"),
        ({"load": "4-bit", "threshold": 2}, "threshold means nothing where load is 4-bit"),
        ({"load": "8-bit", "storage": "uint8"}, "storage means nothing where load is 8-bit"),
        ({"load": "8-bit", "threshold": "low"}, "threshold is 'low', accepted: a number of at least 0"),
        ({"load": "8-bit", "skip": "lm_head"}, "skip is 'lm_head', accepted: a list of names of modules"),
    ],
)
def test_an_option_that_means_nothing_is_the_users_error(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=rf"^configurations\.toml: configuration\.bnb\.options\.{message}"):
        method_of(configuration("bnb", options=options))


# the native library


def test_a_native_library_that_works_has_no_problem() -> None:
    command = [sys.executable, "-m", "fixtures.quantization.native", "cpu"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    assert (0, "") == (done.returncode, done.stderr if done.returncode else "")


GPU = (
    "import torch; torch.cuda.is_available = lambda: True; torch.version.cuda = '13.0'; torch.cuda.device_count = lambda: 1; "
    "torch.cuda.device = lambda index: index; torch.cuda.get_device_capability = lambda index: (9, 0); "
    "torch._C._cuda_getCurrentRawStream = None; "
)
MISSING = (
    "import ctypes; load = ctypes.cdll.LoadLibrary; "
    "ctypes.cdll.LoadLibrary = lambda name: load('libcudart.so.99' if 'bitsandbytes' in name else name); "
)
CASES = {
    "the library for the CPU on a machine with a GPU": (
        "", "the one for the CPU alone on a machine with a GPU: Method 'cget_managed_ptr' not available in CPU-only version",
    ),
    "a runtime that is missing": (
        GPU + MISSING, "the native library was not loaded: libcudart.so.99: cannot open shared object file",
    ),
    "a version that is not in the wheel": (
        f"import os; os.environ['BNB_CUDA_VERSION'] = '999'; {GPU}", "was not loaded (BNB_CUDA_VERSION=999): ",
    ),
}  # fmt: skip

QUICK = "a version that is not in the wheel"


def test_an_import_that_raises_anything_at_all_is_an_import_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU build on a torch without a GPU ends in AttributeError."""
    monkeypatch.setitem(sys.modules, "bitsandbytes", SimpleNamespace())

    with pytest.raises(ImportError, match=r"^bitsandbytes: its import raised ImportError: cannot import name 'cextension'"):
        native.require("cpu")


@pytest.mark.parametrize("case", [pytest.param(case, marks=pytest.mark.slow) if case != QUICK else case for case in CASES])
def test_a_native_library_that_does_not_fit_is_named_in_its_own_words(case: str) -> None:
    """Each in a process of its own, where torch only says that there is a GPU."""
    before, words = CASES[case]
    asked = f"{before}from fixtures.quantization import native; print(native.problem('cuda'))"
    done = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True)

    assert words in done.stdout, done.stderr[-2000:]
