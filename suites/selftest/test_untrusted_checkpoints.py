"""No code of a checkpoint runs: weights are safetensors, and its own modules are imported only where that is asked for."""

from __future__ import annotations

import ast
import json
import pickle
import shutil
from pathlib import Path

import pytest

from fixtures.checkpoints import materialize
from fixtures.options import ROOT
from fixtures.transformers_api import safe_arguments
from matrix.load import load_models
from suites.selftest.nested import Nested, validate
from suites.selftest.samples import model


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A checkpoint of somebody else's, in a folder of its own."""
    folder = tmp_path / "theirs"
    shutil.copytree(materialize(load_models()["gpt2-tiny"], tmp_path / "cache"), folder)
    return folder


class Trap:
    """What a pickle does when it is read."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.marker,))


def validated(folder: Path, checkpoint: Path, *arguments: str) -> Nested:
    return validate(folder, f"--checkpoint={checkpoint}", "--cells=eager and fp32", *arguments)


def with_own_code(checkpoint: Path, marker: Path) -> None:
    """A module of the checkpoint's own in place of the library's model."""
    code = f"from pathlib import Path\nPath({str(marker)!r}).touch()\nfrom transformers import GPT2LMHeadModel as Own\n"
    (checkpoint / "modeling_own.py").write_text(code)
    config = json.loads((checkpoint / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "modeling_own.Own"}
    (checkpoint / "config.json").write_text(json.dumps(config))


def test_a_pickle_is_never_read(tmp_path: Path, checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").unlink()
    (checkpoint / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(tmp_path / "marker")))
    ended = validated(tmp_path, checkpoint)

    assert ended.run is not None
    assert (1, False) == (ended.exit_code, (tmp_path / "marker").exists())
    assert "safetensors" in ended.run.records["eager/theirs/fp32/cpu::builds"].message


@pytest.mark.parametrize(("arguments", "expected"), [((), False), (("--trust-remote-code",), True)])
def test_code_of_a_checkpoint_runs_only_where_the_command_line_trusts_it(
    tmp_path: Path, checkpoint: Path, arguments: tuple[str, ...], expected: bool
) -> None:
    with_own_code(checkpoint, tmp_path / "marker")
    validated(tmp_path, checkpoint, *arguments)

    assert expected == (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, False),
        ({"checkpoint": "x"}, False),
        ({"checkpoint": "x", "trust_remote_code": True}, True),
        ({"checkpoint": "x", "trust_remote_code": "yes"}, False),
        ({"trust_remote_code": True}, False),
    ],
)
def test_only_the_command_line_can_trust_code(config: dict[str, object], expected: bool) -> None:
    """Not a line of models.toml, nor what a checkpoint says of itself."""
    assert {"use_safetensors": True, "trust_remote_code": expected} == safe_arguments(model(config=config))


def test_nothing_loads_a_pickle_or_trusts_code_by_itself() -> None:
    sources = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "fixtures").rglob("*.py"))]
    calls = [node for source in sources for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    words = [(word.arg, ast.unparse(word.value)) for call in calls for word in call.keywords]

    assert set() == {ast.unparse(call.func) for call in calls} & {"torch.load", "pickle.load", "pickle.loads"}
    assert ("trust_remote_code", "True") not in words
