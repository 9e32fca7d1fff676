"""Distributions that were part of another one before they had a release of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from matrix.availability import release
from matrix.requirement import project


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """``name`` was within ``whole`` until that one's release ``until``, with the same modules."""

    name: str
    whole: str
    until: str

    def within(self, version: str) -> bool:
        """Whether a release of the whole still holds it; of none, which is "", no."""
        return bool(version) and release(version) < release(self.until)


# https://github.com/huggingface/optimum/releases/tag/v2.0.0
PARTS: Final = (Part(name="optimum-onnx", whole="optimum", until="2.0"),)


def apart(requirements: tuple[str, ...]) -> tuple[str, ...]:
    """Requirements but for those that a pinned release of another one of them holds: beside it they could not be installed."""
    pinned = {project(each): each.partition("==")[2] for each in requirements}
    held = {part.name for part in PARTS if part.within(pinned.get(part.whole, ""))}
    return tuple(each for each in requirements if project(each) not in held)
