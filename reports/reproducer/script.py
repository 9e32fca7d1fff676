"""The script: what was expected and seen, the model from a seed, and one check of it."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Final

from reports.record import HOLDING, Outcome, Record
from reports.render.text import plain
from reports.reproducer import body
from reports.reproducer.case import Case
from reports.reproducer.sources import Key, bundle, entry
from reports.summary import words
from reports.versions import versions

EXPECTED: Final = {
    "correct": "logits at most twice as far from eager attention in fp32 as eager attention in the same dtype, plus rounding",
    "invariant": "the same logits as for the same rows run whole, alone, unpadded and uncached, but for rounding",
    "attentions": "output_attentions=True returns the weights that eager attention returns, or raises an error",
    "switches": "set_attn_implementation changes the implementation, and switching back brings the same bits back",
    "dispatch": "one of the promised attention kernels executes, and no other",
    "builds": "the model is built with the implementation and the dtype that were asked for",
    "calls": "the output of the same mathematics in float64, but for rounding",
    "refuses": "an error in the documented words",
}
DRAWING: Final[tuple[Key, ...]] = (("fixtures.checkpoints.draw", "Draw"), ("fixtures.checkpoints.draw", "on_grid"))
JUDGING: Final = tuple(
    ("fixtures.accuracy", name) for name in ("error", "limit", "capped", "eager_limit", "Error", "ORACLE_LIMIT")
)
CALLING: Final = tuple(("fixtures.attention_calls", name) for name in ("Call", "Mask"))
MODULES: Final = {name: module for module, name in (*DRAWING, *JUDGING, *CALLING)}
WEIGHTS: Final = "The weights of a tiny model, the same bits everywhere; nothing here is about the finding."
CHECK: Final = "What is asked of the model, and how near two results are."
END: Final = """

if __name__ == '__main__':
    sys.exit($ended(check))
"""
NO_GPU: Final = """

if not torch.cuda.is_available():
    print('not tried: this needs a GPU')
    sys.exit(2)
"""
_NAME: Final = re.compile(r"\$(\w+)")
_WIDTH: Final = 118


def script(case: Case) -> str:
    """A Python program that exits with 0 where the check holds, with 1 where it fails, with 2 where it cannot be tried."""
    text = _text(case)
    keys = {name: (MODULES.get(name, "fixtures.reproduction"), name) for name in dict.fromkeys(_NAME.findall(text))}
    generator = entry("fixtures.checkpoints.folder", "_GENERATORS", case.check.cell.model.architecture)
    oracle = entry("fixtures.oracle.oracle", "ARCHITECTURES", case.check.cell.model.architecture)
    if "oracle" in keys and oracle is not None:
        keys["oracle"] = oracle
    sections: dict[str, list[Key]] = {}
    if generator is not None:  # a direct call has no model
        keys["generator"] = generator
        sections[WEIGHTS] = [generator, *DRAWING]
    found = bundle(sections | {CHECK: list(keys.values())})
    tail = _NAME.sub(lambda match: found.names[keys[match[1]]], text)
    auto = [f"from transformers import {name}" for name in re.findall(r"AutoModel\w+", tail)[:1]]
    above = "" if case.check.cell.platform == "cpu" else NO_GPU
    more = ("from __future__ import annotations", "import numpy as np", "import sys", "import torch", *auto)
    return f"{_head(case)}\n{found.with_imports(*more)}{above}\n\n{tail}"


def _text(case: Case) -> str:
    given = body.values(case)
    lines = textwrap.indent(_filled(body.body(case), given).strip("\n"), "    ")
    return f"{_filled(body.setup(case), given)}\n\ndef check():\n{lines}\n{END}"


def _filled(text: str, given: Mapping[str, str]) -> str:
    while any(name in given for name in _NAME.findall(text)):  # a value may speak of others
        text = _NAME.sub(lambda match: given.get(match[1], match[0]), text)
    return text


def _head(case: Case) -> str:
    """Comments: whatever a record holds stays on its line in one."""
    return "\n".join(f"# {line}".rstrip() for line in _said(case)) + "\n"


def _said(case: Case) -> Iterator[str]:
    yield plain(case.record.id)
    yield ""
    for name, told in (("Expected", EXPECTED[case.check.kind]), ("Seen", seen(case.record)), ("With", with_(case))):
        yield from textwrap.wrap(f"{name}: {told}", _WIDTH, break_on_hyphens=False)
    if case.changed:
        yield "Mind: what is checked has changed since that run was recorded."
    yield ""
    yield "Needs torch, transformers and NumPy. Exits with 0 where the check holds, with 1 where it fails."


def seen(record: Record) -> str:
    """How the check ended, in one line."""
    if record.outcome in HOLDING:
        return "it holds"
    outcome = Outcome.FAILED if record.outcome is Outcome.EXPECTED_FAILURE else record.outcome
    return plain(f"{words(outcome)}: {record.message or record.reason}")


def with_(case: Case) -> str:
    """The versions, in one line."""
    return plain(", ".join(f"{name} {version}" for name, version in versions(case.run).items()))
