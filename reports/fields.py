"""The keys of one JSON or TOML object, taken by name and type; what is left over is an error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final, TypeVar

from matrix.errors import UserError
from reports.document import shown

E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")
REQUIRED: Final[Any] = object()


class NewerSchema(UserError):
    """Written by a later release of this suite: nothing in it can be trusted to mean what it did."""


class Fields:
    """Takes keys from an object strictly; ``where`` names its file and place in messages.

    Every method raises UserError that names the place, the key, what came and what is accepted.
    """

    def __init__(self, data: object, where: str) -> None:
        if not isinstance(data, dict):
            raise UserError(f"{where}: expected an object with keys, got {shown(data)}")
        self._left: dict[str, Any] = dict(data)
        self.where = where

    def schema(self, newest: int) -> int:
        """The schema's number; checked first, because a newer one may have other keys."""
        number = self.whole("schema")
        if number > newest:
            raise NewerSchema(
                f"{self.where}: schema {number} is newer than {newest}, the newest that this release reads; "
                "use the release that wrote it"
            )
        if number < 1:
            raise self.wrong("schema", f"a number from 1 to {newest}", number)
        return number

    def text(self, key: str, default: str = REQUIRED) -> str:
        """Text, possibly empty."""
        return self._take(key, default, "text", _text)

    def truth(self, key: str, default: bool = REQUIRED) -> bool:
        """True or false."""
        return self._take(key, default, "true or false", _truth)

    def whole(self, key: str, default: int = REQUIRED) -> int:
        """A whole number."""
        return self._take(key, default, "a whole number", _whole)

    def number(self, key: str, default: float = REQUIRED) -> float:
        """A number."""
        return self._take(key, default, "a number", _number)

    def number_or_none(self, key: str) -> float | None:
        """A number, or null."""
        if key in self._left and self._left[key] is None:
            del self._left[key]
            return None
        return self._take(key, REQUIRED, "a number or null", _number)

    def choice(self, key: str, accepted: type[E]) -> E:
        """One of an enumeration's values."""
        return self._take(key, REQUIRED, "one of " + ", ".join(accepted), lambda value: accepted(_text(value)))

    def texts(self, key: str, default: tuple[str, ...] = REQUIRED) -> tuple[str, ...]:
        """A list of texts."""
        return self._take(key, default, "a list of texts", lambda value: tuple(map(_text, _listed(value))))

    def tables(self, key: str, default: tuple[Fields, ...] = REQUIRED) -> tuple[Fields, ...]:
        """A list of objects."""
        items = self._take(key, default, "a list of objects", _listed)
        return tuple(Fields(item, f"{self.where}: {key} {at}") for at, item in enumerate(items, 1))

    def table(self, key: str) -> Fields:
        """An object."""
        return Fields(self.tree(key), f"{self.where}: {key}")

    def tree(self, key: str, default: Mapping[str, Any] = REQUIRED) -> dict[str, Any]:
        """An object whose keys are free."""
        return self._take(key, default, "an object", _object)

    def numbers(self, key: str, default: Mapping[str, float] = REQUIRED) -> dict[str, float]:
        """An object of numbers."""
        return {name: self._part(key, name, "a number", _number, value) for name, value in self.tree(key, default).items()}

    def wholes(self, key: str, default: Mapping[str, int] = REQUIRED) -> dict[str, int]:
        """An object of whole numbers."""
        return {name: self._part(key, name, "a whole number", _whole, value) for name, value in self.tree(key, default).items()}

    def close(self) -> None:
        """Raises UserError when a key was not taken."""
        if self._left:
            raise UserError(f"{self.where}: unknown key {shown(min(self._left))}; remove it")

    def wrong(self, key: str, accepted: str, value: object) -> UserError:
        """The error for a value that is not accepted."""
        return UserError(f"{self.where}: {key}: expected {accepted}, got {shown(value)}")

    def _take(self, key: str, default: Any, accepted: str, convert: Callable[[Any], T]) -> T:
        if key not in self._left:
            if default is REQUIRED:
                raise UserError(f"{self.where}: {key} is missing; expected {accepted}")
            return convert(default)
        return self._converted(key, accepted, convert, self._left.pop(key))

    def _part(self, key: str, name: str, accepted: str, convert: Callable[[Any], T], value: Any) -> T:
        return self._converted(f"{key}.{shown(name)[1:-1]}", accepted, convert, value)

    def _converted(self, key: str, accepted: str, convert: Callable[[Any], T], value: Any) -> T:
        try:
            return convert(value)
        except (TypeError, ValueError, OverflowError):
            raise self.wrong(key, accepted, value) from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    return value


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError
    return float(value)


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise TypeError
    return list(value)


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError
    return dict(value)
