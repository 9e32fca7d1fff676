"""``python -m matrix list`` prints every cell, and for each that cannot run here the measured reason."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fixtures.options import ROOT
from matrix.__main__ import main
from matrix.availability import Facts, reason
from matrix.cell import Cell
from matrix.expand import cells, checks
from matrix.load import load_matrix
from suites.selftest.samples import facts


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A file of facts, of a machine with one Hopper GPU."""
    return written(tmp_path, facts("cuda"))


def written(folder: Path, machine: Facts) -> Path:
    (folder / "facts.json").write_text(machine.to_json())
    return folder / "facts.json"


def able_on(cell: Cell) -> bool:
    return reason(cell, facts("cuda")) is None


def listed(capsys: pytest.CaptureFixture[str], machine: Path, *arguments: str) -> list[str]:
    assert 0 == main(["list", f"--facts={machine}", *arguments])
    return capsys.readouterr().out.splitlines()


def test_every_cell_is_listed_once_in_the_order_that_it_runs(capsys: pytest.CaptureFixture[str], machine: Path) -> None:
    expected = [cell.id for cell in cells(load_matrix(), "cuda", "full")]

    assert expected == [line.split()[0] for line in listed(capsys, machine)[:-1]]


def test_the_last_line_counts_cells_and_checks(capsys: pytest.CaptureFixture[str], machine: Path) -> None:
    matrix = load_matrix()
    there, able = list(cells(matrix, "cuda", "quick")), {cell.id for cell in cells(matrix, "cuda", "quick") if able_on(cell)}
    planned = sum(check.cell.id in able for check in checks(matrix, "cuda", "quick"))

    assert (
        f"{len(there)} cells on cuda, {len(able)} can run here with {planned} checks (tier quick)"
        == listed(capsys, machine, "--tier", "quick")[-1]
    )


@pytest.mark.parametrize(
    ("machine_facts", "cell", "expected"),
    [
        (facts("cuda", devices=("7.5",)), "sdpa-flash/llama-tiny/bf16/cuda",
         "cannot run: needs compute capability >= 8.0, this device has 7.5"),
        (facts("cuda", devices=(), problem="platform cuda: the driver is gone"), "eager/llama-tiny/fp32/cuda",
         "cannot run: platform cuda: the driver is gone"),
        (facts("cpu"), "sdpa/gemma2-tiny/fp32/cpu", "must be refused when it is built"),
        (facts("cpu"), "default/llama-tiny/bf16/cpu", "5 checks"),
        (facts("cuda"), "sdpa-flash/llama-tiny/fp32/cuda", "12 checks, 11 of them refusals"),
    ],
)  # fmt: skip
def test_a_cell_says_what_it_holds_or_why_it_cannot_run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, machine_facts: Facts, cell: str, expected: str
) -> None:
    first = listed(capsys, written(tmp_path, machine_facts), "--cells", cell)[0]

    assert [cell, expected] == first.split(maxsplit=1)


def test_a_machine_that_can_run_nothing_says_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    last = listed(capsys, written(tmp_path, facts("cuda", devices=(), problem="the driver is gone")))[-1]

    assert ", 0 can run here with 0 checks (tier full)" in last


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ("--cells", "sdpa and"),
            "error: --cells 'sdpa and': a glob is expected at the end; accepted: globs joined by and, or, not",
        ),
        (("--cells", "nothing"), "error: --cells 'nothing': 'nothing' matches no cell of cuda: run `python -m matrix list`"),
        (("--facts", "gone.json"), "error: --facts gone.json: cannot be read"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], machine: Path, arguments: tuple[str, ...], expected: str
) -> None:
    actual = main(["list", f"--facts={machine}", *arguments])
    out, err = capsys.readouterr()

    assert (2, "") == (actual, out)
    assert err.startswith(expected)
    assert 1 == len(err.splitlines())


def test_the_command_of_the_readme_lists_this_machine() -> None:
    """In a process of its own, with the real probe."""
    command = [sys.executable, "-m", "matrix", "list", "--platform", "cpu", "--cells", "eager/llama-tiny/fp32/*"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=100, check=False)

    assert (0, "", 2) == (done.returncode, done.stderr, len(done.stdout.splitlines()))
    assert done.stdout.startswith("eager/llama-tiny/fp32/cpu ")
