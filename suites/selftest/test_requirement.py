"""What the command line may name as a release, and what is said where it is none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from matrix.errors import UserError
from matrix.requirement import parse, project


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("transformers==5.23.0", ("transformers", "5.23.0")),
        ("torch==2.13.0+cpu", ("torch", "2.13.0+cpu")),
        ("optimum[onnxruntime]==2.1.0", ("optimum", "2.1.0")),
        ("transformers==5.24.0.dev0", ("transformers", "5.24.0.dev0")),
        ("Transformers>=5.20,<6", ("transformers", "")),
        ("torch", ("torch", "")),
        ("transformers @ https://example.org/transformers-5.24.0-py3-none-any.whl", ("transformers", "")),
        ("git+https://github.com/huggingface/transformers@main", ("", "")),
    ],
)
def test_a_requirement_names_its_project_and_the_release_that_it_pins(text: str, expected: tuple[str, str]) -> None:
    requirement = parse(text, "--candidate")

    assert expected == (requirement.project, requirement.version)
    assert text == requirement.line


def test_a_wheel_and_a_checkout_are_named_by_their_path(tmp_path: Path) -> None:
    wheel = tmp_path / "flash_attn-2.8.3-cp311-cp311-linux_x86_64.whl"
    wheel.touch()
    (tmp_path / "pyproject.toml").touch()

    assert (wheel.as_uri(), "flash-attn") == (parse(str(wheel), "").line, parse(str(wheel), "").project)
    assert tmp_path.as_uri() == parse(str(tmp_path), "").line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("transformers=5.23.0", "--candidate 'transformers=5.23.0' is no requirement, accepted: 'transformers==5.23.0',"),
        ("", "--candidate '' is no requirement"),
        ("./gone.whl", "--candidate './gone.whl': there is no such file or folder"),
        ("suites/selftest", "--candidate 'suites/selftest': the folder holds no Python project"),
    ],
)
def test_what_is_no_requirement_is_one_line(text: str, expected: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(expected)}") as raised:
        parse(text, "--candidate")

    assert 1 == len(str(raised.value).splitlines())


def test_projects_are_compared_as_the_index_writes_them() -> None:
    assert "huggingface-hub" == project("HuggingFace_Hub>=1.0")
