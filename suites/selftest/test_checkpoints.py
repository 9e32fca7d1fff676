"""Generated checkpoints are the same bits everywhere, safe to share, and what transformers takes for the real thing."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures import inputs, oracle, transformers_api
from fixtures.checkpoints import checkpoint_key, materialize, weights
from matrix.cell import Model
from matrix.errors import UserError
from matrix.load import load_models

MODELS = {
    name: model
    for name, model in load_models().items()
    if model.task != "call" and not model.package and model.tier != "headline"
}
# Those that only some configurations are asked of are never judged by what they say.
CAUSAL = [name for name, model in MODELS.items() if model.task == "causal-lm" and model.configurations == ("*",)]
LLAMA = MODELS["llama-tiny"]

# sha256 over names, shapes and bytes. A change here is a change of every recorded number: raise GENERATOR with it.
CONTENT = {
    "llama-tiny": "1106cc32d40634816b17eed48d1b019463d45a11e95b10452c2f03b6972b2849",
    "gpt2-tiny": "db9c152c9a10491d6698989315de9e25919103b22f6cf39b065c37c60f227d7d",
    "gpt2-scaled-tiny": "a667dc586c7a77a9468d5f9c49e7c570064a7d16ae915e1272239d2c0d3fa887",
    "mistral-tiny": "e25af19eb41a98ac019e6125f38a48480123e4db7cd45fa4b1e1396b7607e75d",
    "gemma2-tiny": "876dcfa4e0ef4a23237ba65a0d5bb30932728185f8f824c060d97ed2e4bb3739",
    "falcon-tiny": "58074625da342b2b6c1a7c927244f782e21489e2c33c33f57e6ca82d593b4aaa",
    "mixtral-tiny": "219bfd773b2cbc10ed9be880251453a912a86a5dd9a9d0b53f0be4cfa5e5d7a9",
    "distilbert-tiny": "411878667f2f80f75f242dc76cbb796c12d17aaee20fc2efdeea45dc5b876ac6",
    "llama-trained": "bdc343336246163ef3bedbf19e03228da176cdda5c19f28c7f71c661419bbe7a",
    "llama-wide-heads": "0f68510c15cb500170117b088ee13343434a5cbe7cb7f144b46e98879d4535da",
    "llama-deep-tiny": "31a627d3e66ea91d13e834a2658b8bf3c92239d36e0bf1eed0d2ddc7de6fe1c9",
    "mixtral-deep-tiny": "bca9c32f44ad74db42866af21a9c4831506708f4aa35dfcc7b9f62934d45de2a",
    "bloom-tiny": "9420975eafe02bed63e2461bd7656594f663d1f2ea3908e885f05ceccdbbaedf",
    "bert-tiny": "3f9ea1b984c0785c774d84793b0603de5e67c70fdb9e590ef396fe3962a7a889",
}


@pytest.fixture(scope="module")
def checkpoint_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checkpoints")


def content(tensors: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].shape}".encode())
        digest.update(np.ascontiguousarray(tensors[name], dtype="<f4").tobytes())
    return digest.hexdigest()


def folder_of(model: Model, cache: Path, barrier: Any, answers: Any) -> None:
    barrier.wait()
    answers.put(str(materialize(model, cache)))


def loaded(model: Model, folder: Path) -> tuple[Any, dict[str, Any]]:
    answer: tuple[Any, dict[str, Any]] = transformers_api.auto_class(model.task).from_pretrained(
        folder, output_loading_info=True, attn_implementation="eager"
    )
    return answer


@pytest.mark.parametrize("name", MODELS)
def test_the_weights_are_the_same_bits_everywhere(name: str) -> None:
    """Runs of different environments are compared, so nothing of NumPy's release or of the processor may show."""
    expected = CONTENT[name]
    actual = content(weights(MODELS[name]))

    assert expected == actual


@pytest.mark.parametrize("name", MODELS)
def test_the_file_holds_the_drawn_weights(name: str, checkpoint_cache: Path) -> None:
    """What is on disk is what was drawn."""
    from safetensors.numpy import load_file

    expected = content(weights(MODELS[name]))
    actual = content(load_file(materialize(MODELS[name], checkpoint_cache) / "model.safetensors"))

    assert expected == actual


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
@pytest.mark.parametrize("name", MODELS)
def test_every_dtype_loads_the_same_weights(name: str, dtype: str) -> None:
    """Otherwise rounding of the weights would count as the error of a dtype."""
    import torch

    drawn = [torch.from_numpy(tensor) for tensor in weights(MODELS[name]).values()]
    rounded = [tensor.to(transformers_api.torch_dtype(dtype)).float() for tensor in drawn]

    assert all(torch.equal(a, b) for a, b in zip(drawn, rounded, strict=True))


@pytest.mark.parametrize("name", MODELS)
def test_transformers_finds_every_tensor_by_its_name(name: str, checkpoint_cache: Path) -> None:
    """The names on disk are those of the architecture's published checkpoints."""
    _, actual = loaded(MODELS[name], materialize(MODELS[name], checkpoint_cache))

    assert not any(actual.values()), actual


