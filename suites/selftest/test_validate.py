"""``python -m matrix validate``: which stacks it builds, what it runs in them, and what it says where it cannot."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from matrix import tox, validate
from matrix.__main__ import main
from matrix.environment import Environment
from matrix.errors import UserError
from matrix.load import load_matrix
from matrix.requirement import Requirement
from matrix.resolution import Resolved, Source
from matrix.stack import Stack
from reports.record import Outcome
from suites.selftest.examples import record, written

CPU = load_matrix().environments["cpu-tf5"]
NEEDS = {"transformers": ("huggingface-hub", "tokenizers")}


def resolved(text: str) -> Resolved:
    name, _, version = text.partition("==")
    return Resolved(text=text, project=name, version=version, line=text, needs=NEEDS.get(name, ()))


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """Stacks that are never built: what would run in each is recorded, and a stack in ``bad`` fails its check."""
    seen: dict[str, Any] = {"built": [], "ran": [], "bad": set(), "folder": tmp_path / "runs"}

    def known(requirement: Requirement, option: str, source: Source) -> Resolved:
        return resolved(requirement.line)

    def run_suite(stack: Stack, arguments: Sequence[str], folder: Path, log: Path) -> None:
        seen["ran"].append((stack.name, *arguments))
        outcome = {"outcome": Outcome.FAILED, "message": "wrong"} if stack.name in seen["bad"] else {}
        written(folder, record(id="eager/llama-tiny/fp32/cpu::builds", platform="cpu", **outcome), platform="cpu")

    monkeypatch.setattr(validate, "resolve", known)
    monkeypatch.setattr(tox, "build", lambda stack, log: seen["built"].append(stack.name))
    monkeypatch.setattr(tox, "run_suite", run_suite)
    return seen


def called(bench: dict[str, Any], *arguments: str) -> int:
    return main(["validate", "--platform=cpu", f"--run-dir={bench['folder']}", *arguments])


def test_the_candidate_is_compared_with_the_environment_as_it_is_pinned(bench: dict[str, Any]) -> None:
    assert 0 == called(bench, "--candidate", "transformers==5.20.2")
    assert ["cpu-tf5", "cpu-tf5-transformers5.20.2"] == bench["built"]


def test_a_candidate_that_is_worse_is_the_exit_status(bench: dict[str, Any]) -> None:
    bench["bad"] = {"cpu-tf5-transformers5.20.2"}

    assert 1 == called(bench, "--candidate", "transformers==5.20.2", "--against", "transformers==5.17.0")
    assert ["cpu-tf5-transformers5.17.0", "cpu-tf5-transformers5.20.2"] == bench["built"]


def test_several_requirements_make_one_stack(bench: dict[str, Any]) -> None:
    called(bench, "--candidate", "transformers==5.20.2", "torch==2.14.0")

    assert "cpu-tf5-transformers5.20.2-torch2.14.0" == bench["built"][-1]


def test_a_recorded_run_stands_for_the_baseline(bench: dict[str, Any], tmp_path: Path) -> None:
    called(bench, "--candidate", "transformers==5.20.2")
    bench["built"].clear()

    bench["folder"], recorded = tmp_path / "again", bench["folder"] / "baseline"
    status = called(bench, "--against", str(recorded))

    assert (0, ["cpu-tf5"]) == (status, bench["built"])


def test_the_suite_is_asked_for_the_same_in_both(bench: dict[str, Any]) -> None:
    called(bench, "--candidate", "torch==2.14.0", "--tier=full", "--cells=eager and llama*", "--", "-n0")

    assert [("--tier=full", "--cells=eager and llama*", "-n0")] * 2 == [ran[1:] for ran in bench["ran"]]


def test_both_runs_and_their_comparison_are_kept(bench: dict[str, Any]) -> None:
    called(bench, "--candidate", "torch==2.14.0")

    assert {"baseline", "candidate", "comparison.json", "comparison.md"} <= {path.name for path in bench["folder"].iterdir()}


def test_the_requirement_that_did_it_is_found(bench: dict[str, Any], capfd: pytest.CaptureFixture[str]) -> None:
    bench["bad"] = {"cpu-tf5-transformers5.20.2-torch2.14.0", "cpu-tf5-torch2.14.0"}

    called(bench, "--candidate", "transformers==5.20.2", "torch==2.14.0", "--bisect", "--releases", "2.14.0")
    out = capfd.readouterr().out

    assert "bisect: transformers 5.23.0 -> 5.20.2 alone brings 0 of 1 back" in out
    assert "bisect: torch 2.13.0 -> 2.14.0 alone brings 1 of 1 back" in out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--candidate", "transformers==5.23.0"), "candidate and baseline are both cpu-tf5: name another release"),
        (
            ("--candidate", "torch==2.14.0", "torch==2.15.0"),
            "--candidate names torch more than once: 'torch==2.14.0', 'torch==2.15.0'",
        ),
        (("--candidate", "torch=2"), "--candidate 'torch=2' is no requirement"),
        (("--environment=cpu-tf9",), "--environment is 'cpu-tf9', accepted: cpu-tf5, "),
        (("--environment=cuda-tf5",), "--environment cuda-tf5 is of cuda, --platform is cpu"),
        (("--cells=nothing",), "--cells 'nothing': 'nothing' matches no cell of cpu"),
    ],
)
def test_what_cannot_be_used_is_one_line_before_anything_is_built(
    bench: dict[str, Any], capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], expected: str
) -> None:
    status = called(bench, *arguments)
    said = capsys.readouterr().err

    assert (2, 1, []) == (status, len(said.splitlines()), bench["built"])
    assert said.startswith(f"error: {expected}")


# what tox is told


def test_what_is_not_changed_stays_where_the_lock_has_it() -> None:
    changed = Stack(environment=CPU, changed=(resolved("transformers==5.20.2"),))
    free = {line.partition("==")[0] for line in Stack(environment=CPU).constraints()} - {
        line.partition("==")[0] for line in changed.constraints()
    }

    assert {"transformers", "huggingface-hub", "tokenizers"} == free


def test_a_stack_claims_what_it_was_built_from() -> None:
    stack = Stack(
        environment=CPU, changed=(resolved("transformers==5.20.2"),), source=Source(index="https://example.org", pre=True)
    )

    assert ("transformers==5.20.2",) == stack.overrides
    assert ("--extra-index-url https://example.org", "--pre") == stack.requirements[:2]
    assert "transformers==5.20.2" in stack.requirements and "transformers==5.23.0" not in stack.requirements


def test_tox_itself_takes_the_requirements_and_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Read back from tox: nothing is installed."""
    monkeypatch.setenv("TOX_WORK_DIR", str(tmp_path))
    stack = Stack(environment=CPU, changed=(resolved("transformers==5.20.2"),))
    options = [each for each in tox.overriding(stack) if each]
    command = [
        sys.executable,
        "-m",
        "tox",
        "config",
        f"--workdir={tmp_path}",
        "-e",
        "cpu-tf5",
        *options,
        "-k",
        "deps",
        "env_dir",
    ]
    said = subprocess.run(command, capture_output=True, text=True, cwd=tox.ROOT, check=True, timeout=100).stdout

    assert f"env_dir = {tmp_path / 'cpu-tf5-transformers5.20.2'}" in said
    assert "transformers==5.20.2" in said and f"-c {tmp_path}/constraints/cpu-tf5-transformers5.20.2.txt" in said


