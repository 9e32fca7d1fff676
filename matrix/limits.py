"""How long a check may take before it counts as hung."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from matrix.cell import CHECKS, TIERS, Check
from matrix.table import Table, read

FILE: Final = Path(__file__).parent / "limits.toml"
DEFAULT: Final = "default"
Limits = Mapping[str, Mapping[str, int]]


def load_limits(path: Path = FILE) -> Limits:
    """Seconds by kind of check (or ``default``) and tier.

    Raises:
        UserError: the file is malformed, names no kind of check, or has no default.
    """
    table = read(path)
    limits = {name: _of_tiers(table, name, entry) for name, entry in table.named("limit")}
    table.done()
    if DEFAULT not in limits:
        raise table.error("limit", f"has no {DEFAULT!r}: write [limit.{DEFAULT}]")
    return limits


def _of_tiers(table: Table, name: str, entry: Table) -> dict[str, int]:
    if name not in (DEFAULT, *CHECKS):
        raise table.error("limit", f"holds {name!r}, accepted: {', '.join((DEFAULT, *CHECKS))}")
    seconds = {tier: entry.integer(tier) for tier in TIERS}
    entry.done()
    for tier, value in seconds.items():
        if value < 1:
            raise entry.error(tier, "is 0, a whole number of at least 1 is accepted")
    return seconds


def seconds(check: Check, limits: Limits) -> int:
    """The limit of one check."""
    tier = "headline" if "checkpoint" in check.cell.model.config else check.cell.model.tier
    return limits.get(check.kind, limits[DEFAULT])[tier]