@pytest.mark.parametrize("name", MODELS)
def test_transformers_reads_the_configuration_as_it_is_meant(name: str, checkpoint_cache: Path) -> None:
    """A key that a release reads differently, such as the rotary base, would change the model in silence."""
    config = loaded(MODELS[name], materialize(MODELS[name], checkpoint_cache))[0].config
    expected = {key: value for key, value in MODELS[name].config.items() if key not in ("dtype", "id2label")}
    rotary = getattr(config, "rope_parameters", None) or {}  # since 5.0
    actual = {key: rotary[key] if key in rotary else getattr(config, key) for key in expected}

    assert expected == actual


@pytest.mark.parametrize("name", MODELS)
def test_the_tokenizer_loads_offline_and_agrees_with_the_configuration(name: str, checkpoint_cache: Path) -> None:
    """Text becomes bytes and comes back, and the padding token is the model's."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(materialize(MODELS[name], checkpoint_cache))
    text = "naïve café,\n 12 \t€"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    expected = (text, len(text.encode()), MODELS[name].config["pad_token_id"], MODELS[name].config["vocab_size"])
    actual = (tokenizer.decode(ids), len(ids), tokenizer.pad_token_id, len(tokenizer))

    assert expected == actual


@pytest.mark.parametrize("name", CAUSAL)
def test_generation_is_varied_and_never_ends_by_itself(name: str, checkpoint_cache: Path) -> None:
    """A model that repeats one token, or stops early, would not notice a cache that has gone wrong."""
    config = MODELS[name].config
    judged = oracle.load(materialize(MODELS[name], checkpoint_cache))
    chosen = {int(token) for row in range(3) for token in judged.greedy(inputs.row(MODELS[name], row, 16), 32)}
    special = {config[key] for key in ("pad_token_id", "bos_token_id", "eos_token_id")}

    assert len(chosen) >= 32
    assert not chosen & special


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_rounding_never_changes_the_choice_of_experts(dtype: str, checkpoint_cache: Path) -> None:
    """A flipped expert is an error of its own size, which no tolerance for rounding could tell from a defect."""
    import torch

    model = MODELS["mixtral-tiny"]
    built, _ = loaded(model, materialize(model, checkpoint_cache))
    tokens = torch.from_numpy(inputs.row(model, 0, 160))[None]
    with torch.inference_mode():
        exact = built(tokens, output_router_logits=True).router_logits
        rounded = built.to(transformers_api.torch_dtype(dtype))(tokens, output_router_logits=True).router_logits

    for expected, actual in zip(exact, rounded, strict=True):
        assert torch.equal(expected.topk(2).indices, actual.topk(2).indices)


def test_the_cache_is_keyed_by_what_defines_the_content() -> None:
    """Another seed or setting is another checkpoint; a feature that is listed or a tier is not."""
    key = checkpoint_key(LLAMA)
    others = [
        dataclasses.replace(LLAMA, seed=LLAMA.seed + 1),
        dataclasses.replace(LLAMA, config=dict(LLAMA.config) | {"rope_theta": 10000.0}),
        dataclasses.replace(LLAMA, architecture="mistral"),
    ]

    assert key not in [checkpoint_key(other) for other in others]
    assert key == checkpoint_key(dataclasses.replace(LLAMA, tier="full", features=()))


def test_a_checkpoint_is_written_once(tmp_path: Path) -> None:
    """The second call finds what the first has written."""
    first = materialize(LLAMA, tmp_path)
    expected = (first / "model.safetensors").stat().st_mtime_ns
    actual = (materialize(LLAMA, tmp_path) / "model.safetensors").stat().st_mtime_ns

    assert expected == actual


def test_processes_that_write_at_once_share_one_complete_checkpoint(tmp_path: Path) -> None:
    """Every worker of a run may be the first to need a model."""
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(3), context.Queue()
    workers = [context.Process(target=folder_of, args=(LLAMA, tmp_path, barrier, answers)) for _ in range(3)]
    for worker in workers:
        worker.start()
    folders = {answers.get(timeout=60) for _ in workers}
    for worker in workers:
        worker.join(timeout=60)
    expected = {materialize(LLAMA, tmp_path).name}
    actual = {path.name for path in tmp_path.iterdir()}

    assert len(folders) == 1
    assert expected == actual


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a checkpoint must never be found by the next run."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fixtures.checkpoints.tokenizer.save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        materialize(LLAMA, tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_generation_config_names_the_special_tokens(checkpoint_cache: Path) -> None:
    """generate() takes padding and end from it."""
    folder = materialize(LLAMA, checkpoint_cache)
    expected = {key: LLAMA.config[key] for key in ("pad_token_id", "bos_token_id", "eos_token_id")}
    actual = json.loads((folder / "generation_config.json").read_text())

    assert expected == actual


def test_an_architecture_without_a_generator_is_the_users_error(tmp_path: Path) -> None:
    """The message says which are known."""
    unknown = dataclasses.replace(LLAMA, architecture="mamba")

    with pytest.raises(UserError, match="architecture is 'mamba', which has no generator, accepted: llama, mistral"):
        materialize(unknown, tmp_path)
