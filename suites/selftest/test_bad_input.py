"""Whatever is wrong with what the user gives is one line: what, where, what to do; no traceback, nothing recorded is lost."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fixtures.builders import accept
from matrix.errors import UserError
from matrix.load import load_matrix
from reports.recorder import Recorder
from reports.store import JUNIT, RECORDS, RUN, read_run
from suites.selftest.examples import record, written
from suites.selftest.nested import ROOT, facts_file, validate
from suites.selftest.test_recorder import planned, report, session

USAGE, UNUSABLE = 4, 2
FILES = ("configurations", "models", "workloads", "environments", "expectations", "kernels", "limits")


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This repository in a folder of its own, whose files can be spoilt."""
    folder = tmp_path_factory.mktemp("copied")
    for name in ("matrix", "reports", "fixtures", "suites"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "selftest"))
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    return folder


def said(*command: str, cwd: Path = ROOT) -> tuple[int, str]:
    """Exit status and everything that a command prints."""
    done = subprocess.run([sys.executable, "-m", *command], cwd=cwd, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


def one_line(output: str, *words: str) -> None:
    """Exactly one line is an error, it holds the words, and there is no traceback."""
    __tracebackhide__ = True
    errors = [line for line in output.splitlines() if line.lower().startswith("error: ")]

    assert "Traceback" not in output
    assert 1 == len(errors), output
    assert [] == [word for word in words if word not in errors[0]], errors[0]


# the matrix


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("spoilt", "words"),
    [
        (lambda text: f"colour = 1\n{text}", "colour is an unknown key"),
        (lambda text: text.replace("version = 1", "version = 7"), "version is 7, 1 is accepted"),
        (lambda text: f'{text}\n"', "is not valid TOML"),
    ],
    ids=["unknown-key", "version", "no-toml"],
)
def test_a_spoilt_matrix_file_is_one_line(
    copied: Path, tmp_path: Path, name: str, spoilt: Callable[[str], str], words: str
) -> None:
    """Every command reads the matrix; time limits are read by pytest alone, which says so by its own exit code."""
    path = copied / "matrix" / f"{name}.toml"
    kept = path.read_text(encoding="utf-8")
    path.write_text(spoilt(kept), encoding="utf-8")
    run = ["pytest", f"--run-dir={tmp_path / 'run'}", "-n0"]
    try:
        code, output = said(*(run if name == "limits" else ["matrix", "list"]), f"--facts={facts_file(tmp_path)}", cwd=copied)
    finally:
        path.write_text(kept, encoding="utf-8")

    one_line(output, f"{name}.toml: ", words)
    assert (USAGE if name == "limits" else UNUSABLE) == code


def refused(copied: Path, folder: Path, name: str, spoilt: Callable[[str], str], words: str) -> None:
    """pytest says what is wrong with a file of the matrix in one line, and begins no run."""
    __tracebackhide__ = True
    path = copied / "matrix" / f"{name}.toml"
    kept = path.read_text(encoding="utf-8")
    path.write_text(spoilt(kept), encoding="utf-8")
    try:
        code, output = said("pytest", f"--facts={facts_file(folder)}", f"--run-dir={folder / 'run'}", "-n0", cwd=copied)
    finally:
        path.write_text(kept, encoding="utf-8")

    one_line(output, words)
    assert (USAGE, False) == (code, (folder / "run").exists())


def test_a_spoilt_matrix_file_is_one_line_for_pytest_too(copied: Path, tmp_path: Path) -> None:
    refused(copied, tmp_path, "models", lambda text: f"colour = 1\n{text}", "models.toml: colour is an unknown key")


# options of a configuration


