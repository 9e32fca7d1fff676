"""Names of operators and kernels are classified as kernels.toml says, and the file is read strictly."""

from __future__ import annotations

from pathlib import Path

import pytest

from matrix.errors import UserError
from matrix.kernels import Kernels, family_names, load_kernels

FAMILIES = {
    "eager", "sdpa-math", "sdpa-flash", "sdpa-efficient", "sdpa-cudnn", "sdpa-overrideable", "flash-attention-2",
    "flash-attention-3", "flash-attention-4", "flex-attention", "aotriton", "composable-kernel", "flash-attention-triton",
    "bnb-int8", "bnb-4bit-fused", "bnb-4bit-dequantize",
}  # fmt: skip
MINIMAL = """
version = 1
attention = "attn"
[[family]]
name = "eager"
summary = "s"
[[family.operator]]
pattern = "softmax"
source = "https://example.org"
"""


@pytest.fixture(scope="module")
def table() -> Kernels:
    return load_kernels()


@pytest.mark.parametrize(
    ("name", "platform", "families"),
    [
        pytest.param("void pytorch_flash::flash_fwd_kernel<pytorch_flash::", "cuda", ("sdpa-flash",), id="sdpa-flash"),
        pytest.param("void pytorch_flash::flash_fwd_splitkv_combine_kernel<", "cuda", ("sdpa-flash",), id="sdpa-flash-decode"),
        pytest.param("void flash::flash_fwd_kernel<Flash_fwd_", "cuda", ("flash-attention-2",), id="flash-attention-2"),
        pytest.param("void flash_fwd_kernel<Flash_fwd_", "cuda", ("flash-attention-2",), id="flash-attention-2-old"),
        pytest.param("void flash::flash_fwd_splitkv_kernel<", "cuda", ("flash-attention-2",), id="flash-attention-2-decode"),
        pytest.param(
            "void cutlass::device_kernel<flash::enable_sm90_or_later<flash::FlashAttnFwdSm90<flash::CollectiveMainloop",
            "cuda", ("flash-attention-3",), id="flash-attention-3",
        ),
        pytest.param(
            "kernel_cutlass_kernel_flash_attncuteflash_fwd_sm100FlashAttentionForwardSm100_object_at__tensor0000o11101213",
            "cuda", ("flash-attention-4",), id="flash-attention-4",
        ),
        pytest.param(
            "fmha_cutlassF_bf16_aligned_64x64_rf_sm80(PyTorchMemEffAttention::AttentionKernel<",
            "cuda", ("sdpa-efficient",), id="sdpa-efficient",
        ),
        pytest.param("fmha_cutlassF_f32_aligned_64x64_rf_sm80(AttentionKernel<", "cuda", (), id="xformers-is-nobody's"),
        pytest.param("cudnn_generated_fort_native_sdpa_sm90_flash_fprop_wgmma_f16_knob_7", "cuda", ("sdpa-cudnn",), id="cudnn"),
        pytest.param("triton_tem_fused_flex_attention_0", "cuda", ("flex-attention",), id="flex"),
        pytest.param("attn_fwd", "rocm", (), id="attn_fwd-alone-is-ambiguous"),
        pytest.param("_ZN7ck_tile6kentryILi2ENS_13FmhaFwdKernelINS_28Block", "rocm", ("composable-kernel",), id="mangled-ck"),
        pytest.param("_fwd_kernel_splitK.kd", "rocm", ("flash-attention-triton",), id="triton-decode"),
        pytest.param("void (anonymous namespace)::softmax_warp_forward<", "cuda", (), id="softmax-alone-is-nobody's"),
        pytest.param("void pytorch_flash::flash_fwd_kernel<", "rocm", (), id="other-platform"),
    ],
)  # fmt: skip
def test_a_kernel_that_stands_alone_belongs_to_the_family_of_its_name(
    table: Kernels, name: str, platform: str, families: tuple[str, ...]
) -> None:
    actual = table.of_kernel(name, platform, alone=True)

    assert families == actual


