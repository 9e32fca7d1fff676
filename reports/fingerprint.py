"""The fingerprint of an environment: everything that may explain why two runs differ, and nothing secret."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Mapping
from typing import Any

from matrix.availability import Facts


def fingerprint(facts: Facts, settings: Mapping[str, str]) -> dict[str, Any]:
    """Nested JSON: ``host``, ``devices`` with ``runtime``, ``libraries`` (version, location), ``packages``, ``settings``.

    ``packages`` names the version of every distribution that is installed, because any of them may be what changed.
    """
    runtimes = ("cuda", "hip", "cudnn", "driver", "cpu_capability", "topology")
    return {
        "host": {key: value for key, value in facts.details.items() if key not in runtimes},
        "devices": [dict(device) for device in facts.devices],
        "runtime": {key: facts.details[key] for key in runtimes if key in facts.details},
        "libraries": {name: {"version": package["version"], "location": _inside(package["location"])}
                      for name, package in facts.packages.items() if package["version"]},
        "packages": dict(sorted((dist.name, dist.version) for dist in importlib.metadata.distributions() if dist.name)),
        "settings": dict(settings),
    }  # fmt: skip


def _inside(location: str) -> str:
    """Where a library lies in its environment; of two environments only what lies elsewhere in one of them is a difference."""
    return location.removeprefix(sys.prefix + os.sep)
