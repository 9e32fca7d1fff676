"""A pytest plugin for nested runs (``-p suites.selftest.emulated.plugin``): flash-attn's configurations on the CPU.

Beside the emulated package it changes three things of the suite: the configurations of flash-attn are asked of the CPU as
well, flash-attn's operators count there (a CPU launches no kernels), and the environment promises the package.
"""

from __future__ import annotations

import importlib.metadata
from dataclasses import replace
from typing import Any

import pytest

from fixtures import guide, judgement, selection
from fixtures.isolation import FACTS
from matrix.kernels import Kernels, load_kernels
from matrix.load import Matrix, load_matrix
from suites.selftest.emulated.flash_attention import emulate, install


def pytest_addoption(parser: pytest.Parser) -> None:
    """Which folder of packages is installed."""
    parser.addoption("--site", choices=("site", "broken", "none"), default="site", help="folder of packages (default: site)")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Put everything in before the suite plans."""
    if (site := config.getoption("site")) != "none":
        install(site)
        facts, found = config.stash[FACTS], {"version": importlib.metadata.version("flash-attn"), "location": "", "error": ""}
        config.stash[FACTS] = replace(facts, packages={**facts.packages, "flash-attn": found})
    if site == "site":
        emulate()
    patched: Any = selection
    patched.load_matrix = lambda: on_the_cpu(load_matrix())
    for module in (judgement, guide):
        reader: Any = module
        reader.load_kernels = lambda: counted_on_the_cpu(load_kernels())


def on_the_cpu(matrix: Matrix) -> Matrix:
    """The matrix whose configurations of flash-attn are asked of the CPU, in environments that promise the package."""
    configurations = {
        name: replace(entry, platforms=(*entry.platforms, "cpu"))
        if {"flash-attn"} == set(entry.requires.packages) and "cuda" in entry.platforms else entry
        for name, entry in matrix.configurations.items()
    }  # fmt: skip
    promising = {name: replace(entry, promises=(*entry.promises, "flash-attn")) for name, entry in matrix.environments.items()}
    known = tuple(
        replace(entry, platforms=(*entry.platforms, "cpu")) for entry in matrix.expectations if "flash-att" in entry.cells
    )
    return replace(matrix, configurations=configurations, environments=promising, expectations=known)


def counted_on_the_cpu(kernels: Kernels) -> Kernels:
    """The table whose flash-attention-2 operators occur on the CPU."""
    families = tuple(
        replace(family, operators=tuple(replace(rule, platforms=(*rule.platforms, "cpu")) for rule in family.operators))
        if family.name == "flash-attention-2" else family
        for family in kernels.families
    )  # fmt: skip
    return replace(kernels, families=families, _known={})