def test_an_installation_that_fails_is_told_in_pips_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def failing(stack: Stack, options: Sequence[str], arguments: Sequence[str], log: Path) -> int:
        log.write_text(
            "cpu-tf5: install_deps> python -I -m pip install x\nERROR: No matching distribution found for torch==9\n"
        )
        return 1

    monkeypatch.setattr(tox, "_run", failing)

    with pytest.raises(
        UserError, match=r"^cpu-tf5-torch9 cannot be installed: No matching distribution found for torch==9 \(all"
    ):
        tox.build(Stack(environment=CPU, changed=(resolved("torch==9"),)), tmp_path / "log")


def test_what_is_missing_is_said_before_anything_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tox.importlib.util, "find_spec", lambda name: None if name == "scipy" else name)

    with pytest.raises(UserError, match=r"^scipy is not installed in this Python: run `pip install tox scipy`, then"):
        tox.require()


def test_a_suite_that_records_nothing_is_no_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def failing(stack: Stack, options: Sequence[str], arguments: Sequence[str], log: Path) -> int:
        log.write_text("ERROR: --cells 'x' matches no cell\n\n")
        return 4

    monkeypatch.setattr(tox, "_run", failing)

    with pytest.raises(
        UserError, match=r"^cpu-tf5: the suite recorded nothing \(status 4\): ERROR: --cells 'x' matches no cell"
    ):
        tox.run_suite(Stack(environment=CPU), (), tmp_path / "run", tmp_path / "log")


def test_the_checks_that_got_worse_are_read_from_the_comparison(tmp_path: Path) -> None:
    verdicts = [{"id": "a::x", "worse": True, "message": "wrong"}, {"id": "b::x", "worse": False, "message": ""}]
    (tmp_path / "comparison.json").write_text(json.dumps({"verdicts": verdicts}))

    assert {"a::x": "wrong"} == validate.worse(tmp_path)


def test_environments_are_named_after_what_they_hold() -> None:
    environment = Environment(name="cpu-tf5", summary="", platform="cpu", packages=("torch==2.13.0",), promises=())
    wheel = Resolved(text="x.whl", project="torch", version="2.16.0.dev1", line="torch @ file:///x.whl", content="3f2a91c04d")

    assert "cpu-tf5-torch2.16.0.dev1-3f2a91c0" == Stack(environment=environment, changed=(wheel,)).name
