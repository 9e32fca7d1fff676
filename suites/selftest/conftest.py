"""What tests of the suite itself share."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from fixtures.platform import IMPORTED, import_error
from fixtures.selection import installed_under_test
from matrix.availability import ROOT, read_facts


@pytest.fixture(scope="session")
def probed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The facts of this machine as the CPU platform."""
    path = tmp_path_factory.mktemp("facts") / "probed.json"
    path.write_text(subprocess.check_output([sys.executable, "-m", "fixtures.platform", "cpu"], text=True, cwd=ROOT))
    return path


@pytest.fixture(scope="session")
def facts(probed: Path) -> Path:
    """The same with what came of importing each package, as preflight would add it: nested runs need not try again."""
    found = read_facts(probed.read_text().strip().rpartition("\n")[2])
    tried = {name: import_error(name, "cpu") for name in installed_under_test() if name not in IMPORTED}
    told = {name: {**package, "imported": "yes", "native": tried[name]} if name in tried else package
            for name, package in found.packages.items()}  # fmt: skip
    path = probed.with_name("facts.json")
    path.write_text(dataclasses.replace(found, packages=told).to_json())
    return path
