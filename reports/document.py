"""JSON text that every reader of the standard understands.

RFC 8259 has no NaN and no infinity (https://www.rfc-editor.org/rfc/rfc8259#section-6), and Python would write them all
the same. They are findings here, so they are written as an object with one key, ``{"$float": "NaN"}``, and read back as
floats.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Final, NoReturn

from matrix.errors import UserError

TAG: Final = "$float"
SPECIAL: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
DEEPEST: Final = 64
"""Levels of nesting that are accepted: enough for any fingerprint, and so few that no walk of it exhausts the stack."""


def to_text(value: Any, *, indent: int | None = None) -> str:
    """One JSON document in ASCII; keys keep their order. Raises TypeError for what JSON cannot hold, a bug."""
    return json.dumps(_portable(value), ensure_ascii=True, allow_nan=False, indent=indent)


def from_text(text: str | bytes, where: str) -> Any:
    """The value of one JSON document. Raises UserError, beginning with ``where``, for anything that is not one."""
    try:
        decoded = text if isinstance(text, str) else text.decode("utf-8")
        return _shallow(json.loads(decoded, parse_constant=_refuse_constant, object_pairs_hook=_restore))
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: not JSON: {error.msg} at character {error.pos + 1}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: not UTF-8 text: byte {error.start + 1} cannot be read") from None
    except RecursionError:
        raise UserError(f"{where}: not usable as JSON: {_TOO_DEEP}") from None
    except ValueError as error:
        raise UserError(f"{where}: not usable as JSON: {error}") from None


def read_document(path: Path) -> Any:
    """The JSON document in a file. Raises UserError when it cannot be read."""
    return from_text(read_bytes(path), str(path))


def read_bytes(path: Path) -> bytes:
    """What a file holds. Raises UserError when it cannot be read."""
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {reason(error)}") from None


def reason(error: OSError | ValueError) -> str:
    """What the operating system said, without the errno and the path."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def shown(value: object, limit: int = 60) -> str:
    """A value as one short line for a message; never longer than ``limit`` characters."""
    try:
        text = ascii(value)
    except (RecursionError, ValueError):  # nested too deep, or an integer of more digits than Python converts
        text = type(value).__name__
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _portable(value: Any) -> Any:
    """The same value of plain JSON types; NumPy's scalars are Integral or Real too."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return _number(float(value))
    if isinstance(value, Mapping):
        return {_key(key): _portable(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [_portable(item) for item in value]
    raise TypeError(f"JSON holds no {type(value).__name__}: {shown(value)}")


def _number(value: float) -> float | dict[str, str]:
    if math.isfinite(value):
        return value
    return {TAG: "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise TypeError(f"a JSON object has text for keys, got {shown(key)}")
    if key == TAG:
        raise TypeError(f"the key {TAG} is kept for numbers that JSON does not have")
    return key


_TOO_DEEP: Final = f"nested deeper than {DEEPEST} levels"


def _shallow(document: Any) -> Any:
    level: list[Any] = [document]
    for _ in range(DEEPEST + 1):
        if not level:
            return document
        level = [
            item
            for value in level
            if isinstance(value, dict | list)
            for item in (value.values() if isinstance(value, dict) else value)
        ]
    raise ValueError(_TOO_DEEP)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f'{name} is no JSON number, {{"{TAG}": "{name}"}} is')


def _restore(pairs: list[tuple[str, Any]]) -> Any:
    keys = dict(pairs)
    if len(keys) != len(pairs):
        raise ValueError("an object has the same key twice")
    if TAG not in keys:
        return keys
    if len(keys) == 1 and isinstance(keys[TAG], str) and keys[TAG] in SPECIAL:
        return SPECIAL[keys[TAG]]
    raise ValueError(f"{TAG} stands alone and is one of {', '.join(SPECIAL)}")
