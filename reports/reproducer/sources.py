"""Functions out of this suite as the text of one standalone module: what they need comes along, and nothing else does.

The text is taken, not the module: reports import nothing of fixtures. Annotations and all but the first line of docstrings are
left out, and imports inside functions move to the top. A definition whose name some function uses for a variable of its own
gets its module's name in front.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
Definition = ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign
Key = tuple[str, str]
"""Module and name of a definition, e.g. ``("fixtures.accuracy", "error")``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A module as it is written: its definitions by name, and what each imported name stands for.

    ``ours`` maps a name to a module of this suite or to one definition in it, ``others`` to the line that imports it.
    """

    definitions: Mapping[str, Definition]
    ours: Mapping[str, str | Key]
    others: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """The text of the definitions, the lines that import what they need, and what each is called."""

    text: str
    imports: frozenset[str]
    names: Mapping[Key, str]

    def with_imports(self, *more: str) -> str:
        """The text below its imports and some more."""
        return "\n".join((*sorted(self.imports | set(more), key=_import_order), "", "")) + self.text


def bundle(sections: Mapping[str, Iterable[Key]]) -> Bundle:
    """All definitions that the roots of some sections need, each section below a comment, in the first that needs them.

    In a section constants stand first, and callers after what they call. Raises KeyError where a root is no definition.
    """
    order: dict[Key, None] = {}
    split: dict[str, list[Key]] = {}
    for title, roots in sections.items():
        before = set(order)
        for root in roots:
            _collect(root, order, ())
        split[title] = sorted((key for key in order if key not in before), key=_is_block)
    names = _names(list(order))
    lines: dict[str, None] = {}
    texts = [_section(title, [_rewritten(key, names, lines) for key in keys]) for title, keys in split.items()]
    return Bundle(text="\n\n".join(texts), imports=frozenset(lines), names=names)


def entry(module: str, table: str, key: str) -> Key | None:
    """What a dictionary of definitions holds under a key: ``{"llama": decoder.llama}``; None where it does not have it."""
    found = _module(module)
    for child in ast.walk(found.definitions[table]):
        if isinstance(child, ast.Dict):
            values = {
                name.value: value
                for name, value in zip(child.keys, child.values, strict=True)
                if isinstance(name, ast.Constant)
            }
            return _target(values[key], module, found) if key in values else None
    return None


@cache
def _is_block(key: Key) -> bool:
    """Constants stand above functions and classes, where they need none of them."""
    own = _module(key[0]).definitions[key[1]]
    return isinstance(own, ast.FunctionDef | ast.ClassDef) or any(map(_is_block, _needs(key)))


def _collect(key: Key, order: dict[Key, None], path: Sequence[Key]) -> None:
    if key in order or key in path:
        return
    for needed in _needs(key):
        _collect(needed, order, (*path, key))
    order[key] = None


@cache
def _needs(key: Key) -> tuple[Key, ...]:
    module = _module(key[0])
    found = (_target(node, key[0], module) for node in _references(_code(module.definitions[key[1]])))
    return tuple(dict.fromkeys(needed for needed in found if needed is not None and needed != key))


def _references(node: ast.AST, bound: frozenset[str] = frozenset()) -> Iterator[ast.AST]:
    """Names and attributes that are no variables of a function."""
    if isinstance(node, ast.FunctionDef | ast.Lambda):
        bound |= _bound(node)
    if isinstance(node, ast.Attribute) or (isinstance(node, ast.Name) and node.id not in bound):
        yield node
    for child in ast.iter_child_nodes(node):
        yield from _references(child, bound)


def _target(node: ast.AST, name: str, module: Module) -> Key | None:
    """The definition of this suite that a node refers to: ``NAME``, or ``module.NAME``."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        meant = module.ours.get(node.value.id)
        return (meant, node.attr) if isinstance(meant, str) else None
    if isinstance(node, ast.Name):
        meant = module.ours.get(node.id)
        if isinstance(meant, tuple):
            return meant
        return (name, node.id) if node.id in module.definitions else None
    return None


def _names(keys: list[Key]) -> dict[Key, str]:
    """What each definition is called in the text."""
    locals_ = {name for key in keys for name in _bound(_module(key[0]).definitions[key[1]])}
    taken = [key[1] for key in keys]
    clashes = {name for name in taken if taken.count(name) > 1 or name in locals_}
    names = {key: _prefixed(key, 1) if key[1] in clashes else key[1] for key in keys}
    given = list(names.values())
    return {key: _prefixed(key, 2) if given.count(name) > 1 else name for key, name in names.items()}


def _prefixed(key: Key, parts: int) -> str:
    """A name behind the last parts of its module's."""
    return "_".join([*key[0].split(".")[-parts:], key[1].lstrip("_")])


