"""The layout of the repository holds: imports run one way, suites hold tests alone, and files stay short."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from fixtures.options import ROOT

LAYERS = ("matrix", "reports", "fixtures", "suites")  # each may import itself and those before it
SOURCES = {path.relative_to(ROOT).as_posix(): path for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py"))}
PACKAGES = [name for name in SOURCES if not name.startswith("suites/")]
SUITES = [name for name in SOURCES if name.startswith("suites/") and not name.startswith("suites/selftest/")]
SELFTESTS = [name for name in SOURCES if name.startswith("suites/selftest/test_")]
UNDER_TEST = {
    "torch",
    "transformers",
    "accelerate",
    "bitsandbytes",
    "optimum",
    "onnxruntime",
    "tokenizers",
    "safetensors",
    "triton",
}
# What a layer may import when its modules are imported, beyond the standard library and the layers below.
AT_THE_TOP = {"matrix": set(), "reports": {"pytest"}, "fixtures": {"pytest", "numpy", "packaging", "hypothesis"}}
# ... and inside its functions.
INSIDE = {"matrix": set(), "reports": {"scipy", "jinja2", "rich"}, "fixtures": UNDER_TEST | {"xdist", "hypothesis"}}
LONGEST = 350


def tree(name: str) -> ast.Module:
    return ast.parse(SOURCES[name].read_text(encoding="utf-8"))


def layer_of(name: str) -> str:
    return name.partition("/")[0]


def imported(nodes: Iterator[ast.AST]) -> set[str]:
    """Top-level names of the packages that some nodes import."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." if node.level else str(node.module).partition(".")[0])
    return found


def on_import(node: ast.AST) -> Iterator[ast.AST]:
    """What is executed when a module is imported: everything outside functions and ``if TYPE_CHECKING``."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        yield child
        yield from on_import(child)


@pytest.mark.parametrize("name", SOURCES)
def test_imports_run_one_way(name: str) -> None:
    """matrix <- reports <- fixtures <- suites, types and function bodies included."""
    above = set(LAYERS[LAYERS.index(layer_of(name)) + 1 :])

    assert set() == above & imported(ast.walk(tree(name)))


@pytest.mark.parametrize("name", SOURCES)
def test_imports_name_their_package(name: str) -> None:
    """A relative import hides which layer it is of."""
    assert "." not in imported(ast.walk(tree(name)))


@pytest.mark.parametrize("name", PACKAGES)
def test_a_module_imports_what_its_layer_may(name: str) -> None:
    """matrix: the standard library alone; fixtures: the libraries under test inside functions, so that one that is broken
    costs the checks that need it and not the collection.
    """
    layer = layer_of(name)
    known = set(sys.stdlib_module_names) | set(LAYERS)
    top, everything = imported(on_import(tree(name))), imported(ast.walk(tree(name)))

    assert set() == top - known - AT_THE_TOP[layer]
    assert set() == everything - known - AT_THE_TOP[layer] - INSIDE[layer]


@pytest.mark.parametrize("name", SUITES)
def test_a_suite_imports_no_library_under_test(name: str) -> None:
    """A module-level import of a missing library stops the whole collection."""
    assert set() == UNDER_TEST & imported(on_import(tree(name)))


@pytest.mark.parametrize("name", SUITES)
def test_a_suite_holds_tests_alone(name: str) -> None:
    """What a test needs beyond its claim lives in fixtures."""
    others = [
        node.name
        for node in tree(name).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("test_")
    ]

    assert [] == others


@pytest.mark.parametrize("name", [*SUITES, *SELFTESTS])
def test_a_file_of_tests_is_named_for_them(name: str) -> None:
    assert Path(name).name.startswith("test_")


@pytest.mark.parametrize("name", SUITES)
def test_a_test_of_a_suite_is_marked_with_its_check(name: str) -> None:
    """Without the mark it would run outside the plan and leave no record."""
    unmarked = [
        node.name
        for node in tree(name).body
        if isinstance(node, ast.FunctionDef)
        and not any("pytest.mark.check(" in ast.unparse(mark) for mark in node.decorator_list)
    ]

    assert [] == unmarked


@pytest.mark.parametrize("name", SOURCES)
def test_a_module_says_what_it_is_for(name: str) -> None:
    assert ast.get_docstring(tree(name))


@pytest.mark.parametrize("name", SOURCES)
def test_a_file_can_be_read_in_one_sitting(name: str) -> None:
    assert len(SOURCES[name].read_text(encoding="utf-8").splitlines()) < LONGEST


@pytest.mark.parametrize("name", SOURCES)
def test_no_file_is_a_drawer(name: str) -> None:
    """A noun of the field says what belongs into a file."""
    assert Path(name).stem not in {"utils", "util", "common", "helpers", "helper", "manager", "misc"}


@pytest.mark.parametrize("name", PACKAGES)
def test_no_exception_is_swallowed_whatever_it_is(name: str) -> None:
    bare = [node.lineno for node in ast.walk(tree(name)) if isinstance(node, ast.ExceptHandler) and node.type is None]

    assert [] == bare


def test_conftest_names_plugins_and_has_no_logic() -> None:
    first, *others = ast.parse((ROOT / "conftest.py").read_text(encoding="utf-8")).body
    names = {
        target.id for node in others if isinstance(node, ast.Assign) for target in node.targets if isinstance(target, ast.Name)
    }

    assert isinstance(first, ast.Expr)
    assert ({"pytest_plugins"}, 1) == (names, len(others))


def test_there_is_no_other_conftest() -> None:
    found = chain.from_iterable((ROOT / layer).rglob("conftest.py") for layer in LAYERS)

    assert [] == list(found)