@pytest.mark.parametrize("name", load_matrix().configurations)
def test_every_option_of_the_matrix_means_something_to_its_builder(name: str) -> None:
    accept(load_matrix().configurations[name])


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("sdpa", {"implementatoin": "sdpa"}, "options.implementatoin is unknown, accepted by builder 'attention'"),
        ("bnb-int8", {"load": "8-bit", "threshold": "low"}, "options.threshold is 'low', accepted: a number of at least 0"),
        ("device-map-one-sdpa", {"placement": {"device_map": "one", "uses": "device"}}, "options.uses is 'device', accepted"),
        ("max-memory-gpus-bnb-nf4", {"placement": {"device_map": "auto", "uses": ["gpus"]}, "bitsandbytes": {"load": "4"}},
         "options.load is '4', accepted: 8-bit, 4-bit"),
    ],
)  # fmt: skip
def test_an_option_that_means_nothing_is_refused(name: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        accept(replace(load_matrix().configurations[name], options=options))


def test_an_option_that_means_nothing_is_one_line_before_anything_runs(copied: Path, tmp_path: Path) -> None:
    """And not said by every check that would have built it."""
    refused(copied, tmp_path, "configurations", lambda text: text.replace("{ implementation =", "{ implementatoin =", 1),
            "configurations.toml: configuration.eager.options.implementatoin is unknown")  # fmt: skip


# the command line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--cells=no-such-thing"], ["'no-such-thing' matches no cell of cpu", "python -m matrix list"]),
        (["--cells=sdpa and"], ["--cells 'sdpa and': a glob is expected at the end"]),
        (["--environment=gone"], ["--environment is 'gone', accepted: cpu-tf5"]),
        (["--environment=cuda-tf5"], ["--environment cuda-tf5 is of platform cuda, this run is on cpu"]),
        (["--inject=gone"], ["--inject is 'gone', accepted: abort"]),
        (["--inject=segfault"], ["segfault:CHECKS is accepted"]),
        (["--inject=mask-dropped:x"], ["mask-dropped is accepted"]),
        (["--checkpoint=/no/such/folder"], ["--checkpoint '/no/such/folder'"]),
        (["--baseline=/no/such/run"], ["/no/such/run: is no folder"]),
        (["--resume=/no/such/run"], ["/no/such/run: is no folder"]),
        (["--platform=cuda"], ["--platform is cuda, --facts are of platform cpu"]),
        (["--facts=/no/such/file"], ["--facts /no/such/file: cannot be read"]),
        (["--run-dir=/dev/null/run"], ["/dev/null/run: cannot be written", "--run-dir"]),
    ],
)
def test_an_option_that_cannot_be_used_is_one_line(tmp_path: Path, arguments: list[str], words: list[str]) -> None:
    ended = validate(tmp_path, *arguments)

    one_line(ended.output, *words)
    assert (USAGE, None) == (ended.exit_code, ended.run)


def test_a_folder_that_holds_a_run_is_one_line_and_keeps_it(tmp_path: Path) -> None:
    kept = written(tmp_path / "run", record())
    ended = validate(tmp_path)

    one_line(ended.output, f"{kept}: holds a run already")
    assert [record().id] == list(read_run(kept).records)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"platform": "cuda"}, "ran on 'cuda', this run is on 'cpu': compare two runs of one platform"),
        ({"schema": 9}, "schema 9 is newer"),
    ],
)
def test_a_baseline_that_cannot_be_compared_with_costs_no_run(tmp_path: Path, header: dict[str, Any], words: str) -> None:
    baseline = written(tmp_path / "baseline", record(), platform="cpu")
    path = baseline / RUN
    path.write_text(json.dumps(json.loads(path.read_text()) | header))
    ended = validate(tmp_path, f"--baseline={baseline}")

    one_line(ended.output, str(baseline), words)
    assert (USAGE, None) == (ended.exit_code, ended.run)


def test_tests_that_are_not_there_are_pytests_own_error(tmp_path: Path) -> None:
    ended = validate(tmp_path, "suites/attention/test_gone.py")

    assert USAGE == ended.exit_code
    assert "Traceback" not in ended.output


# what was recorded


