"""Shards that really run join to one whole run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from fixtures.options import ROOT
from reports.merge import joined, write
from suites.selftest.nested import Nested, validate

CELLS = "--cells=eager and distilbert-tiny and fp32"


def test_shards_with_and_without_workers_join_to_one_whole_run(tmp_path: Path) -> None:
    facts = tmp_path / "facts.json"
    facts.write_text(subprocess.check_output([sys.executable, "-m", "fixtures.platform", "cpu"], text=True, cwd=ROOT))
    first = shard(tmp_path / "1", facts, "1/2", workers=0)
    second = shard(tmp_path / "2", facts, "2/2", workers=1)
    assert first.run is not None and second.run is not None, first.output + second.output
    whole = write(joined([first.run, second.run]), tmp_path / "whole")

    assert (0, 0, True, ()) == (first.exit_code, second.exit_code, whole.whole, whole.superseded)
    assert "shard 1/2" in first.output
    assert set(first.run.records) | set(second.run.records) == set(whole.records) == set(whole.header.planned)
    assert "distilbert-tiny" in {record.model for record in whole.records.values()}


def shard(folder: Path, facts: Path, which: str, workers: int) -> Nested:
    folder.mkdir()
    return validate(folder, facts, CELLS, f"--shard={which}", workers=workers)
