"""Which requirement, and which of its releases, brings a regression back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from matrix import bisect
from matrix.bisect import Search, alone, cells_of, differences, findings, first_bad
from matrix.environment import Environment
from matrix.errors import UserError
from matrix.requirement import Requirement
from matrix.resolution import Resolved, Source
from matrix.stack import Stack

ENVIRONMENT = Environment(name="cpu-tf5", summary="", platform="cpu", packages=("torch==2.13.0", "transformers==5.23.0"),
                          promises=("torch",))  # fmt: skip


def resolved(requirement: str) -> Resolved:
    name, version = requirement.split("==")
    return Resolved(text=requirement, project=name, version=version, line=requirement)


def stack(*requirements: str) -> Stack:
    return Stack(environment=ENVIRONMENT, changed=tuple(map(resolved, requirements)))


class Runner:
    """Records nothing; a stack is bad where one of its releases is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ran: list[str] = []

    def build(self, name: str, stack: Stack) -> None:
        pass

    def run(self, name: str, stack: Stack, extra: Sequence[str] = ()) -> Path:
        self.ran.append(name)
        return self.folder / name


def search(folder: Path, *bad: str) -> Search:
    def compared(before: Path, after: Path, where: Path) -> dict[str, str]:
        return {"a::correct": "worse"} if any(name in after.name for name in bad) else {}

    return Search(runner=Runner(folder), before=folder, lost=("a::correct", "b::builds"), compared=compared)


@pytest.fixture(autouse=True)
def index(monkeypatch: pytest.MonkeyPatch) -> None:
    def known(requirement: Requirement, option: str, source: Source) -> Resolved:
        return resolved(requirement.line)

    monkeypatch.setattr(bisect, "resolve", known)
    monkeypatch.setattr(bisect, "releases", lambda name, after, until, source: ["5.1.0", "5.2.0", "5.3.0", until])


@pytest.mark.parametrize("bad", ["1", "3", "5", "8"])
def test_the_first_bad_version_is_found_by_halving(bad: str) -> None:
    tried: list[str] = []

    def is_bad(version: str) -> bool:
        tried.append(version)
        return version >= bad

    assert (bad, {}) == first_bad([str(number) for number in range(1, 9)], is_bad)
    assert len(tried) <= 3


def test_a_version_that_cannot_be_built_is_left_out_and_said() -> None:
    def is_bad(version: str) -> bool:
        if version == "2":
            raise UserError("there is no wheel")
        return version >= "3"

    assert ("3", {"2": "there is no wheel"}) == first_bad(["1", "2", "3", "4"], is_bad)


def test_of_several_requirements_the_one_that_does_it_alone_is_named(tmp_path: Path) -> None:
    lines = list(findings(search(tmp_path, "torch2.14.0"), stack("transformers==5.0.0"), stack("torch==2.14.0"), ["2.14.0"]))

    assert [
        "bisect: torch 2.13.0 -> 2.14.0 alone brings 1 of 2 back",
        "bisect: transformers 5.0.0 -> 5.23.0 alone brings 0 of 2 back",
        "bisect: torch 2.14.0 is the first release that does it, 2.13.0 the last that does not",
    ] == lines


def test_requirements_that_do_it_together_are_said_to(tmp_path: Path) -> None:
    lines = list(findings(search(tmp_path), stack(), stack("torch==2.14.0", "transformers==5.20.0"), []))

    assert "bisect: no requirement does it alone, they do it together" == lines[-1]


def test_the_release_that_first_did_it_is_named_with_the_one_before(tmp_path: Path) -> None:
    sought = search(tmp_path, "transformers5.2.0", "transformers5.3.0", "transformers5.4.0")
    lines = list(findings(sought, stack("transformers==5.0.0"), stack("transformers==5.4.0"), []))

    assert ["bisect: transformers 5.2.0 is the first release that does it, 5.1.0 the last that does not"] == lines


def test_one_requirement_alone_leaves_the_others_as_they_were() -> None:
    before, after = stack("transformers==5.0.0"), stack("transformers==5.1.0", "torch==2.14.0")

    assert ["transformers", "torch"] == differences(before, after)
    assert "cpu-tf5-transformers5.0.0-torch2.14.0" == alone("torch", before, after).name


def test_steps_run_the_cells_of_what_was_lost() -> None:
    lost = ["a/b/c/cpu::x", "a/b/c/cpu::y", "environment/torch/any/cpu::imports", "d/e/f/cpu::x"]

    assert "a/b/c/cpu or d/e/f/cpu" == cells_of(lost)
