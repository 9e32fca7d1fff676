"""One of several parts of a plan, each of which is run and recorded by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reports.fields import Fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """Which part of how many, counted from 1, and the ids of the whole plan's checks, so that a part that never came back
    is missed. ``plan`` is empty where the machine was not ready to plan anything.
    """

    number: int
    of: int
    plan: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """``2/4``, as it is given on the command line."""
        return f"{self.number}/{self.of}"

    def to_tree(self) -> dict[str, Any]:
        """The shard as plain values."""
        return {"number": self.number, "of": self.of, "plan": list(self.plan)}


def shard(keys: Fields) -> Shard:
    """The shard in a part of run.json. Raises UserError for a part that is not among the parts."""
    read = Shard(number=keys.whole("number"), of=keys.whole("of"), plan=keys.texts("plan"))
    keys.close()
    if not 1 <= read.number <= read.of:
        raise keys.wrong("number", f"a number from 1 to {read.of}", read.number)
    return read