@pytest.mark.parametrize("platform", ["cpu", "cuda", "rocm"])
def test_a_softmax_over_less_than_four_dimensions_is_no_attention(table: Kernels, platform: str) -> None:
    actual = [table.of_operator("aten::_softmax", rank, platform) for rank in (2, 3, 4)]

    assert actual == [(), (), ("eager",)]


def test_on_the_cpu_an_operator_belongs_to_one_family(table: Kernels) -> None:
    names = [
        "aten::_softmax", "aten::_scaled_dot_product_attention_math", "aten::_scaled_dot_product_flash_attention_for_cpu",
        "aten::_scaled_dot_product_fused_attention_overrideable",
    ]  # fmt: skip
    actual = [table.of_operator(name, 4, "cpu") for name in names]

    assert actual == [("eager",), ("sdpa-math",), ("sdpa-flash",), ("sdpa-overrideable",)]


def test_no_name_of_a_kernel_alone_is_claimed_twice(table: Kernels) -> None:
    """Two families may share a pattern only where an operator must decide between them."""
    shared = [
        (rule.pattern, platform)
        for family in table.families for rule in family.kernels if not rule.needs_operator for platform in rule.platforms
    ]  # fmt: skip

    assert len(set(shared)) == len(shared)


def test_families_that_share_operator_and_kernel_do_not_exist(table: Kernels) -> None:
    """Operator and kernel together always decide."""
    claims = [
        (operator.pattern, kernel.pattern, platform)
        for family in table.families for operator in family.operators for kernel in family.kernels
        for platform in set(operator.platforms) & set(kernel.platforms)
    ]  # fmt: skip

    assert len(set(claims)) == len(claims)


def test_every_family_of_the_vocabulary_is_described_once() -> None:
    assert sorted(FAMILIES) == sorted(family_names())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("void some::FlashMLAKernel<", True), ("fmhaSm100fKernel_QkvFp16", True), ("kernel_unified_attention_2d", True),
        ("void transformer_engine::fused_attn_rocm::add_padding", True), ("nvjet_sm90_hsh_128x256", False),
        ("ampere_bf16_s16816gemm_bf16_128x64", False), ("cutlass_80_wmma_tensorop_f16_s161616gemm_f16_32x32", False),
        ("triton_poi_fused__scaled_dot_product_flash_attention_clone_3", False), ("aten::_fused_sdp_choice", False),
    ],
)  # fmt: skip
def test_names_that_speak_of_attention_are_told_from_others(table: Kernels, name: str, expected: bool) -> None:
    assert expected is table.looks_like_attention(name)


def edited(tmp_path: Path, old: str, new: str) -> Path:
    path = tmp_path / "kernels.toml"
    path.write_text(MINIMAL.replace(old, new))
    return path


def test_the_smallest_file_is_read(tmp_path: Path) -> None:
    assert family_names(edited(tmp_path, "", "")) == ("eager",)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('pattern = "softmax"', 'pattern = "("', r"family\[0\]\.operator\[0\]\.pattern is no regular expression"),
        ('pattern = "softmax"', 'patern = "softmax"', r"operator\[0\]\.pattern is missing"),
        ('source = "https://example.org"', 'source = "seen once"', r"source is 'seen once', an https:// address is accepted"),
        ('source = "https', 'platforms = ["hip"]\nsource = "https', r"platforms is 'hip', accepted: cpu, cuda, rocm"),
        ('source = "https://example.org"', 'source = "https://e.org"\nrank = 4', r"rank is an unknown key"),
        ("version = 1", "version = 2", r"version is 2"),
        ('[[family.operator]]\npattern = "softmax"\nsource = "https://example.org"', "", r"at least one rule is required"),
        ('[[family]]\nname', '[[family]]\nname = "eager"\nsummary = ""\n[[family.operator]]\npattern = "a"\nsource = "https://a"\n[[family]]\nname',
         r"'eager' appears 2 times"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_file_is_one_line_that_names_the_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        load_kernels(edited(tmp_path, old, new))

    assert len(str(raised.value).splitlines()) == 1
