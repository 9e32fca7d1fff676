"""``python -m reports`` and its exit codes."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.__main__ import main
from reports.record import Outcome
from suites.selftest.examples import record, written

GOOD, OTHER = record(subject="one"), record(subject="two")
BAD = replace(GOOD, outcome=Outcome.FAILED, message="wrong")


def command(*arguments: object) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    code = main([str(argument) for argument in arguments], out, err)
    return code, out.getvalue(), err.getvalue()


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return written(tmp_path / "runs" / "good", GOOD, OTHER, started=1.0)


@pytest.fixture
def again(tmp_path: Path) -> Path:
    return written(tmp_path / "again", GOOD, OTHER, started=3.0)


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    return written(tmp_path / "runs" / "bad", BAD, OTHER, started=2.0)


def test_a_good_run_exits_with_0(good: Path) -> None:
    assert command("show", good)[0] == 0


def test_a_run_that_is_not_good_exits_with_1(bad: Path) -> None:
    assert command("show", bad)[0] == 1


def test_two_runs_alike_exit_with_0(good: Path, again: Path) -> None:
    assert command("compare", good, again)[0] == 0


def test_a_run_is_not_compared_with_itself(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(good.parent.parent)
    answers = [command("compare", *names) for names in ((good, good.parent / "../runs/good"), (good, "latest"))]

    assert [(2, "")] * 2 == [(code, out) for code, out, _ in answers]
    assert "error: runs/good: is the run that it is compared with; name another\n" == answers[1][2]


def test_a_regression_exits_with_1(good: Path, bad: Path) -> None:
    assert command("compare", good, bad)[0] == 1


def test_the_way_back_is_better_and_exits_with_0(good: Path, bad: Path) -> None:
    assert command("compare", bad, good)[0] == 0


def test_thin_evidence_exits_with_3_where_asked(good: Path, tmp_path: Path) -> None:
    other = written(tmp_path / "other", replace(GOOD, definition="d2"), OTHER)

    assert command("compare", good, other, "--fail-on-inconclusive")[0] == 3


def test_latest_is_the_last_run_below_runs(good: Path, bad: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(good.parent.parent)

    assert command("show", bad)[1] == command("show", "latest")[1]


def test_bad_input_is_one_line_on_stderr_and_exits_with_2(tmp_path: Path) -> None:
    code, out, err = command("show", tmp_path / "no")

    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {tmp_path / 'no'}: is no folder")


@pytest.mark.parametrize(
    ("name", "nothing"),
    [
        ("placement", "recorded no placement; name a run of suites/placement"),
        ("quantization", "recorded no quantization; name a run of suites/quantization"),
        ("onnxruntime", "recorded no profiled pass of ONNX Runtime; name a run of suites/onnxruntime"),
        ("speedup", "recorded no latency; name a run of suites/latency"),
    ],
)
def test_a_table_of_a_suite_that_the_run_has_nothing_of_exits_with_2(good: Path, name: str, nothing: str) -> None:
    assert (2, "", f"error: {good}: {nothing}\n") == command(name, good)


def test_a_model_that_was_not_quantized_is_refused_with_those_that_were(tmp_path: Path) -> None:
    sizes = [record("bnb-nf4", "footprint", model=model, nodeid="suites/quantization/a.py") for model in ("b", "a")]
    folder = written(tmp_path / "r", *sizes)

    assert (2, "", f"error: --model is 'nosuch', of which {folder} has no sizes, accepted: a, b\n") == command(
        "quantization", folder, "--model", "nosuch"
    )  # fmt: skip


def test_a_run_of_one_worker_that_cannot_be_read_is_said_before_anything_is_printed(tmp_path: Path) -> None:
    folder = written(tmp_path / "r", record("device-map-auto", nodeid="suites/placement/a.py"))
    code, out, err = command("placement", folder, "--alone", tmp_path / "no")

    assert (2, "", True) == (code, out, err.startswith(f"error: {tmp_path / 'no'}: is no folder"))


def test_two_platforms_exit_with_2(good: Path, tmp_path: Path) -> None:
    rocm = written(tmp_path / "rocm", GOOD, platform="rocm")

    assert command("compare", good, rocm)[0] == 2


def test_a_file_that_cannot_be_written_exits_with_2(good: Path, tmp_path: Path) -> None:
    code, _, err = command("show", good, "--json", tmp_path / "no" / "run.json")

    assert (code, err.startswith("error: --json ")) == (2, True)


@pytest.mark.parametrize("pages", [["show"], ["compare"]])
def test_every_format_is_written(good: Path, again: Path, tmp_path: Path, pages: list[str]) -> None:
    runs = [good] if pages == ["show"] else [good, again]
    files = {name: tmp_path / f"page.{name}" for name in ("markdown", "html", "junit", "json")}
    command(*pages, *runs, *(part for name, path in files.items() for part in (f"--{name}", path)))

    ElementTree.parse(files["junit"])
    assert all(path.stat().st_size for path in files.values())


@given(st.text())
def test_no_name_of_a_run_makes_a_traceback(name: str) -> None:
    assert command("show", f"no-such-folder/{name}")[0] == 2


def test_a_terminal_of_ascii_gets_every_character_escaped(tmp_path: Path) -> None:
    folder = written(tmp_path / "r", replace(BAD, message="größer"))
    run = subprocess.run(
        [sys.executable, "-m", "reports", "show", str(folder)], capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )  # fmt: skip

    assert (run.returncode, run.stderr) == (1, "")
    assert "gr\\xf6\\xdfer" in run.stdout


def test_the_command_needs_the_standard_library_alone(good: Path, again: Path) -> None:
    """-S leaves out site-packages, so that an import of anything installed fails."""
    run = subprocess.run(
        [sys.executable, "-S", "-m", "reports", "compare", str(good), str(again)], capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip

    assert (run.returncode, run.stderr) == (0, "")


def test_a_reader_that_goes_away_makes_no_traceback(good: Path) -> None:
    line = f"{sys.executable} -m reports show {good} --all | true"
    run = subprocess.run(["bash", "-c", f"{line}; exit ${{PIPESTATUS[0]}}"], capture_output=True, text=True, check=False)

    assert (run.returncode, run.stderr) == (0, "")
