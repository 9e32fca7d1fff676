"""Where nodes ran is read off a recorded profile, and every form of fallback has its own reason and sentence."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from packaging.version import Version

from fixtures import optimum_api
from fixtures.findings import Finding
from fixtures.onnxruntime.fallback import of_assignment, of_nodes, of_session, shares, strays_of
from fixtures.onnxruntime.heard import heard, missing_libraries
from fixtures.onnxruntime.profile import Node, by_provider, nodes
from fixtures.onnxruntime.runner import Runner
from matrix.errors import UserError
from matrix.providers import Budget, load_providers

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
TABLE = load_providers()
SHAPES = TABLE.shape_arithmetic
# Written by onnxruntime 1.32.0 for a prefill of distilbert-tiny, (2, 24) tokens; of each event what is read.
EVENTS = json.loads((Path(__file__).parent / "recorded" / "profiles" / "cpu-onnxruntime-distilbert-prefill.json").read_text())
RECORDED = nodes(EVENTS)
# The same graph as CUDA would have it: arithmetic about shapes stays on the CPU.
SPLIT = tuple(replace(node, provider=CUDA) if strays_of([node], SHAPES) else node for node in RECORDED)
MISSED = "libonnxruntime_providers_cuda.so with error: libcublasLt.so.13: cannot open shared object file: No such file"


def node(operator: str = "MatMul", provider: str = CUDA, **changes: Any) -> Node:
    usual: dict[str, Any] = {"name": f"/{operator}", "microseconds": 10.0, "bytes": 49_152, "whole": False}
    return Node(operator=operator, provider=provider, **usual | changes)


def moved(name: str, provider: str) -> tuple[Node, ...]:
    return tuple(replace(each, provider=provider) if each.name == name else each for each in SPLIT)


def verdict(found: tuple[Node, ...], promised: str = CUDA, **budget: int) -> tuple[str, str]:
    """Reason code and sentence, empty where all is well."""
    allowed = replace(TABLE.budget("distilbert-tiny"), **budget)
    finding = of_nodes(found, promised, [promised, CPU], allowed, SHAPES)
    return (finding.code, str(finding)) if finding else ("", "")


# the releases of Optimum


@pytest.mark.parametrize(("release", "expected"), [("1.24.0", ("inner", "first")), ("1.26.0", ("session", "own"))])
def test_session_and_provider_are_found_in_every_release(
    monkeypatch: pytest.MonkeyPatch, release: str, expected: tuple[str, str]
) -> None:
    monkeypatch.setattr(optimum_api, "version", lambda: Version(release))
    runner = Runner(SimpleNamespace(model="inner", session="session", providers=["first", "second"], provider="own"))

    assert expected == (runner.session, runner.provider)


# a recorded profile


def test_every_node_of_a_recorded_profile_is_read() -> None:
    ((provider, found),) = by_provider(RECORDED)

    assert (CPU, 114) == (provider, len(found))
    assert {"MatMul": 16, "LayerNormalization": 5} == {
        name: sum(each.operator == name for each in found) for name in ("MatMul", "LayerNormalization")
    }


def test_outputs_tell_arithmetic_about_shapes_from_the_rest() -> None:
    """A Shape node writes a few whole numbers, a product writes the activations."""
    first = {each.operator: each for each in reversed(RECORDED)}

    assert (True, 24) == (first["Shape"].whole, first["Shape"].bytes)
    assert (False, 2 * 24 * 256 * 4) == (first["MatMul"].whole, first["MatMul"].bytes)


def test_the_first_run_of_a_profile_does_not_count() -> None:
    """It allocates, compiles and copies weights."""
    (run,) = [event for event in EVENTS if event["name"] == "model_run"]
    later = {"cat": "Session", "name": "model_run", "ts": run["ts"] + run["dur"] + 10, "dur": 100}
    again = next(event for event in EVENTS if event["cat"] == "Node") | {"ts": later["ts"] + 1}

    assert 1 == len(nodes([*EVENTS, later, again]))


def test_of_the_runs_after_the_first_the_quickest_counts() -> None:
    """A host that was busy with something else says nothing about where nodes ran."""
    (run,) = [event for event in EVENTS if event["name"] == "model_run"]
    executed = next(event for event in EVENTS if event["cat"] == "Node")
    more = []
    for turn, taken in enumerate((900, 100, 500)):
        start = run["ts"] + run["dur"] + 1000 * (turn + 1)
        more += [
            {"cat": "Session", "name": "model_run", "ts": start, "dur": taken},
            executed | {"ts": start, "dur": taken // 2},
        ]

    (found,) = nodes([*EVENTS, *more])

    assert 50.0 == found.microseconds


def test_a_profile_of_nothing_is_no_evidence() -> None:
    assert ("nothing-captured", f"promised {CUDA}, but ONNX Runtime's profile names no node") == verdict(())


# nodes


def test_a_session_on_the_cpu_keeps_its_promise_there() -> None:
    assert ("", "") == verdict(RECORDED, promised=CPU)


def test_shape_arithmetic_on_the_cpu_is_within_the_budget() -> None:
    assert ("", "") == verdict(SPLIT)


def test_a_session_elsewhere_is_found_whatever_it_says_of_itself() -> None:
    code, sentence = verdict(RECORDED)

    assert "session-elsewhere" == code
    assert f"promised {CUDA}, and get_providers() says {CUDA} and {CPU}: all 114 nodes were executed by {CPU}" == sentence


@pytest.mark.parametrize("operator", ["MatMul", "Softmax", "LayerNormalization", "BiasGelu"])
def test_one_node_on_the_cpu_is_found_by_its_operator(operator: str) -> None:
    name = next(each.name for each in SPLIT if each.operator == operator)

    code, sentence = verdict(moved(name, CPU))

    assert "nodes-outside" == code
    assert f"1 of 114 nodes that compute no shapes were executed outside {CUDA}: {operator} {name} on {CPU}" in sentence


def test_one_node_on_the_cpu_is_found_by_its_size() -> None:
    """Add computes with shapes, and with activations as well."""
    name = next(each.name for each in SPLIT if each.operator == "Add" and each.provider == CUDA)

    assert "nodes-outside" == verdict(moved(name, CPU))[0]


@pytest.mark.parametrize(("whole", "code"), [(True, ""), (False, "nodes-outside")])
def test_a_mask_may_be_made_on_the_cpu_and_scores_may_not(whole: bool, code: str) -> None:
    """Of the same size, they differ in what they hold."""
    made = node("Where", CPU, bytes=9_984, whole=whole, microseconds=1.0)

    assert code == verdict((node(), node(), made))[0]


def test_another_provider_than_the_cpu_is_outside_too() -> None:
    """TensorRT was promised, and CUDA took a product."""
    assert "nodes-outside" == verdict((node(provider=TENSORRT), node(provider=CUDA)), promised=TENSORRT)[0]


def test_shape_arithmetic_beyond_the_budget_is_found() -> None:
    small = tuple(node("Gather", CPU, bytes=8, microseconds=1.0) for _ in range(30))

    assert ("nodes-over-budget", f"97 % of the nodes of a pass was outside {CUDA}, the budget is 40 %: Gather (30x)") == (
        verdict((node(microseconds=99.0), *small))
    )


def test_time_beyond_the_budget_is_found() -> None:
    found = (node(), node(), node("Gather", CPU, bytes=8, microseconds=99.0))

    assert "time-over-budget" == verdict(found)[0]


def test_copies_beyond_the_budget_are_found() -> None:
    copies = tuple(node("MemcpyToHost", CUDA, bytes=8) for _ in range(3))

    expected = ("copies-over-budget", f"3 nodes copy between the host's memory and that of {CUDA}, the budget is 2")
    assert expected == verdict((node(), *copies), copies=2)


def test_shares_are_of_nodes_and_of_their_time() -> None:
    found = (node(microseconds=30.0), node("Shape", CPU, microseconds=10.0))

    assert (50.0, 25.0) == shares(found, found[1:])


# the whole session


@pytest.mark.parametrize("listed", [[CUDA], [CUDA, CPU]])
def test_a_session_on_its_provider_is_as_asked(listed: list[str]) -> None:
    assert of_session(CUDA, [CUDA], listed, []) is None


def told(finding: Finding | None) -> tuple[str, str]:
    assert finding is not None
    return finding.code, str(finding)


def test_a_missing_library_is_named() -> None:
    code, sentence = told(of_session(CUDA, [CUDA], [CPU], [MISSED]))

    assert "session-fell-back" == code
    assert f"{CUDA} was asked for and the session was made on {CPU}: libcublasLt.so.13 cannot be found" in sentence


def test_a_fallback_without_a_missing_library_is_told_in_the_librarys_words() -> None:
    said = "Failed to create TensorrtExecutionProvider."

    assert f"made on {CPU}: ONNX Runtime said: {said}" in told(of_session(TENSORRT, [TENSORRT], [CPU], ["EP Error", said]))[1]


@pytest.mark.parametrize(("handed", "words"), [([], "no provider"), ([CPU], f"{CPU} instead")])
def test_a_provider_that_is_never_passed_on_is_another_reason(handed: list[str], words: str) -> None:
    """Not a library is missing: Optimum takes the CPU where nothing is passed."""
    code, sentence = told(of_session(CUDA, handed, [CPU], []))

    assert "provider-not-passed" == code
    assert f"Optimum handed ONNX Runtime {words}" in sentence


def test_a_graph_given_to_others_is_found_before_anything_runs() -> None:
    assert of_assignment(CUDA, [CUDA, CPU], {CUDA: 68, CPU: 46}) is None
    assert of_assignment(CUDA, [CUDA, CPU], {}) is None
    assert told(of_assignment(CUDA, [CUDA], {CPU: 114}))[0] == "session-elsewhere"


# what native code says


def test_what_native_code_says_is_heard_and_passed_on(capfd: pytest.CaptureFixture[str]) -> None:
    with heard() as lines:
        os.write(2, b"libcudnn.so.9: cannot open shared object file\n\n")

    assert ["libcudnn.so.9: cannot open shared object file"] == lines
    assert "libcudnn.so.9" in capfd.readouterr().err


def test_each_missing_library_is_named_once() -> None:
    lines = [MISSED, MISSED, "libnvinfer.so.10: cannot open shared object file", "libfine.so.1: loaded"]

    assert ("libcublasLt.so.13", "libnvinfer.so.10") == missing_libraries(lines)


# the budgets


def test_a_model_without_a_budget_of_its_own_has_the_default() -> None:
    assert TABLE.budget("default") == TABLE.budget("some-model") != TABLE.budget("gpt2-tiny")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"providers.toml: version is missing"),
        ("[budget.x]\nnodes = 1\ntime = 1\ncopies = 1\nsource = 'counted'", r"budget has no 'default'"),
        (
            "[budget.default]\nnodes = 101\ntime = 1\ncopies = 1\nsource = ''",
            r"budget.default.nodes is 101, a share of at most 100",
        ),
        ("[budget.default]\nnodes = 1\ntime = 1\nsource = ''", r"budget.default.copies is missing"),
        ("[budget.default]\nnodes = 1\ntime = 1\ncopies = 1\nsource = ''\nops = 2", r"budget.default.ops is an unknown key"),
    ],
)
def test_a_budget_that_cannot_be_used_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    path, head = (
        tmp_path / "providers.toml",
        'version = 1\n[shape-arithmetic]\noperators = ["Shape"]\nbytes = 8\nwhole_bytes = 8\nsource = ""\n',
    )
    path.write_text(head + text if text else "")

    with pytest.raises(UserError, match=words):
        load_providers(path)


def test_a_budget_is_of_nodes_time_and_copies() -> None:
    assert Budget(nodes=40, time=60, copies=8) == TABLE.budget("default")
