"""The versions that a run was made with, out of its fingerprint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reports.run import Run


def versions(run: Run) -> dict[str, str]:
    """Python, the libraries under test, runtimes, driver and the first GPU by name; nothing that is not there."""
    return {name: str(value) for name, value in _found(run.environment) if isinstance(value, str | int) and str(value)}


def _found(environment: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "python", _mapping(environment.get("host")).get("python")
    for name, entry in _mapping(environment.get("libraries")).items():
        yield str(name), _mapping(entry).get("version")
    for name, value in _mapping(environment.get("runtime")).items():
        yield str(name), value if name != "driver" else _mapping(value).get("driver_version")
    devices = environment.get("devices")
    yield "gpu", _mapping(devices[0]).get("name") if isinstance(devices, list) and devices else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
