"""From which difference on two runs are not the same: thresholds.toml, read strictly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from matrix.cell import DTYPES
from matrix.errors import UserError
from matrix.table import read
from reports.fields import Fields
from reports.latency_thresholds import LatencyThresholds, latency_thresholds
from reports.verdict import Kind

FILE: Final = Path(__file__).with_name("thresholds.toml")
MEMORIES: Final = ("footprint", "peak", "loading_peak")
CHANGED: Final = (Kind.REGRESSED, Kind.INCONCLUSIVE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A difference counts when it is more than ``ratio`` times and above ``floor``, in the unit of what is compared."""

    ratio: float
    floor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """``errors`` is by dtype, ``memory`` by kind in bytes; ``changed`` judges a change among optimized families."""

    errors: Mapping[str, Threshold]
    memory: Mapping[str, Threshold]
    unoptimized: frozenset[str]
    changed: Kind
    latency: LatencyThresholds


def load_thresholds(path: Path = FILE) -> Thresholds:
    """The thresholds in a file. Raises UserError naming file and key when it is not usable."""
    table = read(path)
    keys = {name: Fields(table.mapping(name), f"{path.name}: {name}") for name in ("errors", "memory", "dispatch", "latency")}
    table.done()
    thresholds = Thresholds(
        errors={dtype: _threshold(keys["errors"].table(dtype), f"{path.name}: errors.{dtype}") for dtype in DTYPES},
        memory={kind: _threshold(keys["memory"].table(kind), f"{path.name}: memory.{kind}") for kind in MEMORIES},
        unoptimized=frozenset(keys["dispatch"].texts("unoptimized")),
        changed=keys["dispatch"].choice("changed", Kind),
        latency=latency_thresholds(keys["latency"]),
    )
    _source(keys["dispatch"], f"{path.name}: dispatch")
    if thresholds.changed not in CHANGED:
        raise keys["dispatch"].wrong("changed", f"one of {', '.join(CHANGED)}", thresholds.changed.value)
    for group in keys.values():
        group.close()
    return thresholds


def _threshold(keys: Fields, where: str) -> Threshold:
    threshold = Threshold(ratio=keys.number("ratio"), floor=keys.number("floor"))
    if not 1.0 < threshold.ratio < float("inf"):
        raise keys.wrong("ratio", "a number above 1", threshold.ratio)
    if not 0.0 <= threshold.floor < float("inf"):
        raise keys.wrong("floor", "a number of at least 0", threshold.floor)
    _source(keys, where)
    keys.close()
    return threshold


def _source(keys: Fields, where: str) -> None:
    if not keys.text("source").strip():
        raise UserError(f"{where}: source is empty; say where the numbers come from")
