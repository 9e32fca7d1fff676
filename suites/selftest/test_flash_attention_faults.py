"""What can go wrong with flash-attn turns a run red, in the words that a user needs; on the CPU, with an emulated package."""

from __future__ import annotations

from pathlib import Path

import pytest

from suites.selftest.nested import Nested, validate

LLAMA, MISTRAL, FALCON = (f"flash-attention-2/{name}-tiny/bf16/cpu" for name in ("llama", "mistral", "falcon"))
UNDECLARED = "flash-attention-2-undeclared/llama-tiny/fp32/cpu"
# fault -> the cells to look at, and checks that must fail with the words that their sentences must hold
CAUGHT = {
    "flash-attn-window-one-too-wide": (MISTRAL, {"correct[prefill-long]": "logits differ from eager fp32"}),
    "flash-attn-top-left": (LLAMA, {"correct[chunked-prefill]": "logits differ from eager fp32"}),
    "flash-attn-padding-ignored": (
        LLAMA,
        {
            "invariant[padded:left-padding]": "logits differ from the same rows alone",
            "invariant[packed:packed-lengths]": "logits differ from the same rows alone",
        },
    ),
    "sdpa-instead-of-flash-attn": (LLAMA, {"dispatch[prefill]": "promised flash-attention-2, executed sdpa"}),
    "flash-attn-request-ignored": (FALCON, {"dispatch[decode]": "promised flash-attention-2, executed eager"}),
    "hub-kernel-instead-of-flash-attn": (
        LLAMA,
        {
            "builds": "the model's config says 'kernels-community/flash-attn2'",
            "dispatch[prefill]": "from the package flash-attn and its functions come from flash_attn2_of_the_hub",
        },
    ),
    "flash-attn-dtype-warning-lost": (UNDECLARED, {"undeclared-dtype": "ran in torch.float32"}),
}
QUICK = list(CAUGHT)[:3]  # the rest with the slow ones
BUILDS = f"{LLAMA}::builds"
IMPORTS = "environment/flash-attn/any/cpu::imports"


def nested(folder: Path, cells: str, *arguments: str) -> Nested:
    return validate(folder, "-p", "suites.selftest.emulated.plugin", "--cells", cells, *arguments)


def test_without_a_fault_nothing_is_found(tmp_path: Path) -> None:
    """Known failures of transformers aside."""
    clean = nested(tmp_path, "flash-attention-2* and (llama-tiny or bloom-tiny or llama-wide-heads)")

    assert (0, "") == (clean.exit_code, "" if clean.exit_code == 0 else clean.output)


@pytest.mark.parametrize(
    "fault", [*QUICK, *(pytest.param(fault, marks=pytest.mark.slow) for fault in CAUGHT if fault not in QUICK)]
)
def test_fault_is_found(fault: str, tmp_path: Path) -> None:
    cell, checks = CAUGHT[fault]

    kinds = " or ".join({name.partition("[")[0] for name in checks})
    broken = nested(tmp_path, cell, "-k", kinds, "--inject", fault)

    assert broken.run is not None, broken.output
    assert 1 == broken.exit_code
    assert dict.fromkeys(checks, "failed") == {name: broken.run.records[f"{cell}::{name}"].outcome for name in checks}
    assert all(words in broken.run.records[f"{cell}::{name}"].message for name, words in checks.items())


@pytest.mark.parametrize(
    ("site", "imports", "words"),
    [("broken", "import_failed", "undefined symbol"), ("none", "failed", "is promised by this environment and is not")],
)
def test_promised_package_that_cannot_be_used_is_a_failure(tmp_path: Path, site: str, imports: str, words: str) -> None:
    """Built for another torch, or missing: its cells run, and fail to import it."""
    broken = nested(tmp_path, LLAMA, "--site", site)

    assert broken.run is not None, broken.output
    assert (1, imports) == (broken.exit_code, broken.run.records[IMPORTS].outcome)
    assert words in broken.run.records[IMPORTS].message
    assert "import_failed" == broken.run.records[BUILDS].outcome
