"""Whose flash attention runs, what padding costs, what a missing dtype comes to, and what the guide's snippets are held to."""

from __future__ import annotations

import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures import judgement, undeclared_dtype
from fixtures.dispatch import Kernel, Operator, Trace
from fixtures.findings import Finding
from fixtures.flash_attention.provider import Provider, promised_package, provided_as_promised
from fixtures.guide import Guide, in_bfloat16
from fixtures.measure import Measurement
from fixtures.messages import collected
from fixtures.padding_cost import device_time
from fixtures.selection import plan
from fixtures.undeclared_dtype import declines_or_warns
from matrix.availability import reason
from matrix.cell import Requirement
from matrix.expand import checks, promise_of
from matrix.load import load_matrix
from suites.selftest import samples
from suites.selftest.samples import check, configuration, facts, packages
from suites.selftest.test_dispatch import recorded
from suites.selftest.test_environments import settings

MATRIX = load_matrix()
FLASH = configuration("flash-attention-2", requires=Requirement(packages=("flash-attn",)))


def provider(module: str) -> Provider:
    return Provider(module=module, file="/somewhere.py", version="1")


# whose functions


@pytest.mark.parametrize(
    ("package", "module"),
    [
        ("flash-attn", "flash_attn.flash_attn_interface"), ("flash-attn-3", "flash_attn_interface"),
        ("flash-attn-4", "flash_attn.cute.interface"),
    ],
)  # fmt: skip
def test_function_of_the_promised_package_is_accepted(package: str, module: str) -> None:
    promising = configuration(requires=Requirement(packages=(package,)))

    assert package == promised_package(promising)
    provided_as_promised(promising, provider(module))


@pytest.mark.parametrize("found", [provider("kernels_community.flash_attn2"), provider("flash_attn_of_mine"), None])
def test_function_of_anybody_else_is_found(found: Provider | None) -> None:
    with pytest.raises(Finding, match="flash attention was promised from the package flash-attn") as raised:
        provided_as_promised(FLASH, found)

    assert "other-provider" == raised.value.code


def test_configuration_about_no_package_takes_any() -> None:
    provided_as_promised(configuration(), None)


# what is planned


def test_triton_is_another_configuration_than_composable_kernel() -> None:
    """The variable that flash-attn heeds decides which of the two runs, and the other says why it does not."""
    installed = packages(**{"flash-attn": "2.8.3"})
    named = ("flash-attention-2", "flash-attention-2-triton")
    cells = [samples.cell(name, platform="rocm", requires=MATRIX.configurations[name].requires) for name in named]
    set_to = {"variables": {"FLASH_ATTENTION_TRITON_AMD_ENABLE": "TRUE"}}
    with_triton, without = facts("rocm", packages=installed, details=set_to), facts("rocm", packages=installed)

    assert [False, True] == [reason(cell, with_triton) is None for cell in cells]
    assert [True, False] == [reason(cell, without) is None for cell in cells]
    assert "it is TRUE" in str(reason(cells[0], with_triton))
    assert "it is not set" in str(reason(cells[1], without))


@pytest.mark.parametrize(
    ("name", "families"),
    [("flash-attention-2", ("composable-kernel",)), ("flash-attention-2-triton", ("flash-attention-triton",))],
)
def test_rocm_has_a_promise_for_each_back_end_and_advice_for_who_gets_the_other(name: str, families: tuple[str, ...]) -> None:
    own = MATRIX.configurations[name]
    promise = promise_of(samples.cell(name, platform="rocm", promises=own.promises), "prefill")

    assert promise is not None
    assert families == promise.families
    assert "FLASH_ATTENTION_TRITON_AMD_ENABLE=TRUE" in promise.advice


def test_triton_in_place_of_composable_kernel_fails_the_dispatch_check_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernels of a recorded trace of flash-attn's Triton back end."""
    monkeypatch.setattr(judgement, "_captured", lambda built, phase: recorded("rocm-triton-flash-attn"))
    own = MATRIX.configurations["flash-attention-2"]
    judged = check("dispatch", "prefill", name="flash-attention-2", platform="rocm", promises=own.promises)
    built: Any = types.SimpleNamespace(asked="flash_attention_2", configured="flash_attention_2")

    with pytest.raises(Finding, match="promised composable-kernel, executed flash-attention-triton") as raised:
        judgement.executed_as_promised(judged, built, Measurement(judged))

    assert "unset it and rebuild flash-attn" in str(raised.value)


@pytest.mark.parametrize("name", ["flash-attention-2", "flash-attention-3", "flash-attention-4"])
def test_package_that_is_not_there_is_named(name: str) -> None:
    (why, *_) = plan(settings(cells=f"{name} and llama-tiny"), facts("cuda")).unavailable.values()
    (package,) = MATRIX.configurations[name].requires.packages

    assert f"{package} is not installed in this environment" == why.sentence


def test_cell_of_a_promised_package_runs_although_it_is_missing() -> None:
    """What takes its place must be seen."""
    made = plan(settings(environment="cuda-tf5-flash-attn", cells="flash-attention-2 and llama-tiny"), facts("cuda"))

    assert {} == made.unavailable
    assert "flash-attention-2/llama-tiny/bf16/cuda::dispatch[prefill]" in {check.id for check in made.checks}


def test_packed_rows_are_asked_of_flash_attention_alone() -> None:
    asked = {check.cell.configuration.name for check in checks(MATRIX, "cuda", "full") if check.subject.startswith("packed")}

    assert {"flash-attention-2", "flash-attention-3", "flash-attention-4"} == asked


def test_padding_costs_are_measured_where_rows_can_be_packed() -> None:
    measured = {check.cell.model.name for check in checks(MATRIX, "cuda", "quick") if check.kind == "padding-cost"}

    assert "llama-tiny" in measured
    assert "distilbert-tiny" not in measured


