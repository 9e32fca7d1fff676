"""The script for a library's maintainers really fails where the check failed, and holds where it held."""

from __future__ import annotations

import ast
import contextlib
import importlib.metadata
import io
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures import execution, reproduction
from fixtures.cells import BASELINE, Cells
from matrix.cell import Cell, Check
from matrix.errors import UserError
from matrix.expand import checks
from matrix.load import load_matrix
from reports.__main__ import main
from reports.record import Outcome, Record
from reports.reproducer import Case, case, issue, script
from reports.reproducer.case import KINDS
from reports.reproducer.sources import bundle
from reports.run import Run
from suites.selftest.examples import run, written

FAILED, PASSED, EXPECTED = Outcome.FAILED, Outcome.PASSED, Outcome.EXPECTED_FAILURE
NEEDED = {"numpy", "safetensors", "torch", "transformers"}
VERSIONS = {name: {"version": importlib.metadata.version(name)} for name in ("torch", "transformers", "numpy")}


@cache
def known(platform: str) -> dict[str, Check]:
    return {check.id: check for check in checks(load_matrix(), platform, "headline")}


def recorded(id: str, outcome: Outcome = FAILED, **changes: Any) -> Record:
    """A record of a check of the matrix."""
    check = known(id.partition("::")[0].rpartition("/")[2])[id]
    names = {"configuration": check.cell.configuration.name, "model": check.cell.model.name, "dtype": check.cell.dtype}
    return Record(
        id=id, **names, platform=check.cell.platform, check=check.kind, subject=check.subject, outcome=outcome,
        definition=check.definition, **changes,
    )  # fmt: skip


def run_of(*records: Record, **changes: Any) -> Run:
    return run(
        *records, platform=records[0].platform, environment={"libraries": VERSIONS, **changes.pop("environment", {})}, **changes
    )


def text_of(id: str, **changes: Any) -> str:
    """The script of a check of the matrix; finding it there takes the command most of its time."""
    record = recorded(id, **changes)
    return script(Case(run=run_of(record), record=record, check=known(record.platform)[id]))


