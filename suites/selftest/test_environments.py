"""Environments are what tox installs, and promise only what the probe can look for."""

from __future__ import annotations

import configparser
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fixtures.options import ROOT, Settings
from fixtures.platform import PACKAGES
from fixtures.selection import plan
from matrix.errors import UserError
from matrix.load import load_matrix
from suites.selftest.samples import facts, packages

MATRIX = load_matrix()
NAMES = tuple(MATRIX.environments)


@pytest.fixture(scope="module")
def tox(tmp_path_factory: pytest.TempPathFactory) -> configparser.ConfigParser:
    """What tox itself makes of tox.ini for the environments of the matrix."""
    keys = ("deps", "commands", "labels", "pass_env", "set_env")
    command = [sys.executable, "-m", "tox", "config", f"--workdir={tmp_path_factory.mktemp('tox')}"]
    command += ["-e", ",".join(NAMES), "-k", *keys]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=100, check=True)
    parser = configparser.ConfigParser(interpolation=None, delimiters=(" = ", " ="))
    parser.read_string(done.stdout)
    return parser


def lines(tox: configparser.ConfigParser, name: str, key: str) -> list[str]:
    return [line for line in tox[f"testenv:{name}"].get(key, "").split("\n") if line]


def constraints(name: str) -> list[str]:
    given = MATRIX.environments[name].constraints
    return [f"-c {ROOT / 'matrix' / given}"] if given else []


@pytest.mark.parametrize("name", NAMES)
def test_tox_installs_what_the_environment_says(tox: configparser.ConfigParser, name: str) -> None:
    expected = sorted([*MATRIX.environments[name].packages, *constraints(name)])

    assert expected == sorted(lines(tox, name, "deps"))


@pytest.mark.parametrize("name", NAMES)
def test_tox_installs_from_where_the_environment_says(tox: configparser.ConfigParser, name: str) -> None:
    indexes = [line.partition("=")[2] for line in lines(tox, name, "set_env") if line.startswith("PIP_EXTRA_INDEX_URL=")]

    assert [index for index in (MATRIX.environments[name].index,) if index] == indexes


@pytest.mark.parametrize("name", NAMES)
def test_tox_runs_the_suite_as_that_environment(tox: configparser.ConfigParser, name: str) -> None:
    (command,) = lines(tox, name, "commands")

    assert f"pytest --platform {MATRIX.environments[name].platform} --environment {name}" == command


@pytest.mark.parametrize("name", NAMES)
def test_a_stack_is_run_with_those_of_its_platform(tox: configparser.ConfigParser, name: str) -> None:
    """`tox run -m cuda` runs every stack, and no release along its axes that nobody named."""
    environment = MATRIX.environments[name]

    assert ([] if environment.varied else [environment.platform]) == lines(tox, name, "labels")


@pytest.mark.parametrize("name", NAMES)
def test_tox_lets_the_callers_choice_of_gpus_through(tox: configparser.ConfigParser, name: str) -> None:
    passed = lines(tox, name, "pass_env")

    assert {"CI", "GITHUB_*", "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"} <= set(passed)


def test_tox_has_no_stack_that_is_not_in_the_matrix() -> None:
    command = [sys.executable, "-m", "tox", "list", "--no-desc", "-m", "cpu", "cuda", "rocm"]
    listed = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=100, check=True).stdout.split()

    assert sorted(name for name in NAMES if not MATRIX.environments[name].varied) == sorted(listed)


def test_a_stack_varies_along_its_axes() -> None:
    environment = MATRIX.environments["cpu-tf5-torch2.11-transformers5.17"]

    assert "cpu-tf5" == environment.stack
    assert ("torch==2.11.0", "transformers==5.17.0") == environment.packages[:2]


def test_the_lock_of_the_trusted_environment_holds_what_the_environment_pins() -> None:
    environment = MATRIX.environments["cpu-tf5"]
    locked = (ROOT / "matrix" / environment.constraints).read_text(encoding="utf-8").splitlines()

    assert set(environment.packages) <= set(locked)


def test_every_platform_has_an_environment() -> None:
    assert {"cpu", "cuda", "rocm"} == {environment.platform for environment in MATRIX.environments.values()}


@pytest.mark.parametrize("name", NAMES)
def test_a_promise_is_of_a_package_that_the_probe_looks_for(name: str) -> None:
    """Any other would be called missing wherever it is."""
    assert set() == set(MATRIX.environments[name].promises) - set(PACKAGES)


