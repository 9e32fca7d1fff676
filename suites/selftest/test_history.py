"""History as the test: what releases broke turns red, and what they left alone stays quiet. Slow: it installs and runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from fixtures.options import ROOT
from matrix.load import load_matrix
from matrix.requirement import PINNED
from matrix.table import Table, read

# Both stacks are built and run in each test.
MINUTES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """One entry of history.toml."""

    name: str
    summary: str
    good: str
    bad: str
    quiet: str
    cells: str
    red: tuple[str, ...]
    words: str
    url: str


def defect(name: str, table: Table) -> Defect:
    texts = {key: table.text(key) for key in ("summary", "good", "bad", "quiet", "cells", "words", "url")}
    return Defect(name=name, red=table.texts("red"), **texts)


HISTORY = tuple(defect(name, table) for name, table in read(Path(__file__).with_name("history.toml")).named("defect"))


def validated(folder: Path, before: str, after: str, cells: str) -> tuple[int, dict[str, str]]:
    """Exit status, and what newly fails in which words. Known failures are failures here: the defects are known by now."""
    command = [sys.executable, "-m", "matrix", "validate", "--platform=cpu", f"--run-dir={folder}", f"--cells={cells}"]
    command += ["--against", before, "--candidate", after, "--", "-n0", "--ignore-expectations"]
    done = subprocess.run(command, cwd=ROOT, timeout=MINUTES * 60, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    told = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
    return done.returncode, {each["id"]: each["message"] for each in told["verdicts"] if each["worse"]}


@pytest.mark.slow
@pytest.mark.timeout(MINUTES * 60)
@pytest.mark.parametrize("known", HISTORY, ids=lambda known: known.name)
def test_the_release_with_the_defect_turns_red_in_its_checks(known: Defect, tmp_path: Path) -> None:
    status, worse = validated(tmp_path / "red", known.good, known.bad, known.cells)

    assert 1 == status
    assert [known.words in worse.get(check, "it holds") for check in known.red] == [True] * len(known.red), worse


@pytest.mark.slow
@pytest.mark.timeout(MINUTES * 60)
@pytest.mark.parametrize("known", HISTORY, ids=lambda known: known.name)
def test_a_good_release_and_the_next_good_one_stay_quiet(known: Defect, tmp_path: Path) -> None:
    assert (0, {}) == validated(tmp_path / "quiet", known.quiet, known.good, known.cells)


@pytest.mark.parametrize("known", HISTORY, ids=lambda known: known.name)
def test_the_history_names_releases_cells_and_the_maintainers_words(known: Defect) -> None:
    assert all(PINNED.fullmatch(requirement) for requirement in (known.good, known.bad, known.quiet))
    assert known.url.startswith("https://github.com/")
    assert {check.partition("/")[0] for check in known.red} <= set(load_matrix().configurations)
