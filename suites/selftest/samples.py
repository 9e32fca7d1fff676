"""Cells, machines and matrix files that never existed: for the tests of what is planned."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from matrix.availability import Facts
from matrix.cell import Cell, Check, Configuration, Model, Requirement, Workload
from matrix.load import Matrix


def configuration(name: str = "sdpa", **changes: Any) -> Configuration:
    usual = {
        "summary": "", "suite": "attention", "builder": "attention", "options": {}, "platforms": ("cpu", "cuda", "rocm"),
        "dtypes": {"fp32": "quick", "bf16": "full"}, "models": ("*",), "checks": ("builds", "correct"), "workloads": ("*",),
        "requires": Requirement(), "promises": (), "refusals": (),
    }  # fmt: skip
    return Configuration(**{"name": name, **usual, **changes})


def model(name: str = "llama-tiny", **changes: Any) -> Model:
    usual = {"architecture": "llama", "task": "causal-lm", "tier": "quick", "seed": 1, "features": ()}
    return Model(**{"name": name, **usual, "config": {"vocab_size": 320}, **changes})


def workload(name: str = "short", **changes: Any) -> Workload:
    usual = {
        "summary": "", "tier": "quick", "schedule": "prefill", "lengths": (7,), "padding": "none", "steps": 0, "chunks": (),
        "cache": "none", "tasks": ("causal-lm",), "dtypes": ("fp32", "bf16", "fp16"), "invariant": "causal",
    }  # fmt: skip
    return Workload(**{"name": name, **usual, **changes})


def cell(name: str = "sdpa", *, of: Model | None = None, dtype: str = "bf16", platform: str = "cpu", **changes: Any) -> Cell:
    return Cell(configuration=configuration(name, **changes), model=of or model(), dtype=dtype, platform=platform)


def check(kind: str = "correct", subject: str = "short", **changes: Any) -> Check:
    return Check(cell=cell(**changes), kind=kind, subject=subject, workload=workload(subject) if subject else None)


def matrix(*configurations: Configuration, **changes: Any) -> Matrix:
    usual = {"models": {"llama-tiny": model()}, "workloads": {"short": workload()}, "environments": {}, "expectations": ()}
    named = {entry.name: entry for entry in configurations or (configuration(),)}
    return Matrix(**{"configurations": named, **usual, **changes})


def facts(platform: str = "cpu", *, devices: tuple[str, ...] | None = None, **changes: Any) -> Facts:
    """A machine; ``devices`` are the capabilities of its GPUs."""
    capabilities = devices if devices is not None else {"cpu": (), "cuda": ("9.0",), "rocm": ("gfx942",)}[platform]
    usual: dict[str, Any] = {
        "problem": "", "packages": packages(torch="2.13.0", transformers="5.23.0"), "details": {},
        "devices": tuple({"name": "GPU", "capability": capability, "memory": 2**30} for capability in capabilities),
    }  # fmt: skip
    return Facts(**{"platform": platform, **usual, **changes})


def packages(**versions: str) -> dict[str, dict[str, str]]:
    return {name: {"version": version, "location": "", "error": ""} for name, version in versions.items()}


# matrix files as nested values, each the smallest of its kind

DOCUMENTS: dict[str, dict[str, Any]] = {
    "models": {
        "version": 1,
        "model": {"m": {"architecture": "llama", "task": "causal-lm", "config": {"vocab_size": 320}}},
    },
    "workloads": {
        "version": 1,
        "workload": {"w": {"summary": "s", "schedule": "prefill", "lengths": [7], "invariant": "causal"}},
    },
    "configurations": {
        "version": 1,
        "configuration": {
            "c": {
                "summary": "s", "suite": "attention", "builder": "attention", "options": {"implementation": "sdpa"},
                "dtypes": {"fp32": "quick"}, "checks": ["builds", "correct"], "workloads": ["w"],
                "requires": {"packages": ["torch"], "capability": "8.0", "gpus": 1},
                "promises": ["p"], "refuses": ["r"],
            },
        },
        "promise": {"p": {"platforms": ["cuda"], "families": ["eager"]}},
        "refusal": {"r": {"mask": True, "at": "run", "error": "No available kernel", "source": "https://example.org"}},
    },
    "environments": {
        "version": 1,
        "environment": {"e": {"summary": "s", "platform": "cpu", "packages": ["torch==2.13.0"], "promises": ["torch"]}},
    },
    "expectations": {
        "version": 1,
        "expectation": [
            {
                "cells": "sdpa and m", "checks": ["correct[w]"], "versions": {"torch": ">=2.0, <3"}, "outcome": "failed",
                "url": "https://example.org/1", "expires": "2030-01-01",
            },
        ],
    },
    "kernels": {
        "version": 1,
        "attention": "softmax",
        "family": [{"name": "eager", "summary": "s", "operator": [{"pattern": "softmax", "source": "https://example.org"}]}],
    },
}  # fmt: skip

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["*", "cpu", "fp32", "quick"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)


def toml(document: Mapping[str, Any]) -> str:
    """TOML of a nested value; a ``None`` leaves its key out."""
    return "".join(f"{json.dumps(key)} = {_inline(value)}\n" for key, value in document.items() if value is not None)


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        entries = (f"{json.dumps(key)} = {_inline(inner)}" for key, inner in value.items() if inner is not None)
        return "{" + ", ".join(entries) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_inline(inner) for inner in value if inner is not None) + "]"
    return repr(value) if isinstance(value, float) else json.dumps(value)


def written(folder: Path, **documents: Any) -> Path:
    """A matrix folder with the smallest files, but for those given."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, document in (DOCUMENTS | documents).items():
        (folder / f"{name}.toml").write_text(toml(document), encoding="utf-8")
    return folder


def changed(name: str, path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    """The smallest file of a kind with one value replaced, added, or (``None``) left out."""
    document: dict[str, Any] = json.loads(json.dumps(DOCUMENTS[name]))
    inner: Any = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return document


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The path of every value inside a nested value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [*([path] if path else []), *(place for key, entry in inner for place in places(entry, (*path, key)))]