def executed(text: str) -> tuple[object, str]:
    """Exit code and output of a script, in this process, which has imported torch already."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), pytest.raises(SystemExit) as end:
        exec(compile(text, "reproducer.py", "exec"), {"__name__": "__main__"})
    return end.value.code, out.getvalue()


# What holds in released libraries, and known failures of them: the entries of expectations.toml for the CPU.


@pytest.mark.parametrize(
    "id",
    [
        "sdpa/llama-tiny/bf16/cpu::correct[left-padding]",
        "sdpa-math/llama-tiny/fp32/cpu::invariant[greedy:generate]",
        "sdpa/distilbert-tiny/fp32/cpu::invariant[padded:right-padding]",
        "sdpa/llama-tiny/fp32/cpu::dispatch[decode]",
        "eager/gemma2-tiny/fp32/cpu::correct[prefill-short]",
        "sdpa/gemma2-tiny/fp32/cpu::refuses[build]",
    ],
)
def test_a_script_exits_with_0_where_the_check_holds(id: str) -> None:
    code, said = executed(text_of(id, outcome=PASSED))

    assert (0, "PASSED") == (code, said.splitlines()[-1])


@pytest.mark.parametrize(
    ("id", "words"),
    [
        ("sdpa-attentions/falcon-tiny/fp32/cpu::attentions", "rms "),
        ("sdpa-attentions/llama-tiny/fp32/cpu::attentions", "0 layers of attention weights, eager returns 2"),
        ("sdpa-switched/falcon-tiny/fp32/cpu::switches", "asked for 'sdpa', the config says 'eager'"),
        ("sdpa/falcon-tiny/bf16/cpu::dispatch[prefill]", "of other attention: ['aten::_scaled_dot_product_attention_math']"),
        ("eager/llama-tiny/fp16/cpu::correct[left-padding]", "rms nan (at most 3.906e-03)"),
    ],
)
def test_a_script_exits_with_1_where_a_released_library_fails(id: str, words: str) -> None:
    code, said = executed(text_of(id, outcome=EXPECTED))

    assert (1, "FAILED") == (code, said.splitlines()[-1])
    assert words in said


CALL = (
    "Call(batch=1, heads=1, kv_heads=1, queries=2, keys=2, head_dim=64, value_dim=64, dtype='bf16', query_layout='contiguous', "
    "key_layout='contiguous', mask={mask}, is_causal={causal}, scale={scale}, magnitude=1.0, seed=0)"
)
VECTOR = "Mask(dtype='bool', shape='vector', layout='contiguous', pattern='scattered', blind='none', hidden='-inf')"


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        ({"mask": "None", "causal": "True", "scale": "-0.0"}, 1, "actual nan, expected"),
        ({"mask": VECTOR, "causal": "False", "scale": "None"}, 1, "FAILED: IndexError: Dimension out of range"),
        ({"mask": "None", "causal": "False", "scale": "None"}, 0, "PASSED"),
    ],
)
def test_a_direct_call_is_made_again(given: dict[str, str], code: int, words: str) -> None:
    evidence = {"failing_call": CALL.format(**given)}
    ended, said = executed(text_of("sdpa/sdpa-call/bf16/cpu::calls[mask]", evidence=evidence))

    assert code == ended
    assert words in said


@pytest.mark.parametrize(
    "text", ["", "1", "Call(batch=exit())", "Call(*x)", "print()", "Call(batch=[x for x in y])", "Call(a=Call)"]
)
def test_no_text_of_a_record_is_a_call_but_a_call(text: str) -> None:
    id = "sdpa/sdpa-call/bf16/cpu::calls[mask]"

    with pytest.raises(UserError, match="a call of constants is accepted"):
        text_of(id, evidence={"failing_call": text}, command="x")


@pytest.mark.parametrize("subject", ["correct[prefill-short]"])
def test_a_script_sees_a_library_that_breaks(subject: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    attend, text = torch.nn.functional.scaled_dot_product_attention, text_of(f"sdpa/llama-tiny/fp32/cpu::{subject}")

    def broken(query: Any, *rest: Any, **more: Any) -> Any:
        return attend(query, *rest, **more) * (1 + 0.01 * query.shape[2])

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", broken)
    assert 1 == executed(text)[0]


def test_an_error_of_the_library_is_a_failure_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def raising(*given: Any, **more: Any) -> Any:
        raise RuntimeError("no kernel")

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", raising)
    code, said = executed(text_of("sdpa/llama-tiny/fp32/cpu::correct[prefill-short]"))

    assert (1, "FAILED: RuntimeError: no kernel") == (code, said.splitlines()[-1])


def test_the_numbers_are_those_of_the_run() -> None:
    """The yardstick of fp32 is what the run measured against the oracle, which no script has."""
    errors = {"rms_eager": 3e-7, "worst_eager": 5e-7}
    _, said = executed(text_of("sdpa/llama-tiny/fp32/cpu::correct[prefill-short]", outcome=PASSED, errors=errors))

    assert "(at most 1.554e-06), worst token " in said  # 2 * 3e-7 + 2^-20


# Schedules: the suite's own, to the bit.


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Cells:
    return Cells(tmp_path_factory.mktemp("checkpoints"))


WORKLOADS = load_matrix().workloads
AGAIN: dict[str, Callable[[Any, Sequence[Any], Any], list[reproduction.Row]]] = {
    "prefill": lambda model, rows, work: reproduction.prefill(model, rows, work.padding, 256),
    "alone": lambda model, rows, work: reproduction.alone(model, rows),
    "decode": lambda model, rows, work: reproduction.decode(
        model, rows, work.padding, 256, work.steps,
        reproduction.static_cache(model, len(rows), max(work.lengths) + work.steps + 16) if work.cache == "static" else None,
    ),
    "chunked": lambda model, rows, work: reproduction.chunked(model, rows[0], work.chunks),
    "generate": lambda model, rows, work: reproduction.generate(model, rows, work.padding, 256, work.steps),
}  # fmt: skip


@pytest.mark.parametrize(
    "name", ["left-padding", "block-edges", "decode-left-padding", "static-cache", "chunked-prefill", "generate"]
)
def test_a_schedule_is_the_suites_own(cells: Cells, name: str) -> None:
    import torch

    work, model = WORKLOADS[name], load_matrix().models["llama-tiny"]
    built = cells.get(Cell(configuration=BASELINE, model=model, dtype="fp32", platform="cpu"), "cpu")
    steps = 0 if work.schedule == "generate" else work.steps
    rows = [reproduction.tokens_of(model.config, row, length + steps) for row, length in enumerate(work.lengths)]
    with torch.inference_mode():
        again = AGAIN[work.schedule](built.model, rows, work)

    for expected, (tokens, positions, logits) in zip(execution.run(built, work), again, strict=True):
        assert np.array_equal(expected.tokens, tokens)
        assert np.array_equal(expected.positions, positions)
        assert np.array_equal(expected.logits, logits)


# The text.


@cache
def one_of_each() -> tuple[str, ...]:
    """A check of each kind with each schedule, of each platform, builder of weights and suite."""
    found: dict[object, str] = {}
    for platform in ("cpu", "cuda", "rocm"):
        for check in known(platform).values():
            if check.cell.configuration.builder == "attention" and check.kind in KINDS:
                schedule = check.workload.schedule if check.workload else check.subject
                found.setdefault((check.kind, schedule, check.cell.model.task), check.id)
                found.setdefault(check.cell.model.architecture, check.id)
    return tuple(dict.fromkeys(found.values()))


@pytest.mark.parametrize("id", one_of_each())
def test_a_script_stands_alone(id: str) -> None:
    tree = ast.parse(text := text_of(id))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}

    assert set() == {name.partition(".")[0] for name in names} - NEEDED - sys.stdlib_module_names
    assert [] == re.findall(r"\$[A-Za-z_]\w*", text)


def test_a_script_for_a_gpu_says_that_it_needs_one() -> None:
    code, said = executed(text_of("sdpa-flash/llama-tiny/bf16/cuda::correct[prefill-long]"))

    assert (2, "not tried: this needs a GPU\n") == (code, said)


def test_no_text_of_a_record_is_code_of_the_script() -> None:
    hostile = 'x\nimport os\n"""\x00\r\nos.abort()\u2028os.abort()'
    text = text_of("sdpa/llama-tiny/fp32/cpu::correct[prefill-short]", message=hostile)

    assert "abort" not in ast.unparse(ast.parse(text))


