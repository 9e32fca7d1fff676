"""The address of a check inside the page."""

from __future__ import annotations

from urllib.parse import quote


def fragment(id: str) -> str:
    """What follows the ``#`` of a link to a check by its id, or to a cell by its id: the page opens there."""
    return f"{'check' if '::' in id else 'cell'}={quote(id, safe='/:[],', errors='replace')}"
