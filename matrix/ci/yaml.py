"""YAML of plain values, as people write it: blocks, scripts as they are, quotes only where they are needed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

_PLAIN: Final = re.compile(r"[A-Za-z_/][A-Za-z0-9_./@-]*")
_WORDS: Final = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null"))
"""What YAML 1.1 reads as something else than text (https://yaml.org/type/bool.html)."""


def dumped(tree: Any) -> str:
    """One document of mappings, lists, texts, whole numbers, booleans and None."""
    return "".join(f"{line}\n" for line in _block(tree))


def _block(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _entry(f"{_scalar(key)}:", inner)
    elif isinstance(value, list | tuple) and value:
        for inner in value:
            yield from _item(inner)
    else:
        yield _flow(value)


def _entry(key: str, value: Any) -> Iterator[str]:
    if _is_script(value):
        yield f"{key} |"
        yield from (f"  {line}".rstrip() for line in value.splitlines())
    elif _is_flat(value):
        yield f"{key} {_flow(value)}"
    else:
        yield key
        yield from (f"  {line}".rstrip() for line in _block(value))


def _item(value: Any) -> Iterator[str]:
    if _is_script(value):
        yield from _entry("-", value)
        return
    for number, line in enumerate([_flow(value)] if _is_flat(value) else _block(value)):
        yield f"{'  ' if number else '- '}{line}".rstrip()


def _is_script(value: Any) -> bool:
    """Lines that can stand as they are: each ends in a line break, and no blank at an end decides what they mean."""
    if not isinstance(value, str) or not value.endswith("\n"):
        return False
    lines = value[:-1].split("\n")
    whole = all(line == line.rstrip() and line.isprintable() for line in lines)
    return whole and bool(lines[-1]) and bool(lines[0]) and not lines[0].startswith(" ")


def _is_flat(value: Any) -> bool:
    """A scalar, something empty, or a list of scalars."""
    if isinstance(value, list | tuple):
        return not any(isinstance(inner, Mapping | list | tuple) or _is_script(inner) for inner in value)
    return not isinstance(value, Mapping) or not value


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_scalar, value))}]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)
