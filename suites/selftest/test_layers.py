"""The layout of the repository holds: imports run one way, suites hold tests alone, and files stay short."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

from fixtures.options import ROOT
from matrix.load import load_matrix

LAYERS = ("matrix", "reports", "fixtures", "suites")  # each may import itself and those before it
SOURCES = {path.relative_to(ROOT).as_posix(): path for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py"))}
PACKAGES = [name for name in SOURCES if not name.startswith("suites/")]
SUITES = [name for name in SOURCES if name.startswith("suites/") and not name.startswith("suites/selftest/")]
UNDER_TEST = {
    "torch",
    "transformers",
    "accelerate",
    "bitsandbytes",
    "flash_attn",
    "optimum",
    "onnx",
    "onnxruntime",
    "tokenizers",
    "safetensors",
    "triton",
}
# What a layer may import when its modules are imported, beyond the standard library and the layers below.
AT_THE_TOP = {"matrix": set(), "reports": {"pytest"}, "fixtures": {"pytest", "numpy", "packaging", "hypothesis"}}
# ... and inside its functions.
INSIDE = {
    "matrix": set(),
    "reports": {"scipy", "jinja2", "markupsafe", "rich", "numpy", "matplotlib", "pytest_benchmark"},
    "fixtures": UNDER_TEST | {"xdist", "hypothesis", "rich", "pynvml", "amdsmi"},
}
KNOWN = set(sys.stdlib_module_names) | set(LAYERS)
DRAWERS = {"utils", "util", "common", "helpers", "helper", "manager", "misc"}
LONGEST = 350
MARK = "pytest.mark.check"


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(SOURCES[name].read_text(encoding="utf-8"))


def layer_of(name: str) -> str:
    return name.partition("/")[0]


def imported(nodes: Iterator[ast.AST]) -> set[str]:
    """Top-level names of the packages that some nodes import; a relative import is a dot."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." if node.level else str(node.module).partition(".")[0])
    return found


def anywhere(name: str) -> set[str]:
    return imported(ast.walk(tree(name)))


def at_the_top(name: str) -> set[str]:
    return imported(on_import(tree(name)))


def on_import(node: ast.AST) -> Iterator[ast.AST]:
    """What is executed when a module is imported: everything outside functions and ``if TYPE_CHECKING``."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        yield child
        yield from on_import(child)


def defined(name: str) -> list[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    return [node for node in tree(name).body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]


def offenders(names: Iterable[str], judge: Callable[[str], object]) -> dict[str, object]:
    """What is wrong with which files."""
    return {name: wrong for name in names if (wrong := judge(name))}


# imports


def test_imports_run_one_way() -> None:
    """matrix <- reports <- fixtures <- suites, types and function bodies included."""
    above = {layer: set(LAYERS[index + 1 :]) for index, layer in enumerate(LAYERS)}

    assert {} == offenders(SOURCES, lambda name: above[layer_of(name)] & anywhere(name))


def test_imports_name_their_package() -> None:
    """A relative import hides which layer it is of."""
    assert {} == offenders(SOURCES, lambda name: "." in anywhere(name))


def test_a_module_imports_what_its_layer_may() -> None:
    """matrix takes the standard library alone."""
    assert {} == offenders(PACKAGES, lambda name: anywhere(name) - KNOWN - AT_THE_TOP[layer_of(name)] - INSIDE[layer_of(name)])


def test_what_is_heavy_or_may_be_broken_is_imported_inside_functions() -> None:
    """A library that cannot be imported costs the checks that need it, not the collection."""
    assert {} == offenders(PACKAGES, lambda name: at_the_top(name) - KNOWN - AT_THE_TOP[layer_of(name)])


def test_a_suite_imports_no_library_under_test() -> None:
    assert {} == offenders(SUITES, lambda name: UNDER_TEST & at_the_top(name))


# suites


def test_a_suite_holds_tests_alone() -> None:
    """What a test needs beyond its claim lives in fixtures."""
    assert {} == offenders(SUITES, lambda name: [node.name for node in defined(name) if not node.name.startswith("test_")])


def test_a_test_of_a_suite_is_marked_with_its_check() -> None:
    """Without the mark it would run outside the plan and leave no record."""

    def unmarked(name: str) -> list[str]:
        marks = {node.name: [ast.unparse(mark) for mark in node.decorator_list] for node in defined(name)}
        return [test for test, given in marks.items() if not any(mark.startswith("pytest.mark.check(") for mark in given)]

    assert {} == offenders(SUITES, unmarked)


def test_every_kind_of_check_has_a_test_in_its_suite() -> None:
    """Or it would be planned and never run."""
    expected = {(kind, entry.suite) for entry in load_matrix().configurations.values() for kind in entry.checks}
    expected |= {("refuses", "attention"), ("refuses", "placement"), ("imports", "environment")}
    expected |= {("import-order", "environment")}
    marks = (ast.unparse(mark) for name in SUITES for node in defined(name) for mark in node.decorator_list)
    named = [ast.literal_eval(mark.removeprefix(MARK)) for mark in marks if mark.startswith(f"{MARK}(")]

    assert expected == {(kind, suite) for kind, suite, *_ in named}


def test_every_snippet_of_the_guide_has_a_test() -> None:
    """Or it would be planned and never run; and a test whose snippet is not planned would not run either."""
    configurations = [entry for entry in load_matrix().configurations.values() if "guide" in entry.checks]
    planned = [(entry.suite, name) for entry in configurations for name in entry.options["snippets"]]
    marks = (ast.unparse(mark) for name in SUITES for node in defined(name) for mark in node.decorator_list)
    named = [ast.literal_eval(mark.removeprefix(MARK)) for mark in marks if mark.startswith(f"{MARK}('guide'")]
    every = {suite for _, suite, *subject in named if not subject}  # suites whose one test takes all that is planned
    tested = [(suite, subject) for _, suite, *subjects in named for subject in subjects]

    assert sorted(each for each in planned if each[0] not in every) == sorted(tested)


# files


def test_a_file_of_a_suite_is_collected() -> None:
    assert {} == offenders(SUITES, lambda name: not Path(name).name.startswith("test_"))


def test_a_file_can_be_read_in_one_sitting() -> None:
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in SOURCES.items()}

    assert {} == {name: length for name, length in lengths.items() if length >= LONGEST}


def test_no_file_is_a_drawer() -> None:
    """A noun of the field says what belongs into a file."""
    assert {} == offenders(SOURCES, lambda name: Path(name).stem in DRAWERS)


def test_conftest_names_plugins_and_has_no_logic() -> None:
    first, *others = ast.parse((ROOT / "conftest.py").read_text(encoding="utf-8")).body
    names = {
        target.id for node in others if isinstance(node, ast.Assign) for target in node.targets if isinstance(target, ast.Name)
    }

    assert isinstance(first, ast.Expr)
    assert ({"pytest_plugins"}, 1) == (names, len(others))


def test_there_is_no_other_conftest() -> None:
    assert {} == offenders(SOURCES, lambda name: Path(name).name == "conftest.py")
