"""The words of the matrix: configurations, models, workloads, cells and checks.

Everything here is an immutable record; what is validated comes from the TOML files beside this module and is read by
:mod:`matrix.load`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import accumulate
from typing import Any, Final

PLATFORMS: Final = ("cpu", "cuda", "rocm")
DTYPES: Final = ("fp32", "bf16", "fp16")
TIERS: Final = ("quick", "full", "headline")
TASKS: Final = ("causal-lm", "sequence-classification", "feature-extraction", "call")
PADDINGS: Final = ("none", "left", "right")
SCHEDULES: Final = ("prefill", "alone", "packed", "packed-lengths", "decode", "chunked", "generate", "load")
TIMED: Final = ("prefill", "alone", "decode", "generate", "load")  # the schedules whose latency can be taken
CACHES: Final = ("none", "dynamic", "static")
ONE_ROW: Final = "decode-one-row"  # asked of quantized layers alone: one row has kernels of its own there
PHASES: Final = ("prefill", "padded-prefill", "decode", ONE_ROW)
INVARIANTS: Final = ("causal", "padded", "batched", "packed", "cached", "chunked", "greedy")
# What direct calls of a linear layer of bitsandbytes are about; fixtures/quantization/calls.py draws them.
LINEAR_CALLS: Final = (
    "one-row", "many-rows", "changing-rows", "outliers", "not-contiguous-transposed", "not-contiguous-every-second-row",
    "not-contiguous-every-second-feature", "not-contiguous-one-row-repeated", "not-contiguous-batch-transposed", "odd-inputs",
    "odd-outputs", "zeros",
)  # fmt: skip
# What copies between devices are about; fixtures/placement/copies.py makes them.
COPIES: Final = ("direct", "staged", "not-contiguous", "under-load", "streams", "all-reduce")
# What direct calls are about, by the architecture of the model that stands for what is called;
# fixtures/attention_calls.py and fixtures/flash_attention/calls.py draw those of attention functions.
CALLS: Final[Mapping[str, tuple[str, ...]]] = {
    "call": (
        "no-mask", "mask", "fully-masked-rows", "mask-of-another-dtype", "mask-and-causal", "one-dimensional-mask",
        "mask-of-one-column", "scale-not-positive", "unaligned",
    ),
    "flash-attn-call": (
        "whole", "causal-alignment", "window", "window-past-the-keys", "softcap", "alibi", "variable-lengths",
        "key-value-cache", "split-keys", "head-dimensions",
    ),
    "linear-call": LINEAR_CALLS,
    "copy-call": COPIES,
}  # fmt: skip
CHECKS: Final = (
    "builds", "refuses", "correct", "dispatch", "invariant", "switches", "attentions", "calls", "undeclared-dtype",
    "padding-cost", "footprint", "weights", "layers", "stateless", "reloads", "quality", "placed", "same", "inputs",
    "transfer-cost", "static-shapes", "pipelines", "memory-growth", "shape-cost", "guide", "latency",
    "imports", "import-order",
)  # fmt: skip
# What a model is for: one whose latency is taken is drawn on the device, is asked nothing else, and has no reference.
CORRECTNESS: Final = "correctness"
LATENCY: Final = "latency"
PURPOSES: Final = (CORRECTNESS, LATENCY)
# Tokens of the row that is run alone and serves every prefix of it; no workload has a longer row.
ALONE: Final = 160
COMPUTE_DTYPE: Final = "compute-dtype"  # one more call, of linear layers that can be told what to compute in
TRAINED: Final = "llama-trained"  # the architecture of a model that predicts something, so that its quality can be measured
# What is asked of a model that was saved quantized: fixtures/quantization/reloading.py.
RELOADS: Final = ("weights", "output", "saved-after-running", "saved-again")
# Packages that bring ONNX Runtime; of those that are promised, sessions are made in processes of their own.
RUNTIMES: Final = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-rocm", "onnxruntime-migraphx")
PIPELINES: Final = ("optimum", "transformers")  # whose pipeline runs a model of ONNX Runtime
DERIVED_CHECKS: Final = ("refuses", "imports", "import-order")  # planned by what is refused or promised, never by name
FEATURES: Final = (
    "causal-mask", "padding-mask", "sliding-window", "attention-softcap", "final-softcap", "attention-scale",
    "grouped-heads", "rotary-base", "positions", "expert-routing", "wide-heads",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """The release that brought what configurations (globs) ask of a package on some platforms."""

    package: str
    release: str
    configurations: tuple[str, ...]
    platforms: tuple[str, ...]
    what: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """What a machine must have before a configuration can run on it.

    ``variables`` are environment variables of which each must hold its value; one that is not set counts as FALSE.
    ``since`` are the releases that brought what it asks for.
    """

    packages: tuple[str, ...] = ()
    capability: str = ""
    gpus: int = 0
    variables: Mapping[str, str] = field(default_factory=dict)
    since: tuple[Since, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Where a promise or a refusal holds; an empty field matches everything.

    ``mask`` is whether the attention function is handed an explicit mask in some pass, see :meth:`Workload.masks`.
    """

    platforms: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    phases: tuple[str, ...] = ()
    mask: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """The kernel families of which one must execute where the condition holds; ``advice`` is for a user who gets another."""

    where: Condition
    families: tuple[str, ...]
    source: str
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A clear error that the library raises where the condition holds: at ``build`` or at ``run``."""

    where: Condition
    at: str
    error: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """One optimization as a user would switch it on. ``dtypes`` says from which tier on each dtype runs.

    ``models`` are globs of the models that it runs on, and ``quick`` of those among them that the quick tier is for.
    ``combined`` are the names of the two that it is a combination of, see :mod:`matrix.combination`; ``quick_with`` are globs
    of the others with which a family belongs to the quick tier.
    """

    name: str
    summary: str
    suite: str
    builder: str
    options: Mapping[str, Any]
    platforms: tuple[str, ...]
    dtypes: Mapping[str, str]
    models: tuple[str, ...]
    checks: tuple[str, ...]
    workloads: tuple[str, ...]
    requires: Requirement
    promises: tuple[Promise, ...]
    refusals: tuple[Refusal, ...]
    quick: tuple[str, ...] = ("*",)
    combined: tuple[str, ...] = ()
    quick_with: tuple[str, ...] = ("*",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """An architecture at a size. ``config`` is what goes into its config.json, in transformers' own names.

    ``configurations`` are globs of those that are asked of it, ``platforms`` those that it runs on; ``purpose`` is one of
    :data:`PURPOSES`; ``package`` is the distribution that carries the checkpoint where it is not generated.
    """

    name: str
    architecture: str
    task: str
    tier: str
    seed: int
    features: tuple[str, ...]
    config: Mapping[str, Any]
    configurations: tuple[str, ...] = ("*",)
    package: str = ""
    purpose: str = CORRECTNESS
    platforms: tuple[str, ...] = PLATFORMS

    @property
    def layers(self) -> int:
        """Number of transformer layers, 2 where the config does not say."""
        named = (self.config.get(key) for key in ("num_hidden_layers", "n_layer", "n_layers"))
        return next((layers for layers in named if isinstance(layers, int)), 2)

    @property
    def window(self) -> int | None:
        """Sliding-window width in tokens, ``None`` where every earlier token is seen."""
        return self.config["sliding_window"] if "sliding-window" in self.features else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What is asked of a model: rows of which lengths, how padded, and in which portions they are fed.

    ``lengths`` are the prompts' lengths in tokens, one a row; ``steps`` the tokens that follow one at a time;
    ``chunks`` the portions in which the prompt is fed. Schedule ``alone`` runs each row in a batch of its own.
    Schedules ``packed`` and ``packed-lengths`` put all rows into one without padding, told apart by positions that start
    again, and by cumulative lengths as well. ``invariant`` names the law that ties the outcome to the same rows run alone,
    unpadded and uncached; ``configurations`` are globs of those that it is asked of. A ``timed`` workload has no law: it is
    asked of models whose purpose is latency, those that ``models`` are globs of.
    """

    name: str
    summary: str
    tier: str
    schedule: str
    lengths: tuple[int, ...]
    padding: str
    steps: int
    chunks: tuple[int, ...]
    cache: str
    tasks: tuple[str, ...]
    dtypes: tuple[str, ...]
    invariant: str
    configurations: tuple[str, ...] = ("*",)
    timed: bool = False
    models: tuple[str, ...] = ("*",)

    @property
    def longest(self) -> int:
        """Tokens of the longest row, generated ones included."""
        return max(self.lengths) + self.steps

    def masks(self, window: int | None) -> frozenset[bool]:
        """Whether its forward passes hand attention an explicit mask: some do (True), some do without (False), or both.

        A mask is needed for padding, for several tokens on a filled cache, for single tokens on a static cache, and where
        the keys reach the sliding window. Source: transformers/masking_utils.py, ``_ignore_causal_mask_sdpa``.
        """
        packed = self.schedule.startswith("packed")
        if (packed or self.padding != "none") and len(set(self.lengths)) > 1:
            return frozenset({True})
        return frozenset(explicit or (window is not None and keys >= window) for explicit, keys in self._passes())

    def _passes(self) -> Iterator[tuple[bool, int]]:
        """Each unpadded forward pass: whether causality alone needs a mask, and how many keys it sees.

        A static cache shows its whole buffer, which is longer than any window.
        """
        if self.chunks:
            yield from (
                (start > 0 and chunk > 1, start + chunk)
                for start, chunk in zip((0, *accumulate(self.chunks)), self.chunks, strict=False)
            )
            return
        for length in self.lengths:
            static = self.cache == "static"
            yield False, ALONE if static else length
            yield from ((static, ALONE if static else length + step + 1) for step in range(self.steps))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Configuration x model x dtype on a platform: one row of the report."""

    configuration: Configuration
    model: Model
    dtype: str
    platform: str

    @property
    def id(self) -> str:
        """Stable across releases: ``sdpa-flash/llama-tiny/bf16/cuda``."""
        return f"{self.configuration.name}/{self.model.name}/{self.dtype}/{self.platform}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that must hold for a cell."""

    cell: Cell
    kind: str
    subject: str = ""
    workload: Workload | None = None
    refusal: Refusal | None = field(default=None, compare=False)

    @property
    def id(self) -> str:
        """``<cell id>::<kind>[<subject>]``; the subject is a workload, an invariant or a phase."""
        return f"{self.cell.id}::{self.what}"

    @property
    def what(self) -> str:
        """``<kind>[<subject>]``."""
        return self.kind + (f"[{self.subject}]" if self.subject else "")

    @property
    def needs_several_gpus(self) -> bool:
        """Whether it must run where more than one GPU is visible."""
        return self.cell.configuration.requires.gpus > 1 and self.cell.platform != "cpu"

    @property
    def definition(self) -> str:
        """Hash of everything that says what is checked, so that two runs compare like with like; words and tiers do not."""
        workload = _defining(self.workload) if self.workload else self.subject
        what = (_defining(self.cell.model), dict(self.cell.configuration.options), self.kind, workload)
        return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()[:16]


# Where a checkpoint lies and what wrote it say nothing of what is checked.
INCIDENTAL: Final = ("checkpoint", "_name_or_path", "transformers_version")


# Words, and who is asked.
UNSAID: Final = ("summary", "tier", "configurations", "models", "purpose", "platforms", "timed", "package")


def _defining(record: Model | Workload) -> dict[str, Any]:
    """What defines a record: not its words, not who is asked, and not where it lies."""
    said = {key: value for key, value in asdict(record).items() if key not in UNSAID}
    if "config" in said:
        said["config"] = {key: value for key, value in said["config"].items() if key not in INCIDENTAL}
    return said
