"""The oracle is right: on every architecture it agrees with eager attention, whole and with each feature taken out."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures import accuracy, execution, inputs, oracle
from fixtures.accuracy import Logits
from fixtures.cells import Cells
from fixtures.checkpoints import materialize
from matrix.cell import Model
from matrix.errors import UserError
from matrix.load import load_models

# Others are never judged by their logits, or were not generated for it.
JUDGED = ({"*"}, {"eager"})
MODELS = {
    name: model
    for name, model in load_models().items()
    if model.task != "call" and model.purpose != "latency" and any(judged <= set(model.configurations) for judged in JUDGED)
}
CAUSAL = [name for name, model in MODELS.items() if model.task == "causal-lm"]
STEPS = 40  # from a prompt of 16 tokens, past the windows of 32
PROMPT = 16

# What transformers is told so that it computes what the oracle computes without a feature.
SETTINGS = {
    ("llama-tiny", "rotary-base"): {"rope_theta": 10_000.0},
    ("mistral-tiny", "rotary-base"): {"rope_theta": 10_000.0},
    ("falcon-tiny", "rotary-base"): {"rope_theta": 10_000.0},
    ("mixtral-tiny", "rotary-base"): {"rope_theta": 10_000.0},
    ("gemma2-tiny", "rotary-base"): {"rope_theta": 10_000.0},
    ("mistral-tiny", "sliding-window"): {"sliding_window": 512},
    ("mistral-tiny", "window-plus-one"): {"sliding_window": 33},
    ("mistral-tiny", "window-minus-one"): {"sliding_window": 31},
    ("gemma2-tiny", "sliding-window"): {"sliding_window": 512},
    ("gemma2-tiny", "window-plus-one"): {"sliding_window": 33},
    ("gemma2-tiny", "window-minus-one"): {"sliding_window": 31},
    ("gemma2-tiny", "attention-softcap"): {"attn_logit_softcapping": None},
    ("gemma2-tiny", "final-softcap"): {"final_logit_softcapping": None},
    ("gemma2-tiny", "attention-scale"): {"query_pre_attn_scalar": 64},
    ("gemma2-tiny", "attention-scale-twice"): {"query_pre_attn_scalar": 100},
    ("gpt2-scaled-tiny", "attention-scale"): {"scale_attn_by_inverse_layer_idx": False},
}


@pytest.fixture(scope="module")
def checkpoint_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checkpoints")


def eager(model: Model, cache: Path, tokens: inputs.Tokens) -> Logits:
    return execution.whole(Cells(cache).baseline(model, "fp32", "cpu", "cpu"), tokens)


def edited(folder: Path, copy: Path, settings: dict[str, Any]) -> Path:
    """A copy of a checkpoint with other settings."""
    shutil.copytree(folder, copy)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | settings))
    return copy


@pytest.mark.parametrize("length", [1, 7, 33, 160])
@pytest.mark.parametrize("name", MODELS)
def test_it_agrees_with_eager_fp32(name: str, length: int, checkpoint_cache: Path) -> None:
    """The logits of every architecture are those of transformers, but for rounding."""
    model = MODELS[name]
    tokens = inputs.row(model, 0, length)
    expected = np.atleast_2d(oracle.load(materialize(model, checkpoint_cache)).logits(tokens))
    actual = accuracy.error(eager(model, checkpoint_cache, tokens), expected)

    assert actual.worst <= accuracy.ORACLE_LIMIT


@pytest.mark.parametrize("name", CAUSAL)
def test_its_greedy_generation_is_that_of_transformers(name: str, checkpoint_cache: Path) -> None:
    """Recomputing everything for each token gives what transformers generates with a cache, past the sliding window."""
    import torch

    model = MODELS[name]
    prompt = inputs.row(model, 0, PROMPT)
    expected = oracle.load(materialize(model, checkpoint_cache)).greedy(prompt, STEPS)
    built = Cells(checkpoint_cache).baseline(model, "fp32", "cpu", "cpu")
    ids = torch.from_numpy(prompt)[None]
    mask = torch.ones_like(ids)
    generated = built.model.generate(input_ids=ids, attention_mask=mask, do_sample=False, max_new_tokens=STEPS)
    actual = generated[0, PROMPT:].tolist()

    assert expected.tolist() == actual


@pytest.mark.parametrize(("name", "distortion"), SETTINGS)
def test_without_a_feature_it_computes_what_transformers_computes_without_it(
    name: str, distortion: str, checkpoint_cache: Path, tmp_path: Path
) -> None:
    """What the sensitivity of the models is proven with is the fault that it is named after."""
    model = MODELS[name]
    folder = materialize(model, checkpoint_cache)
    tokens = inputs.row(model, 0, 96)
    other = edited(folder, tmp_path / "edited", SETTINGS[name, distortion])
    given = dataclasses.replace(model, config=dict(model.config) | {"checkpoint": str(other)})
    expected = oracle.load(folder).logits(tokens, without=frozenset([distortion]))
    actual = accuracy.error(eager(given, checkpoint_cache, tokens), expected)

    assert actual.worst <= accuracy.ORACLE_LIMIT


@pytest.mark.parametrize("name", MODELS)
def test_padding_changes_nothing_while_it_is_masked(name: str, checkpoint_cache: Path) -> None:
    """Only the padding mask keeps padding from the logits."""
    judged = oracle.load(materialize(MODELS[name], checkpoint_cache))
    tokens = inputs.row(MODELS[name], 0, 40)
    expected = judged.logits(tokens)
    actual = judged.logits(tokens, padding=9)

    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-9)


def test_it_reads_sharded_and_bfloat16_checkpoints(checkpoint_cache: Path, tmp_path: Path) -> None:
    """Real checkpoints come in shards and in bfloat16; the generated weights are the same in it."""
    import torch
    from safetensors.torch import load_file, save_file

    folder = materialize(MODELS["llama-tiny"], checkpoint_cache)
    weights = {name: tensor.to(torch.bfloat16) for name, tensor in load_file(folder / "model.safetensors").items()}
    halves = {"first.safetensors": sorted(weights)[::2], "second.safetensors": sorted(weights)[1::2]}
    for shard, names in halves.items():
        save_file({name: weights[name] for name in names}, tmp_path / shard)
    index = {"weight_map": {name: shard for shard, names in halves.items() for name in names}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    shutil.copy(folder / "config.json", tmp_path)
    tokens = inputs.row(MODELS["llama-tiny"], 0, 9)
    expected = oracle.load(folder).logits(tokens)
    actual = oracle.load(tmp_path).logits(tokens)

    np.testing.assert_array_equal(actual, expected)


def test_it_reads_the_rotary_base_as_transformers_5_writes_it(checkpoint_cache: Path, tmp_path: Path) -> None:
    """transformers 5 saves ``rope_parameters`` instead of ``rope_theta``."""
    folder = materialize(MODELS["llama-tiny"], checkpoint_cache)
    tokens = inputs.row(MODELS["llama-tiny"], 0, 64)
    expected = oracle.load(folder).logits(tokens)
    settings = {"rope_theta": None, "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}}
    actual = oracle.load(edited(folder, tmp_path / "edited", settings)).logits(tokens)

    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("llama-tiny", {"model_type": "mamba"}, "model_type is 'mamba', the oracle models llama, gpt2, mistral"),
        ("llama-tiny", {"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "rotary embedding is 'llama3'"),
        ("llama-tiny", {"hidden_act": "relu2"}, "hidden_act is 'relu2', the oracle knows silu"),
        ("falcon-tiny", {"alibi": True}, "alibi is True, the oracle models False only"),
    ],
)
def test_it_refuses_what_it_does_not_model(
    name: str, settings: dict[str, Any], said: str, checkpoint_cache: Path, tmp_path: Path
) -> None:
    """An oracle that ignored a setting would accuse the library of its own mistake."""
    folder = edited(materialize(MODELS[name], checkpoint_cache), tmp_path / "edited", settings)

    with pytest.raises(UserError, match=said):
        oracle.load(folder)


def test_it_refuses_a_feature_that_the_model_does_not_have(checkpoint_cache: Path) -> None:
    """Taking out what is not there would change nothing and prove nothing."""
    judged = oracle.load(materialize(MODELS["llama-tiny"], checkpoint_cache))

    with pytest.raises(UserError, match="without='sliding-window' is no feature of this model, accepted: attention-"):
        judged.logits(np.arange(4), without=frozenset(["sliding-window"]))


def test_it_imports_nothing_that_is_under_test() -> None:
    """The oracle would share the defects of a library it is made of."""
    code = "import sys, fixtures.oracle; print(sorted({'torch', 'transformers', 'scipy'} & set(sys.modules)))"
    actual = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()

    assert actual == "[]"
