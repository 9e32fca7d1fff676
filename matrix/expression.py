"""The selection language of ``--cells``: globs joined by ``and``, ``or``, ``not`` and parentheses.

A glob is matched against a cell's whole id and against each of its four parts: ``bnb-* and llama*``, ``not gpt2*``,
``sdpa-flash/*/bf16/*``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import fnmatchcase

from matrix.cell import Cell
from matrix.errors import UserError

Predicate = Callable[[str], bool]
_TOKEN = re.compile(r"\s*(\(|\)|[^\s()]+)")


def parse(text: str) -> Callable[[Cell], bool]:
    """A predicate over cells.

    Raises:
        UserError: the expression is malformed; the message points at the token.
    """
    return _over_cells(_Parser(text).whole())


def _over_cells(predicate: Predicate) -> Callable[[Cell], bool]:
    return lambda cell: predicate(cell.id)


def _glob(pattern: str) -> Predicate:
    def matches(cell_id: str) -> bool:
        return any(fnmatchcase(part, pattern) for part in (cell_id, *cell_id.split("/")))

    return matches


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _TOKEN.findall(text)

    def whole(self) -> Predicate:
        predicate = self.either()
        if self.tokens:
            raise self.error(f"unexpected {self.tokens[0]!r}")
        return predicate

    def either(self) -> Predicate:
        left = self.both()
        while self.accept("or"):
            left = _either(left, self.both())
        return left

    def both(self) -> Predicate:
        left = self.one()
        while self.accept("and"):
            left = _both(left, self.one())
        return left

    def one(self) -> Predicate:
        if self.accept("not"):
            inner = self.one()
            return lambda cell_id: not inner(cell_id)
        if self.accept("("):
            inner = self.either()
            if not self.accept(")"):
                raise self.error("a closing parenthesis is missing")
            return inner
        if not self.tokens or self.tokens[0] in ("and", "or", ")"):
            raise self.error(f"a glob is expected {f'before {self.tokens[0]!r}' if self.tokens else 'at the end'}")
        return _glob(self.tokens.pop(0))

    def accept(self, token: str) -> bool:
        if self.tokens[:1] == [token]:
            self.tokens.pop(0)
            return True
        return False

    def error(self, problem: str) -> UserError:
        return UserError(f"--cells {self.text!r}: {problem}; accepted: globs joined by and, or, not and parentheses, "
                         "such as 'sdpa-* and llama*'")  # fmt: skip


def _either(left: Predicate, right: Predicate) -> Predicate:
    return lambda cell_id: left(cell_id) or right(cell_id)


def _both(left: Predicate, right: Predicate) -> Predicate:
    return lambda cell_id: left(cell_id) and right(cell_id)
