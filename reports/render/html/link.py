"""The address of a check inside the page."""

from __future__ import annotations

from urllib.parse import quote


def fragment(id: str) -> str:
    """What follows the ``#`` of a link to a check or to a cell, by its id: the page opens there."""
    return quote(id, safe="/", errors="backslashreplace")
