"""The command line becomes settings once, and the settings say how to reproduce a single check."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fixtures.options import ROOT, VARIABLES, Settings, pytest_addoption, pytest_report_header, read
from fixtures.options import SETTINGS as STASHED
from matrix.cell import PLATFORMS, TIERS
from matrix.errors import UserError


def parsed(*arguments: str, args: tuple[str, ...] = ("suites/attention",), folder: Path = ROOT) -> Any:
    """A configuration as pytest makes it of a command line; ``args`` are the paths and node ids."""
    parser = pytest.Parser(_ispytest=True)
    pytest_addoption(parser)
    options = parser.parse_known_args(list(arguments))
    return SimpleNamespace(
        getoption=lambda name: getattr(options, name), args=list(args), invocation_params=SimpleNamespace(dir=folder),
        stash=pytest.Stash(),
    )  # fmt: skip


def settings(*arguments: str, **given: Any) -> Settings:
    return read(parsed(*arguments, **given))


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment of the tests holds, the settings start from an empty one."""
    for name in (*VARIABLES, "GPU_INFERENCE_CACHE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_without_options_this_machine_is_validated_quickly() -> None:
    actual = settings()

    assert ("auto", "quick", "*", "", "", "", (), ROOT / ".cache") == (
        actual.platform, actual.tier, actual.cells, actual.baseline, actual.checkpoint, actual.environment, actual.inject,
        actual.cache,
    )  # fmt: skip


def test_two_runs_have_two_folders() -> None:
    assert ROOT / "runs" == settings().run_dir.parent


def test_what_is_given_is_what_is_set() -> None:
    actual = settings(
        "--platform", "rocm", "--tier", "full", "--cells", "bnb-*", "--run-dir", "here", "--baseline", "there", "--checkpoint",
        "gpt2",
        "--environment", "rocm-tf5", "--inject", "a", "--inject", "b", "--cache", "kept",
    )  # fmt: skip

    assert ("rocm", "full", "bnb-*", Path("here"), "there", "gpt2", "rocm-tf5", ("a", "b"), Path("kept")) == (
        actual.platform, actual.tier, actual.cells, actual.run_dir, actual.baseline, actual.checkpoint, actual.environment,
        actual.inject, actual.cache,
    )  # fmt: skip


@pytest.mark.parametrize(("option", "accepted"), [("--platform", ("auto", *PLATFORMS)), ("--tier", TIERS)])
def test_a_choice_that_is_not_offered_names_those_that_are(
    option: str, accepted: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BaseException) as raised:
        settings(option, "hip")

    said = str(raised.value) + capsys.readouterr().err
    assert all(choice in said for choice in (option, "hip", *accepted))


@pytest.mark.parametrize(
    ("given", "expected"), [({}, ROOT / ".cache"), ({"GPU_INFERENCE_CACHE": "/elsewhere"}, Path("/elsewhere"))]
)
def test_the_cache_is_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], expected: Path
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)

    assert expected == settings().cache


@pytest.mark.parametrize(("arguments", "expected"), [((), "1"), (("--checkpoint", "gpt2"), "0")])
def test_hubs_are_out_of_bounds_unless_a_checkpoint_is_asked_for(arguments: tuple[str, ...], expected: str) -> None:
    assert expected == settings(*arguments).in_force["HF_HUB_OFFLINE"]


def test_the_caller_may_forbid_hubs_for_a_checkpoint_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    assert "1" == settings("--checkpoint", "gpt2").in_force["HF_HUB_OFFLINE"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), ("--platform=auto", "--tier=quick")),
        (("--cells", "sdpa", "--run-dir", "here", "--baseline", "there"), ("--platform=auto", "--tier=quick")),
        (("--tier", "full", "--checkpoint", "my model", "--inject", "a", "--inject", "b"),
         ("--platform=auto", "--tier=full", "--checkpoint=my model", "--inject=a", "--inject=b")),
    ],
)  # fmt: skip
def test_a_single_check_is_reproduced_by_what_decides_it(arguments: tuple[str, ...], expected: tuple[str, ...]) -> None:
    """Neither the selection, nor where it is recorded, nor what it is compared with."""
    assert expected == settings(*arguments).arguments


def test_variables_that_change_what_executes_are_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    actual = settings("--inject", "a", "--inject", "b").in_force

    assert ("3", "a b", "quick") == (actual["CUDA_VISIBLE_DEVICES"], actual["inject"], actual["tier"])
    assert "hf_secret" not in actual.values()


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("suites/environment", "suites/attention"), True),
        (("suites/selftest",), False),
        (("suites/selftest/test_options.py::test_a[b::c]", "suites/selftest/test_table.py"), False),
        (("suites/selftest", "suites/attention"), True),
        (("suites",), True),
        ((".",), True),
    ],
)
def test_the_suites_own_tests_validate_no_machine(args: tuple[str, ...], expected: bool) -> None:
    assert expected == settings(args=args).validation


def test_paths_are_those_of_the_folder_that_pytest_was_started_in() -> None:
    assert not settings(args=("selftest",), folder=ROOT / "suites").validation


def test_the_header_prints_every_setting_and_shouts_about_faults() -> None:
    config = parsed("--inject", "mask-dropped", "--run-dir", "here")
    config.stash[STASHED] = read(config)

    assert [
        "validation: platform auto, tier quick, cells '*', run here, INJECTED FAULTS: mask-dropped"
    ] == pytest_report_header(config)


def test_durations_without_shards_are_refused() -> None:
    with pytest.raises(UserError, match=r"^--durations-from is 'r' without --shard, whose parts it balances: say --shard=K/N$"):
        settings("--durations-from=r")