# what padding costs


def test_time_of_the_device_is_that_of_all_kernels() -> None:
    trace = Trace(platform="cuda", operators=(Operator("aten::mm"),), kernels=(Kernel("a", 0, 1.5), Kernel("b", 0, 2.0)))

    assert 3.5 == device_time(trace)


def test_time_without_a_kernel_is_found() -> None:
    with pytest.raises(Finding, match="the profiler saw no kernel"):
        device_time(Trace(platform="cuda", operators=(), kernels=()))


# a missing dtype


class Loaded:
    """Stands in for the models in memory: what was said while one was built, and its parameters' dtype."""

    def __init__(self, dtype: str, *said: str) -> None:
        parameter = types.SimpleNamespace(dtype=f"torch.{dtype}")
        self.built = types.SimpleNamespace(said=said, model=types.SimpleNamespace(parameters=lambda: iter([parameter])))

    def get(self, cell: Any, device: str) -> Any:
        return self.built


def undeclared(monkeypatch: pytest.MonkeyPatch, cells: Loaded, run: Callable[..., Any] = lambda *arguments: None) -> Any:
    monkeypatch.setattr(undeclared_dtype.execution, "whole", run)
    judged = check("undeclared-dtype", "", name="flash-attention-2-undeclared")
    measure = Measurement(judged)
    declines_or_warns(judged, cells, "cpu", measure)  # type: ignore[arg-type]
    return measure.seen


def test_warning_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = undeclared(monkeypatch, Loaded("float32", "only supports torch.float16 and torch.bfloat16 dtypes", "hello"))

    assert ("warned, ran", ["only supports torch.float16 and torch.bfloat16 dtypes"]) == (seen["outcome"], seen["warned"])


def test_refusal_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*arguments: Any) -> None:
        raise RuntimeError("FlashAttention only support fp16 and bf16 data type")

    seen = undeclared(monkeypatch, Loaded("float32"), run)

    assert ("declined at run", "torch.float32") == (seen["outcome"], seen["loaded_dtype"])


def test_checkpoint_in_half_precision_needs_no_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "ran" == undeclared(monkeypatch, Loaded("bfloat16"))["outcome"]


def test_silence_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Finding, match=r"ran in torch\.float32"):
        undeclared(monkeypatch, Loaded("float32", "hello"))


def test_refusal_that_helps_nobody_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*arguments: Any) -> None:
        raise StopIteration

    with pytest.raises(Finding, match="in words that do not name a dtype"):
        undeclared(monkeypatch, Loaded("float32"), run)


def test_what_the_library_says_once_a_process_is_collected_each_time() -> None:
    from transformers.utils import logging

    logger = logging.get_logger("transformers.selftest")
    heard = []
    for _ in range(2):
        with collected() as said:
            logger.warning_once("said once")
        heard.append(list(said))

    assert [["said once"]] * 2 == heard


# the guide


def guide(**options: Any) -> Guide:
    judged = check("guide", "snippet", name="guide-sdpa", suite="guide", **options)
    return Guide(checkpoint="", check=judged, measure=Measurement(judged))


def model(**attributes: Any) -> Any:
    return types.SimpleNamespace(config=types.SimpleNamespace(_attn_implementation="sdpa"), **attributes)


def test_snippet_that_got_another_implementation_is_found() -> None:
    with pytest.raises(Finding, match="asks for 'flash_attention_2' and the config says 'sdpa'"):
        guide().took(model(), "flash_attention_2")


@pytest.mark.parametrize("text", ["Hello", "", "Good evening"])
def test_generation_that_does_not_go_on_is_found(text: str) -> None:
    with pytest.raises(Finding, match="was expected to continue 'Hello'"):
        guide().answered(text, "Hello")


def test_snippet_that_executed_other_attention_is_found() -> None:
    import torch

    states = torch.randn(1, 2, 3, 8)
    with pytest.raises(Finding, match="promised sdpa-flash, executed eager"):
        guide(promises=MATRIX.configurations["guide-sdpa"].promises).executes(lambda: (states @ states.mT).softmax(-1))


def test_method_of_the_guides_name_is_used_where_it_exists() -> None:
    asked: list[str] = []
    held = guide()
    held.switched(model(set_attention_implementation=asked.append), "sdpa", "set_attention_implementation")

    assert (["sdpa"], True, None) == (asked, held.measure.seen["exists"], held.measure.seen.get("remark"))


def test_method_that_takes_its_place_is_said_with_the_version() -> None:
    import transformers

    asked: list[str] = []
    held = guide()
    held.switched(model(set_attn_implementation=asked.append), "sdpa", "set_attention_implementation")
    expected = (f"set_attention_implementation, as the guide spells it, does not exist in transformers "
                f"{transformers.__version__}: set_attn_implementation takes its place")  # fmt: skip

    assert (["sdpa"], expected) == (asked, held.measure.seen["remark"])


def test_library_that_cannot_switch_at_all_is_found() -> None:
    with pytest.raises(Finding, match="has neither set_attention_implementation nor set_attn_implementation"):
        guide().switched(model(), "sdpa", "set_attention_implementation")


def test_guides_checkpoint_holds_the_same_weights_in_half_precision(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from fixtures.checkpoints import materialize

    source = materialize(MATRIX.models["llama-tiny"], tmp_path)
    copy = in_bfloat16(source, tmp_path / "copy")
    half, whole = (AutoModelForCausalLM.from_pretrained(folder, dtype="auto") for folder in (copy, source))
    same = [torch.equal(a.float(), b) for a, b in zip(half.parameters(), whole.parameters(), strict=True)]

    assert (torch.bfloat16, 4) == (half.dtype, half.generation_config.max_new_tokens)
    assert np.all(same)
