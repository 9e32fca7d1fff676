"""Which parts of the environment's fingerprint differ between two runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

MOMENTARY: Final = "momentary"
"""Top-level key of a fingerprint for what differs from minute to minute (free memory); it is never compared."""

# Of one machine, and not of the environment: a run may go on elsewhere, and be joined from parts that ran elsewhere.
_ELSEWHERE: Final = re.compile(
    r"host\.|runtime\.cpu_capability$|libraries\..*\.location$|runtime\.driver\.(?!driver_version$)"
    r"|settings\.(?:CUDA_VISIBLE_DEVICES|HIP_VISIBLE_DEVICES|ROCR_VISIBLE_DEVICES|OMP_NUM_THREADS)$"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One value of the fingerprint that differs; ``None`` where a side does not have it."""

    path: str
    before: Any
    after: Any

    @property
    def of_the_machine(self) -> bool:
        """Another machine differs here, although its environment is the same: what is compared does not depend on it."""
        return bool(_ELSEWHERE.match(self.path))


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    """Every leaf that differs, by its dotted path in alphabetical order."""
    was, now = dict(_leaves(before)), dict(_leaves(after))
    differing = (path for path in sorted(was.keys() | now.keys()) if not _same(was.get(path), now.get(path)))
    return tuple(Change(path=path, before=was.get(path), after=now.get(path)) for path in differing)


def _leaves(tree: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Walks with a list of its own, because a fingerprint may be nested deeper than Python recurses."""
    open_ = [(key, value) for key, value in tree.items() if key != MOMENTARY]
    while open_:
        path, value = open_.pop()
        if isinstance(value, Mapping) and value:
            open_.extend((f"{path}.{key}", item) for key, item in value.items())
        elif isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
            open_.extend((f"{path}[{at}]", item) for at, item in enumerate(value))
        else:
            yield path, value


def _same(before: Any, after: Any) -> bool:
    """NaN equals itself here, and 1 is not true."""
    return repr(before) == repr(after)