@pytest.mark.parametrize("name", MATRIX.configurations)
def test_a_configuration_needs_packages_that_the_probe_looks_for(name: str) -> None:
    """Any other would leave its cells out for ever."""
    assert set() == set(MATRIX.configurations[name].requires.packages) - set(PACKAGES)


# what a run claims to be


def settings(**changes: Any) -> Settings:
    usual = {
        "platform": "auto", "tier": "quick", "cells": "eager", "run_dir": Path("runs"), "baseline": "", "checkpoint": "",
        "environment": "", "inject": (), "cache": Path(".cache"), "validation": True,
    }  # fmt: skip
    return Settings(**usual | changes)


def imports(made: Any) -> list[str]:
    return [check.cell.model.name for check in made.checks if check.kind == "imports"]


@pytest.mark.parametrize(("release", "expected"), [("1.24.0", False), ("2.0.0", True), ("2.1.0", True)])
def test_what_an_older_release_holds_itself_is_not_installed_beside_it(release: str, expected: bool) -> None:
    packages = load_matrix().environments["cpu-ort"].instead((f"optimum=={release}",))

    assert expected == ("optimum-onnx==0.1.0" in packages)


def test_an_environment_that_does_not_exist_names_those_that_do() -> None:
    with pytest.raises(UserError, match=rf"^--environment is 'cuda-tf4', accepted: {', '.join(NAMES)}$"):
        plan(settings(environment="cuda-tf4"), facts())


def test_a_machine_without_a_gpu_is_no_environment_with_one() -> None:
    """It would pass without anything that the environment promises."""
    expected = "^--environment cuda-tf5 is of platform cuda, this run is on cpu: say --platform cuda$"

    with pytest.raises(UserError, match=expected):
        plan(settings(environment="cuda-tf5"), facts("cpu"))


def test_what_a_named_environment_promises_must_import_installed_or_not() -> None:
    made = plan(settings(environment="cpu-tf5", cells="*"), facts(packages=packages(torch="2.13.0", bitsandbytes="0.49.0")))

    assert ["torch", "transformers", "accelerate", "bitsandbytes"] == imports(made)


def test_where_no_environment_is_named_what_is_installed_must_import() -> None:
    made = plan(settings(cells="*"), facts(packages=packages(torch="2.13.0", bitsandbytes="0.49.0", accelerate="")))

    assert ["torch", "bitsandbytes"] == imports(made)


def test_a_gpu_that_cannot_be_used_ends_the_run() -> None:
    with pytest.raises(UserError, match=r"^the driver is gone$"):
        plan(settings(), facts("cuda", problem="the driver is gone"))


def test_facts_of_another_platform_end_the_run() -> None:
    with pytest.raises(UserError, match=r"^--platform is cuda, --facts are of platform cpu: write them with `python -m"):
        plan(settings(platform="cuda"), facts("cpu"))


def test_a_selection_of_nothing_ends_the_run() -> None:
    with pytest.raises(UserError, match=r"^--cells 'nothing': 'nothing' matches no cell of cpu: run `python -m matrix list`"):
        plan(settings(cells="nothing"), facts())


def test_a_cell_that_cannot_run_here_is_planned_once_with_its_reason() -> None:
    made = plan(settings(cells="sdpa-flash and llama-tiny and bf16"), facts("cuda", devices=("7.5",)))
    planned = [check.id for check in made.checks if check.kind != "imports"]

    (why,) = made.unavailable.values()

    assert ["sdpa-flash/llama-tiny/bf16/cuda::builds"] == planned
    assert "needs compute capability >= 8.0, this device has 7.5" == why.sentence


def test_checks_are_planned_in_order() -> None:
    made = plan(settings(), facts())

    assert list(made.order.values()) == list(range(len(made.checks)))


def test_a_cell_that_needs_another_package_as_well_is_not_owed_what_nobody_promised() -> None:
    """accelerate is there and promised, flash-attn is neither."""
    machine = facts(
        "cuda", devices=("9.0", "9.0"), packages=packages(torch="2.13.0", transformers="5.23.0", accelerate="1.15.0")
    )
    made = plan(settings(cells="max-memory-gpus-flash-attention-2"), machine)

    assert {"flash-attn is not installed in this environment"} == {why.sentence for why in made.unavailable.values()}
