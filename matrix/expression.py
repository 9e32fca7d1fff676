"""The selection language of ``--cells``: globs joined by ``and``, ``or``, ``not`` and parentheses.

A glob is matched against a cell's whole id and against each of its four parts: ``bnb-* and llama*``, ``not gpt2*``,
``sdpa-flash/*/bf16/*``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import cache
from typing import Final

from matrix.cell import Cell
from matrix.errors import UserError

Predicate = Callable[[str], bool]
_TOKEN = re.compile(r"\s*(\(|\)|[^\s()]+)")
DEEPEST: Final = 50  # nobody writes more, and each level takes some of Python's stack


@cache
def parse(text: str, where: str = "--cells") -> Callable[[Cell], bool]:
    """A predicate over cells; ``where`` says in messages where the expression stands.

    Raises:
        UserError: the expression is malformed; the message points at the token.
    """
    return _over_cells(_Parser(text, where).whole())


def globs(text: str) -> tuple[str, ...]:
    """The globs of an expression, in order."""
    return tuple(token for token in _TOKEN.findall(text) if token not in ("and", "or", "not", "(", ")"))


def matches(glob: str, cell: Cell) -> bool:
    """Whether one glob matches a cell's id or one of its parts."""
    return _glob(glob)(cell.id)


def _over_cells(predicate: Predicate) -> Callable[[Cell], bool]:
    return lambda cell: predicate(cell.id)


def _glob(pattern: str) -> Predicate:
    def matches(cell_id: str) -> bool:
        return any(fnmatchcase(part, pattern) for part in (cell_id, *cell_id.split("/")))

    return matches


class _Parser:
    def __init__(self, text: str, where: str) -> None:
        self.text, self.where = text, where
        self.tokens = _TOKEN.findall(text)
        self.depth = 0

    def whole(self) -> Predicate:
        predicate = self.either()
        if self.tokens:
            raise self.error(f"unexpected {self.tokens[0]!r}")
        return predicate

    def either(self) -> Predicate:
        choices = [self.both()]
        while self.accept("or"):
            choices.append(self.both())
        return lambda cell_id: any(choice(cell_id) for choice in choices)

    def both(self) -> Predicate:
        conditions = [self.one()]
        while self.accept("and"):
            conditions.append(self.one())
        return lambda cell_id: all(condition(cell_id) for condition in conditions)

    def one(self) -> Predicate:
        if self.accept("not"):
            inner = self.within(self.one)
            return lambda cell_id: not inner(cell_id)
        if self.accept("("):
            inner = self.within(self.either)
            if not self.accept(")"):
                raise self.error("a closing parenthesis is missing")
            return inner
        if not self.tokens or self.tokens[0] in ("and", "or", ")"):
            raise self.error(f"a glob is expected {f'before {self.tokens[0]!r}' if self.tokens else 'at the end'}")
        return _glob(self.tokens.pop(0))

    def within(self, rule: Callable[[], Predicate]) -> Predicate:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.error(f"it is nested more than {DEEPEST} deep")
        predicate = rule()
        self.depth -= 1
        return predicate

    def accept(self, token: str) -> bool:
        if self.tokens[:1] == [token]:
            self.tokens.pop(0)
            return True
        return False

    def error(self, problem: str) -> UserError:
        return UserError(f"{self.where} {self.text!r}: {problem}; accepted: globs joined by and, or, not and parentheses, "
                         "such as 'sdpa-* and llama*'")  # fmt: skip
