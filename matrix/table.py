"""Strict reading of one TOML table: every key is asked for by name and type, and what nobody asked for is an error."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from matrix.errors import UserError

VERSION = 1


class Table:
    """One table of a file. ``where`` is its dotted key, used in messages.

    Raises:
        UserError: a key is missing, unknown, of the wrong type or outside what is accepted.
    """

    def __init__(self, path: Path, where: str, data: object) -> None:
        self.path, self.where = path, where
        if not isinstance(data, dict):
            raise UserError(f"{path.name}: {where} is {_kind(data)} ({_shown(data)}), a table is accepted: write [{where}]")
        self._data: dict[str, Any] = dict(data)
        self._asked: list[str] = []

    def error(self, key: str, problem: str) -> UserError:
        """The one line that names file, key and problem."""
        return UserError(f"{self.path.name}: {self._at(key)} {problem}")

    def _at(self, key: str) -> str:
        """The dotted key, quoted where TOML wants it quoted: a line break in a key must not break the message."""
        quoted = key if _BARE.fullmatch(key) else json.dumps(key)
        return f"{self.where}.{quoted}" if self.where else quoted

    def _take(self, key: str, kind: type, default: Any) -> Any:
        self._asked.append(key)
        if key not in self._data:
            if default is None:
                raise self.error(key, f"is missing, {_NAMES[kind]} is required")
            return default
        value = self._data.pop(key)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.error(key, f"is {_kind(value)} ({_shown(value)}), {_NAMES[kind]} is accepted")
        return value

    def text(self, key: str, default: str | None = None, *, accepted: Iterable[str] = ()) -> str:
        """A string, one of ``accepted`` where given."""
        value: str = self._take(key, str, default)
        self._check(key, (value,), accepted)
        return value

    def pattern(self, key: str, default: str | None = None) -> str:
        """A regular expression."""
        pattern = self.text(key, default)
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:  # the latter two for a{99999999999} and deep nesting
            raise self.error(key, f"is no regular expression ({_shown(pattern)}): {error}") from None
        return pattern

    def integer(self, key: str, default: int | None = None) -> int:
        """A whole number of at least 0."""
        value: int = self._take(key, int, default)
        if value < 0:
            raise self.error(key, f"is {_shown(value)}, a whole number of at least 0 is accepted")
        return value

    def flag(self, key: str) -> bool | None:
        """A boolean, ``None`` where the key is absent."""
        if key not in self._data:
            self._asked.append(key)
            return None
        value: bool = self._take(key, bool, None)
        return value

    def texts(self, key: str, default: tuple[str, ...] | None = None, *, accepted: Iterable[str] = ()) -> tuple[str, ...]:
        """A list of strings without repeats, each one of ``accepted`` where given; never written as an empty list."""
        values = self._items(key, str, default)
        self._check(key, values, accepted)
        if len(set(values)) < len(values):
            raise self.error(key, f"repeats a value: {_shown(list(values))}")
        return values

    def integers(self, key: str, default: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """A list of whole numbers of at least 1; never written as an empty list."""
        values = self._items(key, int, default)
        if any(value < 1 for value in values):
            raise self.error(key, f"is {_shown(list(values))}, whole numbers of at least 1 are accepted")
        return values

    def _items(self, key: str, kind: type, default: tuple[Any, ...] | None) -> tuple[Any, ...]:
        written = key in self._data
        values = self._take(key, list, default)
        for value in values:
            if not isinstance(value, kind) or isinstance(value, bool):
                raise self.error(key, f"holds {_shown(value)}, a list of {_NAMES[kind].split(' ', 1)[1]}s is accepted")
        if written and not values:
            optional = "" if default is None else ": or leave it out"
            raise self.error(key, f"is empty, a list of at least one value is accepted{optional}")
        return tuple(values)

    def mapping(self, key: str) -> dict[str, Any]:
        """A free table that is handed to a library as it is; empty where absent."""
        return dict(self._take(key, dict, {}))

    def words(self, key: str) -> dict[str, str]:
        """A free table of strings; empty where absent."""
        table = self.mapping(key)
        for value in table.values():
            if not isinstance(value, str):
                raise self.error(key, f"holds {_shown(value)}, a table of strings is accepted")
        return table

    def choices(self, key: str, default: dict[str, str] | None = None, *, keys: Iterable[str], values: Iterable[str]
                ) -> dict[str, str]:  # fmt: skip
        """A table from one of ``keys`` to one of ``values``."""
        table: dict[str, str] = dict(self._take(key, dict, default))
        if not table and default is None:
            raise self.error(key, "is empty, a table of at least one key is required")
        self._check(key, tuple(table), keys)
        self._check(key, tuple(table.values()), values)
        return table

    def table(self, key: str) -> Table:
        """A sub-table, empty where absent."""
        return Table(self.path, self._at(key), self._take(key, dict, {}))

    def tables(self, key: str) -> Iterator[Table]:
        """The tables of an array ``[[key]]``, none where absent."""
        for index, data in enumerate(self._take(key, list, [])):
            yield Table(self.path, f"{self._at(key)}[{index}]", data)

    def named(self, key: str) -> Iterator[tuple[str, Table]]:
        """The tables ``[key.NAME]``, at least one."""
        entries = self._take(key, dict, None)
        if not entries:
            raise self.error(key, f"is empty, at least one [{self._at(key)}.NAME] is required")
        section = Table(self.path, self._at(key), entries)
        for name, data in entries.items():
            yield name, Table(self.path, section._at(name), data)

    def optionally_named(self, key: str) -> Iterator[tuple[str, Table]]:
        """The tables ``[key.NAME]``, none where absent."""
        if key in self._data:
            yield from self.named(key)
        self._asked.append(key)

    def _check(self, key: str, values: tuple[object, ...], accepted: Iterable[str]) -> None:
        accepted = tuple(accepted)
        for value in values:
            if accepted and value not in accepted:
                near = _near(value, accepted) if isinstance(value, str) else ""
                raise self.error(key, f"is {_shown(value)}, accepted: {', '.join(accepted)}{near}")

    def done(self) -> None:
        """Every key must have been asked for."""
        for key in self._data:
            near = _near(key, self._asked)
            raise self.error(key, f"is an unknown key, accepted: {', '.join(sorted(set(self._asked)))}{near}")


_BARE = re.compile(r"[A-Za-z0-9_-]+")
_NAMES: dict[type, str] = {str: "a string", int: "a whole number", bool: "a boolean", list: "a list", dict: "a table"}
_SHOWN = 120


def _kind(value: object) -> str:
    return _NAMES.get(type(value), f"a {type(value).__name__}")


def _shown(value: object) -> str:
    """A value as it is quoted in a message: one line, cut short."""
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python prints, see sys.set_int_max_str_digits
        return "too long to be shown"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _near(value: str, accepted: Iterable[str]) -> str:
    close = difflib.get_close_matches(value, list(accepted), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def read(path: Path) -> Table:
    """The top-level table of a versioned TOML file.

    Raises:
        UserError: the file cannot be read, is no TOML, or is of another version.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # tomllib also lets those of int() and of deep nesting through
        raise UserError(f"{path.name}: is not valid TOML: {error}") from None
    table = Table(path, "", data)
    if (version := table.integer("version")) != VERSION:
        raise table.error("version", f"is {_shown(version)}, {VERSION} is accepted: update the suite or the file")
    return table
