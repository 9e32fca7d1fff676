"""A shard that really ran, in a worker of its own, joins to a run that misses what the other shards were to run."""

from __future__ import annotations

from pathlib import Path

import pytest

from reports.merge import joined, write
from suites.selftest.nested import validate


@pytest.mark.slow
def test_a_shard_runs_its_own_checks_and_alone_misses_all_others(tmp_path: Path) -> None:
    ended = validate(tmp_path, "--cells=eager and distilbert-tiny and fp32", "--shard=1/2", workers=1)
    assert ended.run is not None, ended.output
    actual = write(joined([ended.run]), tmp_path / "joined")

    assert (0, True, "1/2") == (ended.exit_code, ended.run.whole, ended.run.header.shard and ended.run.header.shard.name)
    assert {"distilbert-tiny"} == {record.model for record in actual.records.values()}
    assert {"imports"} == {id.partition("::")[2] for id in actual.missing}
    assert "it is shard 1/2, with" in ended.output
