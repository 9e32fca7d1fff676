"""While checks run a person sees how many are done, what is not good, what runs now, and how long it will take yet."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures import progress
from fixtures.note import Note, Slate
from fixtures.options import SETTINGS
from fixtures.progress import Live, Progress
from fixtures.selection import PLAN
from reports.estimate import ENOUGH, Estimate, estimate
from suites.selftest.examples import record, written
from suites.selftest.samples import facts

NODE = "suites/a.py::test_it[sdpa/llama-tiny/bf16/cuda:correct:{}]"
ONE, TWO = "sdpa/llama-tiny/bf16/cuda::correct[one]", "sdpa/llama-tiny/bf16/cuda::correct[two]"


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


class Reporter:
    """The part of pytest's terminal reporter that is used."""

    def __init__(self, file: io.StringIO) -> None:
        self._tw, self.lines, self.showfspath = SimpleNamespace(_file=file), [], True

    def ensure_newline(self) -> None:
        pass

    def write_line(self, line: str) -> None:
        self.lines.append(line)


def config(folder: Path, workers: int = 2, **options: Any) -> Any:
    stash = pytest.Stash()
    stash[SETTINGS] = SimpleNamespace(run_dir=folder / "now", validation=True)
    stash[PLAN] = SimpleNamespace(facts=facts("cuda"))
    usual = {"numprocesses": workers, "verbose": 0, "collectonly": False, "usepdb": False, "capture": "fd"}
    return SimpleNamespace(stash=stash, option=SimpleNamespace(**usual | options))


def report(check: str, outcome: str = "passed", seconds: float = 1.0) -> Any:
    carried = {"id": check, "outcome": outcome, "message": "[red]lost\x1b[31m", "durations": {"total": seconds}}
    return SimpleNamespace(check=carried, failed=outcome == "failed")


def planned(folder: Path, kind: type[Progress] = Progress, file: io.StringIO | None = None) -> Any:
    shown = kind(config(folder), Reporter(file or Screen()))
    shown.plan([NODE.format("one"), NODE.format("two"), "suites/b.py::test_other"])
    return shown


# estimates


def test_recorded_durations_say_how_long_it_will_take() -> None:
    assert 2.5 == Estimate(recorded={"a": 2.0, "b": 3.0}).left(["a", "b"], workers=2)


def test_a_check_that_was_never_recorded_takes_as_long_as_the_others() -> None:
    assert 6.0 == Estimate(recorded={"a": 1.0, "b": 3.0}).left(["a", "b", "c"], workers=1)


def test_a_slower_machine_takes_longer() -> None:
    found = Estimate(recorded={"a": 1.0, "b": 3.0})
    found.took("a", 2.0)

    assert 6.0 == found.left(["b"], workers=1)


def test_without_a_recorded_run_nothing_is_said_before_enough_is_done() -> None:
    found = Estimate()
    told = []
    for check in range(ENOUGH):
        told.append(found.left(["x"], 1))
        found.took(str(check), 2.0)

    assert ([None] * ENOUGH, 2.0) == (told, found.left(["x"], 1))


@given(
    st.dictionaries(st.text(), st.floats(min_value=0, max_value=1e6)),
    st.lists(st.tuples(st.text(), st.floats())),
    st.integers(0, 9),
)
def test_an_estimate_is_a_duration(recorded: dict[str, float], done: list[tuple[str, float]], workers: int) -> None:
    found = Estimate(recorded=recorded)
    for check, seconds in done:
        found.took(check, seconds)
    left = found.left(["", "a"], workers)

    assert left is None or left >= 0


def test_the_run_that_knows_most_of_the_checks_is_asked(tmp_path: Path) -> None:
    written(tmp_path / "few", record(subject="one"), id="few", started=3.0)
    written(tmp_path / "most", record(subject="one"), record(subject="two"), id="most", started=2.0)
    written(tmp_path / "cpu", record(subject="one"), record(subject="two"), id="cpu", started=4.0, platform="cpu")
    written(tmp_path / "faulty", record(subject="one"), record(subject="two"), id="f", started=5.0, injected=("hang",))

    assert "most" == estimate(tmp_path, "cuda", [ONE, TWO]).source


def test_a_folder_without_runs_is_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "run.json").write_text("{")

    assert Estimate() == estimate(tmp_path, "cuda", [ONE])


# what is shown


def test_the_summary_counts_what_is_done_and_not_good(tmp_path: Path) -> None:
    written(tmp_path / "before", record(subject="one"), record(subject="two"), started=1.0)
    shown = planned(tmp_path)
    shown.pytest_runtest_logreport(report(ONE, "failed"))

    assert "1 of 2 checks, 1 not good, about 0.5 s left" == shown.summary()


def test_a_known_failure_is_not_counted(tmp_path: Path) -> None:
    shown = planned(tmp_path)
    shown.pytest_runtest_logreport(report(ONE, "expected_failure"))

    assert 0 == shown.bad


def test_what_runs_now_is_told_with_its_phase(tmp_path: Path) -> None:
    shown = planned(tmp_path)
    (tmp_path / "now" / "workers").mkdir(parents=True)
    Slate(tmp_path / "now" / "workers" / "gw0.note").write(Note(state="running", nodeid=NODE.format("two"), phase="reference"))
    for name in ("one", "two"):
        shown.pytest_runtest_logstart(NODE.format(name))

    assert [ONE, f"{TWO} (reference)"] == list(shown.now())


def test_a_log_gets_a_line_once_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = planned(tmp_path)
    now = shown.told + 61
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    shown.pytest_runtest_logstart(NODE.format("one"))
    shown.pytest_runtest_logfinish(NODE.format("one"))
    shown.pytest_runtest_logfinish(NODE.format("one"))

    assert [f"0 of 2 checks, 0 not good; {ONE}"] == shown.terminal.lines


def test_a_terminal_gets_lines_that_go_away_and_keeps_what_is_not_good(tmp_path: Path) -> None:
    file = Screen()
    shown = planned(tmp_path, Live, file)
    shown.pytest_runtest_logstart(NODE.format("one"))
    shown.terminal._tw._file.write("said by pytest\n")
    shown.pytest_runtest_logreport(report(ONE, "failed"))
    shown.live.refresh()
    shown.pytest_sessionfinish()

    assert "1 of 2 checks, 1 not good" in file.getvalue()
    assert f"{ONE}\x1b[0m failed: [red]lost\\x1b[31m" in file.getvalue().replace("\n", " ")
    assert file.getvalue().index("said by pytest") > 0
    assert shown.terminal._tw._file is file


@pytest.mark.parametrize(
    ("variables", "kind"),
    [({}, Live), ({"CI": "true"}, Progress), ({"TERM": "dumb"}, Progress)],
    ids=["terminal", "ci", "dumb"],
)
def test_ci_gets_a_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], kind: type[Progress]
) -> None:
    for name, value in ({"CI": "", "TERM": "xterm"} | variables).items():
        monkeypatch.setenv(name, value)
    made: dict[str, Any] = {}
    settings = config(tmp_path)
    settings.pluginmanager = SimpleNamespace(
        getplugin=lambda name: Reporter(Screen()), register=lambda plugin, name: made.update({name: plugin})
    )
    progress.pytest_configure(settings)

    assert kind is type(made["run-progress"])