def _bound(definition: ast.AST) -> set[str]:
    """Names that the functions of a definition give to arguments and variables."""
    functions = [node for node in ast.walk(definition) if isinstance(node, ast.FunctionDef | ast.Lambda)]
    inside = [node for function in functions for node in ast.walk(function)]
    stored = {node.id for node in inside if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    caught = {node.name for node in inside if isinstance(node, ast.ExceptHandler) and node.name}
    return stored | caught | {node.arg for node in inside if isinstance(node, ast.arg)}


def _rewritten(key: Key, names: Mapping[Key, str], lines: dict[str, None]) -> str:
    module = _module(key[0])
    node = _Rewriting(key[0], module, names, lines).visit(_code(module.definitions[key[1]]))
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        node.name = names[key]
    else:
        node.targets = [ast.Name(id=names[key], ctx=ast.Store())]
    return ast.unparse(ast.fix_missing_locations(node))


class _Rewriting(ast.NodeTransformer):
    """Renames what was bundled, and takes out annotations, imports, and docstrings but for their first line."""

    def __init__(self, name: str, module: Module, names: Mapping[Key, str], lines: dict[str, None]) -> None:
        self.name, self.module, self.names, self.lines = name, module, names, lines
        self.bound: list[set[str]] = []

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Its own variables keep their names."""
        self.bound.append(_bound(node))
        self.generic_visit(node)
        self.bound.pop()
        return _short(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """The fields of a dataclass keep their annotations: they are its fields."""
        self.generic_visit(node)
        return _short(node)

    def visit_Import(self, node: ast.Import) -> ast.AST | None:
        """To the top."""
        self.lines[ast.unparse(node)] = None
        return None

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        """To the top."""
        self.lines[ast.unparse(node)] = None
        return None

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """A field of a class stays as it is."""
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        """``module.NAME`` of a bundled module is a name."""
        if (target := _target(node, self.name, self.module)) in self.names and target is not None:
            return ast.Name(id=self.names[target], ctx=ast.Load())
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """A name that is no variable of the function."""
        if any(node.id in bound for bound in self.bound):
            return node
        if (target := _target(node, self.name, self.module)) in self.names and target is not None:
            return ast.Name(id=self.names[target], ctx=node.ctx)
        if node.id in self.module.others:
            self.lines[self.module.others[node.id]] = None
        return node


def _code(node: Definition) -> ast.AST:
    """A copy that can be changed; a constant with a type is one without."""
    copy = deepcopy(node)
    if isinstance(copy, ast.AnnAssign):
        return ast.Assign(targets=[copy.target], value=copy.value or ast.Constant(None), lineno=1)
    for child in ast.walk(copy):
        if isinstance(child, ast.FunctionDef):
            child.returns = None
            for argument in ast.walk(child.args):
                if isinstance(argument, ast.arg):
                    argument.annotation = None
            _Bare().generic_visit(child)
    return copy


class _Bare(ast.NodeTransformer):
    """Variables without annotations."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        """One that is only declared goes."""
        return ast.copy_location(ast.Assign(targets=[node.target], value=node.value), node) if node.value else None


def _short(node: ast.FunctionDef | ast.ClassDef) -> ast.AST:
    said = ast.get_docstring(node)
    if said:
        node.body[0] = ast.Expr(ast.Constant(said.partition("\n")[0]))
    return node


@cache
def _module(name: str) -> Module:
    tree = ast.parse((ROOT / f"{name.replace('.', '/')}.py").read_text(encoding="utf-8"))
    definitions: dict[str, Definition] = {}
    ours: dict[str, str | Key] = {}
    others: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            definitions[node.name] = node
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            definitions[node.targets[0].id] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            definitions[node.target.id] = node
        elif isinstance(node, ast.Import):
            others |= {(alias.asname or alias.name): f"import {_as(alias)}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                _imported(node.module, alias, ours, others)
    return Module(definitions=definitions, ours=ours, others=others)


def _imported(module: str, alias: ast.alias, ours: dict[str, str | Key], others: dict[str, str]) -> None:
    name, path = alias.asname or alias.name, f"{module}.{alias.name}"
    if module.partition(".")[0] not in ("fixtures", "matrix"):
        others[name] = f"from {module} import {_as(alias)}"
    elif (ROOT / f"{path.replace('.', '/')}.py").is_file():
        ours[name] = path
    else:
        ours[name] = (module, alias.name)


def _as(alias: ast.alias) -> str:
    return f"{alias.name} as {alias.asname}" if alias.asname else alias.name


def _import_order(line: str) -> tuple[bool, bool, str]:
    """``from __future__`` first, then the standard library, then the others."""
    outside = line.split()[1].partition(".")[0] in ("numpy", "safetensors", "torch", "transformers")
    return (not line.startswith("from __future__"), outside, line)


def _section(title: str, parts: Iterable[str]) -> str:
    """Two empty lines around functions and classes, none between constants."""
    lines, before = [f"# --- {title}", ""], ""
    for part in parts:
        if "\n" in part or "\n" in before:
            lines += ["", ""]
        lines.append(part)
        before = part
    return "\n".join(lines) + "\n"
