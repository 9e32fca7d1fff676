"""What an environment promises must import, in a process of its own."""

from __future__ import annotations

import pytest

from fixtures.findings import Finding
from fixtures.measure import Measurement
from fixtures.platform import IMPORTED, import_error
from fixtures.selection import Plan
from matrix.cell import Check


@pytest.mark.check("imports", "environment")
def test_promised_package_imports(check: Check, planned: Plan, measure: Measurement) -> None:
    """A promised package that is missing or broken is a failure, never a skip."""
    name = check.cell.model.name
    package = planned.facts.packages.get(name, {})
    measure.evidence(version=package.get("version", ""), location=package.get("location", ""))
    if not package.get("version"):
        raise Finding(
            "not-installed",
            f"{name} is promised by this environment and is not installed: install it, or take the "
            "promise out of matrix/environments.toml",
        )

    tried = name in IMPORTED or package.get("imported")
    error = package["error"] or package.get("native", "") if tried else import_error(name, planned.facts.platform)

    if error:
        raise ImportError(f"{name} {package['version']} is installed and cannot be imported: {error}")
