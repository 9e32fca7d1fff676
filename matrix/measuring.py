"""How latency is measured on a platform: measuring.toml, read strictly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from matrix.cell import PLATFORMS
from matrix.table import Table, read

FILE: Final = Path(__file__).parent / "measuring.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measuring:
    """``seconds``, ``long``, ``warm_up`` and ``flush`` are in seconds, ``noise`` is a share of the median."""

    processes: int
    least: int
    most: int
    fewest: int
    seconds: float
    long: float
    noise: float
    warm_up: float
    flush: float
    counting: int


def load_measuring(platform: str, path: Path = FILE) -> Measuring:
    """The rules of a platform. Raises UserError when the file is malformed or lacks a platform."""
    table = read(path)
    rules = {name: _measuring(entry) for name, entry in table.named("measuring")}
    table.done()
    for name in rules:
        if name not in PLATFORMS:
            raise table.error("measuring", f"holds {name!r}, accepted: {', '.join(PLATFORMS)}")
    if platform not in rules:
        raise table.error("measuring", f"has no {platform!r}: write [measuring.{platform}]")
    return rules[platform]


def _measuring(entry: Table) -> Measuring:
    rules = Measuring(
        processes=entry.integer("processes"),
        least=entry.integer("least"),
        most=entry.integer("most"),
        fewest=entry.integer("fewest"),
        seconds=entry.integer("milliseconds") / 1e3,
        long=entry.integer("long_milliseconds") / 1e3,
        noise=entry.integer("noise_per_mille") / 1e3,
        warm_up=entry.integer("warm_up_milliseconds") / 1e3,
        flush=entry.integer("flush_microseconds") / 1e6,
        counting=entry.integer("counting"),
    )
    entry.done()
    for key, value in (("processes", rules.processes), ("fewest", rules.fewest)):
        if value < 1:
            raise entry.error(key, f"is {value}, a whole number of at least 1 is accepted")
    if rules.least < rules.fewest:
        raise entry.error("least", f"is {rules.least}, at least {rules.fewest} (fewest) is accepted")
    if rules.most < rules.least:
        raise entry.error("most", f"is {rules.most}, at least {rules.least} (least) is accepted")
    return rules