def test_a_script_says_that_the_check_has_changed_since() -> None:
    id = "sdpa/llama-tiny/fp32/cpu::correct[prefill-short]"
    text = script(case(run_of(replace(recorded(id), definition="old")), id))

    assert "# Mind: what is checked has changed since that run was recorded.\n" in text


def test_the_issue_tells_versions_and_holds_the_script() -> None:
    id = "sdpa/llama-tiny/fp32/cpu::correct[prefill-short]"
    found = case(run_of(recorded(id, message="off by ```` much")), id)
    page = issue(found)

    assert f"`````python\n{script(found)}`````\n" in page
    assert f"| <code>numpy</code> | {importlib.metadata.version('numpy')} |" in page
    assert len(page) < 65_536


def test_a_cell_stands_for_its_worst_check() -> None:
    bad = recorded("sdpa/llama-tiny/fp32/cpu::invariant[padded:left-padding]")
    good = recorded("sdpa/llama-tiny/fp32/cpu::correct[left-padding]", outcome=PASSED)

    assert bad == case(run_of(good, bad), "sdpa/llama-tiny/fp32/cpu").record


@pytest.mark.parametrize(
    ("id", "changes", "words"),
    [
        ("sdpa/sdpa-call/fp32/cpu::calls[mask]", {}, "has recorded no call that fails"),
        ("flash-attention-2/llama-tiny/bf16/cuda::padding-cost", {}, "is a check of kind 'padding-cost'"),
        ("bnb-nf4/llama-tiny/bf16/cpu::builds", {}, "needs bitsandbytes"),
        ("sdpa/llama-tiny/fp16/cpu::correct[left-padding]", {"outcome": Outcome.REFERENCE_BROKEN}, "was not judged"),
    ],
)
def test_what_no_script_can_show_is_said_with_the_command_that_does(id: str, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words) as said:
        case(run_of(recorded(id, command="pytest -k x", **changes)), id)

    assert str(said.value).endswith("reproduce it with: pytest -k x")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"injected": ("mask-dropped",)}, "no library is to blame"),
        ({"environment": {"settings": {"checkpoint": "gpt2"}}}, "ran on the checkpoint 'gpt2'"),
    ],
)
def test_a_run_that_says_nothing_of_a_library_makes_no_script(changes: dict[str, Any], words: str) -> None:
    record = recorded("sdpa/llama-tiny/fp32/cpu::correct[batch]")

    with pytest.raises(UserError, match=words):
        case(run_of(record, **changes), record.id)


def test_an_unknown_cell_is_one_line_and_exits_with_2(tmp_path: Path) -> None:
    record, err = recorded("sdpa/llama-tiny/fp32/cpu::correct[batch]"), io.StringIO()
    folder = written(tmp_path / "r", record, platform="cpu")

    assert 2 == main(["issue", str(folder), "nothing"], io.StringIO(), err)
    assert err.getvalue().startswith(f"error: {folder}: 'nothing' is neither a cell nor a check that it executed")


def test_the_command_prints_the_script_and_writes_the_issue(tmp_path: Path) -> None:
    record, out = recorded("sdpa/llama-tiny/fp32/cpu::correct[batch]"), io.StringIO()
    folder = written(tmp_path / "r", record, platform="cpu")
    page = tmp_path / "issue.md"

    assert 0 == main(["issue", str(folder), record.cell, "--markdown", str(page)], out, io.StringIO())
    assert out.getvalue() in page.read_text()


def test_a_name_that_a_function_uses_for_its_own_is_told_apart() -> None:
    found = bundle({"x": [("fixtures.checkpoints.falcon", "tensors")]})
    names = set(found.names.values())

    assert {"residual_embedding", "heads_distances"} <= names
    assert len(names) == len(found.names)


@pytest.mark.slow
def test_a_script_runs_where_this_suite_is_not(tmp_path: Path) -> None:
    """-I leaves out the folder and the environment that it is started from."""
    (tmp_path / "it.py").write_text(text_of("sdpa-attentions/falcon-tiny/fp32/cpu::attentions"))
    done = subprocess.run([sys.executable, "-I", "it.py"], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (1, "FAILED") == (done.returncode, done.stdout.splitlines()[-1])
