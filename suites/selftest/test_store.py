"""What was recorded is kept, whatever happens to the process or the file."""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix.errors import UserError
from reports.lock import LOCK
from reports.record import Outcome
from reports.run import Expectation, Header, Status
from reports.store import ENVIRONMENT, RECORDS, RUN, RunWriter, latest, read_run
from suites.selftest.examples import JSON, record, run, written

FIRST, SECOND, THIRD = (record(subject=name) for name in ("first", "second", "third"))


def unusable(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_run(folder)
    return str(caught.value)


def spoil(folder: Path, name: str, old: str, new: str) -> None:
    path = folder / name
    path.write_text(path.read_text().replace(old, new, 1))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return written(tmp_path / "r1", FIRST, SECOND, THIRD, environment={"driver": "580"}, notes=("on purpose",))


def test_a_run_is_read_as_it_was_written(folder: Path) -> None:
    actual = read_run(folder)

    assert run(FIRST, SECOND, THIRD, notes=("on purpose",)).header == actual.header
    assert {item.id: item for item in (FIRST, SECOND, THIRD)} == actual.records
    assert actual.environment == {"driver": "580"}
    assert actual.whole


def test_a_record_can_be_read_as_soon_as_it_is_appended(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path)
    writer.begin(run().header, {})
    writer.append(FIRST)

    assert [FIRST.id] == list(read_run(tmp_path).records)


def test_a_run_that_was_never_finished_is_not_whole(tmp_path: Path) -> None:
    RunWriter(tmp_path).begin(Header(id="r1", started=0.0, platform="cpu", planned=(FIRST.id,)), {})
    actual = read_run(tmp_path)

    assert (False, False, (FIRST.id,)) == (actual.header.complete, actual.whole, actual.missing)


def test_expectations_are_kept(tmp_path: Path) -> None:
    entry = Expectation(cells="sdpa", url="https://example.org/1", status=Status.STALE, message="passes")
    writer = RunWriter(tmp_path)
    writer.begin(run().header, {})
    writer.finish(finished=1.0, complete=True, expectations=[entry])

    assert (entry,) == read_run(tmp_path).header.expectations


def test_a_folder_that_holds_a_run_is_not_written_again(folder: Path) -> None:
    with pytest.raises(UserError, match="holds a run already"):
        RunWriter(folder).begin(run().header, {})


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(UserError, match="cannot be written: Not a directory"):
        RunWriter(tmp_path / "file" / "r1").begin(run().header, {})


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, this system has none")
def test_a_full_disk_is_one_line_and_spoils_no_later_record(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path / "r2")
    writer.begin(run().header, {})
    writer.append(FIRST)
    kept = (tmp_path / "r2" / RECORDS).rename(tmp_path / "kept")
    (tmp_path / "r2" / RECORDS).symlink_to("/dev/full")
    with pytest.raises(UserError, match="No space left"):
        writer.append(SECOND)
    kept.write_text(kept.read_text() + SECOND.to_json()[:40])
    kept.rename(tmp_path / "r2" / RECORDS)
    writer.append(THIRD)

    assert [FIRST.id, THIRD.id] == list(read_run(tmp_path / "r2").records)


# one process at a time


@pytest.fixture
def recording(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that goes on with the run."""
    program = (
        "import sys; from pathlib import Path; from reports.store import RunWriter, read_run; folder = Path(sys.argv[1]); "
        "writer = RunWriter(folder); writer.resume(read_run(folder)); print('recording', flush=True); sys.stdin.read(); "
        "writer.finish(finished=1.0, complete=True)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(folder)], cwd=Path(__file__).parents[2], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        assert "recording\n" == process.stdout.readline()
        yield process
        process.kill()


def test_a_folder_in_which_another_process_records_is_refused(folder: Path, recording: subprocess.Popen[str]) -> None:
    told = f"{folder}: process {recording.pid} on {socket.gethostname()} is recording there: wait for it, or end it"
    with pytest.raises(UserError, match=re.escape(told)):
        RunWriter(folder).resume(read_run(folder))
    recording.communicate("")

    assert not (folder / LOCK).exists()
    RunWriter(folder).resume(read_run(folder))


def test_what_a_killed_process_left_is_taken_over(folder: Path, recording: subprocess.Popen[str]) -> None:
    recording.kill()
    recording.wait()
    assert (folder / LOCK).exists()
    writer = RunWriter(folder)
    writer.resume(read_run(folder))

    assert f"{os.getpid()} {socket.gethostname()}\n" == (folder / LOCK).read_text()
    writer.finish(finished=2.0, complete=True)
    assert not (folder / LOCK).exists()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_recorded_on(folder: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, "no locks here")

    monkeypatch.setattr("fcntl.flock", refuse)
    writer = RunWriter(folder)
    writer.resume(read_run(folder))
    writer.finish(finished=2.0, complete=True)

    assert read_run(folder).whole


def test_no_process_that_is_started_inherits_the_lock(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path / "r1")
    writer.begin(run().header, {})
    command = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=False) as process:
        assert process.stdout is not None
        process.stdout.readline()
        del writer
        RunWriter(tmp_path / "r1").resume(read_run(tmp_path / "r1"))
        process.kill()


# what was cut off or damaged


@given(st.data())
def test_a_last_line_cut_anywhere_is_said_and_loses_nothing_else(data: st.DataObject) -> None:
    lines = [item.to_json() for item in (FIRST, SECOND, THIRD)]
    cut = data.draw(st.integers(1, len(lines[-1]) - 1))
    with tempfile.TemporaryDirectory() as name:
        folder = written(Path(name) / "r1")
        (folder / RECORDS).write_text(f"{lines[0]}\n{lines[1]}\n{lines[2][:cut]}")
        actual = read_run(folder)

    assert [FIRST.id, SECOND.id] == list(actual.records)
    assert [text[-56:] for text in actual.damage] == ["line 3: cut off while it was written; the record is lost"]


def test_a_last_line_that_lacks_only_its_line_break_is_whole(folder: Path) -> None:
    path = folder / RECORDS
    path.write_bytes(path.read_bytes().rstrip(b"\n"))

    assert read_run(folder).whole


def test_a_corrupt_line_in_the_middle_is_said_and_loses_nothing_else(folder: Path) -> None:
    spoil(folder, RECORDS, SECOND.to_json(), "\x00\x00 not a record")
    actual = read_run(folder)

    assert [FIRST.id, THIRD.id] == list(actual.records)
    assert len(actual.damage) == 1
    assert "records.jsonl line 2: not JSON" in actual.damage[0]
    assert not actual.whole


def test_of_two_records_of_a_check_the_last_counts_and_the_first_is_kept_aside(tmp_path: Path) -> None:
    failed = record(subject="first", outcome=Outcome.FAILED)
    actual = read_run(written(tmp_path / "r1", failed, SECOND, FIRST))

    assert actual.records[FIRST.id].outcome == Outcome.PASSED
    assert (failed,) == actual.superseded


def test_missing_records_and_a_missing_environment_are_damage(folder: Path) -> None:
    (folder / RECORDS).unlink()
    (folder / ENVIRONMENT).unlink()
    actual = read_run(folder)

    assert (dict(actual.records), dict(actual.environment), len(actual.damage)) == ({}, {}, 2)


def test_a_run_whose_environment_cannot_be_read_is_not_whole(folder: Path) -> None:
    (folder / ENVIRONMENT).write_text("[]")

    assert not read_run(folder).whole


def test_a_folder_without_a_run_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("something else")

    assert f"{tmp_path}: holds no run (there is no run.json)" in unusable(tmp_path)


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    assert f"{tmp_path / 'no'}: is no folder" in unusable(tmp_path / "no")


def test_a_run_that_is_packed_is_to_be_unpacked(tmp_path: Path) -> None:
    (tmp_path / "r1.tar.xz").write_bytes(b"")

    assert f"{tmp_path}/r1: is no folder, but there is {tmp_path}/r1.tar.xz: unpack it" == unusable(tmp_path / "r1")


@pytest.mark.parametrize(("count", "named"), [(1, "a"), (5, "abcde"), (7, "abcde")])
def test_of_a_folder_of_runs_some_are_named(tmp_path: Path, count: int, named: str) -> None:
    for name in "gfedcba"[-count:]:
        written(tmp_path / name, FIRST)
    listed = ", ".join(str(tmp_path / name) for name in named) + (" and 2 more" if count == 7 else "")

    assert f"{tmp_path}: holds no run itself; name one of those in it: {listed}" == unusable(tmp_path)


def test_an_unusual_name_is_one_line() -> None:
    assert "\n" not in unusable(Path("a\0b"))


@pytest.mark.parametrize("name", [RUN, RECORDS])
def test_a_newer_schema_is_refused_as_a_whole(folder: Path, name: str) -> None:
    spoil(folder, name, '"schema": 1', '"schema": 2')

    assert "schema 2 is newer than 1" in unusable(folder)


def test_an_unknown_key_in_the_header_is_named(folder: Path) -> None:
    spoil(folder, RUN, '"tier"', '"level"')

    assert f"{folder / RUN}: unknown key 'level'" in unusable(folder)


def test_an_unknown_key_in_an_expectation_is_named(folder: Path) -> None:
    tree = json.loads((folder / RUN).read_text())
    tree["expectations"] = [{"cells": "sdpa", "url": "u", "status": "stale", "until": 3}]
    (folder / RUN).write_text(json.dumps(tree))

    assert "run.json: expectations 1: unknown key 'until'" in unusable(folder)


@given(st.dictionaries(st.sampled_from(["run.json", "environment.json", "records.jsonl"]), st.binary(max_size=60)))
def test_no_bytes_make_a_traceback(contents: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = written(Path(name) / "r1", FIRST)
        for file, content in contents.items():
            (folder / file).write_bytes(content)
        try:
            read_run(folder)
        except UserError as error:
            assert "\n" not in str(error)


@given(JSON)
def test_no_json_in_the_header_makes_a_traceback(value: object) -> None:
    tree = run(FIRST).header.to_tree()
    for key in tree:
        try:
            Header.from_tree(tree | {key: value}, "run.json")
        except UserError as error:
            assert str(error).startswith("run.json: ")


def test_latest_is_the_run_that_started_last(tmp_path: Path) -> None:
    written(tmp_path / "a", FIRST, started=2.0)
    written(tmp_path / "b", FIRST, started=1.0)

    assert tmp_path / "a" == latest(tmp_path)


def test_an_unreadable_run_that_is_newer_is_not_passed_over(tmp_path: Path) -> None:
    written(tmp_path / "a", FIRST, started=2.0)
    (written(tmp_path / "b", FIRST, started=1.0) / RUN).write_text("{")

    assert tmp_path / "b" == latest(tmp_path)


def test_no_run_at_all_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no run; run pytest first"):
        latest(tmp_path / "runs")