def spoilt(folder: Path, name: str, change: Callable[[bytes], bytes]) -> Path:
    """A run of two checks with one of its files changed."""
    written(folder, record(subject="first"), record(subject="second"))
    path = folder / name
    path.write_bytes(change(path.read_bytes()))
    return folder


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        (RUN, lambda content: b"", "run.json: not JSON"),
        (RUN, lambda content: content[:99], "run.json: not JSON"),
        (RUN, lambda content: b"\xff\xfe", "run.json: not UTF-8 text"),
        (RUN, lambda content: content.replace(b'"schema": 1', b'"schema": 7'), "schema 7 is newer than 1"),
        (RUN, lambda content: content.replace(b'"tier"', b'"level"'), "unknown key 'level'"),
        (RECORDS, lambda content: content.replace(b'"schema": 1', b'"schema": 7'), "schema 7 is newer than 1"),
    ],
)
def test_a_run_that_cannot_be_read_is_one_line(tmp_path: Path, name: str, change: Callable[[bytes], bytes], words: str) -> None:
    folder = spoilt(tmp_path / "run", name, change)

    for command in (["show", str(folder)], ["compare", str(folder), str(folder)]):
        code, output = said("reports", *command)
        one_line(output, str(folder), words)
        assert UNUSABLE == code


@pytest.mark.parametrize("change", [lambda content: content[:-30], lambda content: content.replace(b"outcome", b"\x00\x00", 1)])
def test_a_record_that_is_damaged_is_said_and_loses_no_other(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    folder = spoilt(tmp_path / "run", RECORDS, change)
    code, output = said("reports", "show", str(folder), "--all")

    assert (1, True, False) == (code, "the record is lost" in " ".join(output.split()), "Traceback" in output)
    assert 1 == len(read_run(folder).records)


def test_two_runs_of_different_platforms_are_one_line(tmp_path: Path) -> None:
    folders = [written(tmp_path / platform, record(), platform=platform) for platform in ("cpu", "cuda")]
    code, output = said("reports", "compare", *map(str, folders))

    one_line(output, "ran on 'cuda'", "compare two runs of one platform")
    assert UNUSABLE == code


# a disk that fills up in the middle


def test_a_disk_that_is_full_in_the_middle_of_a_run_ends_it_and_loses_nothing(tmp_path: Path) -> None:
    """No file may grow beyond 16 KiB: the header fits, the records do not."""
    folder, cells = tmp_path / "run", "--cells=eager and gpt2-tiny and fp32"
    (tmp_path / "unlimited").mkdir()
    validate(tmp_path / "unlimited", cells)  # so that what is kept between runs is there already
    command = f"ulimit -f 16; exec {sys.executable} -m pytest --facts={facts_file(tmp_path)} --run-dir={folder} '{cells}' -n0"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=120)
    recorded = read_run(folder)

    assert UNUSABLE == done.returncode, done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert f"cannot be recorded: File too large; make room, then go on with --resume {folder}" in done.stdout.replace("\n", " ")
    assert 0 < len(recorded.records) < len(recorded.header.planned)
    assert not recorded.whole


@pytest.mark.parametrize("name", [RUN, JUNIT])
def test_a_disk_that_is_full_at_the_end_of_a_run_is_said_and_makes_it_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    recording = Recorder(planned(tmp_path / "run", "short"), narrowed=False)
    recording.pytest_runtest_logreport(report("short"))
    attach = recording.writer.attach

    def full(file: str, text: str) -> None:
        if file == name:
            raise UserError(f"{file}: cannot be written: No space left on device")
        attach(file, text)

    monkeypatch.setattr(recording.writer, "attach", full)
    ended = session()
    recording.pytest_sessionfinish(ended, 0)

    assert ([f"{name}: cannot be written: No space left on device; what was recorded before is kept"], 1) == (
        recording.troubles,
        ended.exitstatus,
    )
    assert 1 == len(read_run(tmp_path / "run").records)
