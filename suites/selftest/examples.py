"""Runs that never happened: records, runs and folders for the tests of reports."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from reports.compare import Comparison, compare
from reports.record import Outcome, Record
from reports.run import Header, Run
from reports.store import RunWriter
from reports.thresholds import load_thresholds
from reports.verdict import Verdict

ERRORS = {"rms": 4e-3, "rms_tolerance": 2e-2, "worst": 9e-3, "worst_tolerance": 5e-2}
MEMORY = {"footprint": 5_000_000, "peak": 40_000_000}


def record(configuration: str = "sdpa", check: str = "correct", subject: str = "short", **changes: Any) -> Record:
    """One that passed, on a model whose bf16 errors are above the unit roundoff."""
    model, dtype = changes.pop("model", "llama-tiny"), changes.pop("dtype", "bf16")
    name = f"{configuration}/{model}/{dtype}/cuda::{check}" + (f"[{subject}]" if subject else "")
    usual = {
        "outcome": Outcome.PASSED, "errors": ERRORS, "memory": MEMORY, "evidence": {"families": ["sdpa-flash"]},
        "durations": {"build": 0.5, "workload": 0.25, "total": 1.0}, "definition": "d1",
        "command": f"pytest --cells '{configuration} and {model}'",
    }  # fmt: skip
    known = {"id": name, "configuration": configuration, "model": model, "dtype": dtype, "platform": "cuda"}
    return Record(**{**known, "check": check, "subject": subject, **usual, **changes})


PREFLIGHT = record("environment", "preflight", "", model="machine", dtype="any")


def timed(*medians: float, **changes: Any) -> Record:
    """One that measured a latency, in seconds a process."""
    processes = [{"median": median, "cycles": None, "marked": []} for median in medians]
    figures = {"prefill": {"clock": "device", "processes": processes, "tokens_per_second": None}}
    evidence = {"latency": {"figures": figures, "counters": {}, "sites": {}, "code": "c1"}}
    return record(check="latency", errors={}, memory={}, evidence=evidence, **changes)


def run(*records: Record, environment: dict[str, Any] | None = None, **header: Any) -> Run:
    """A whole run of those records; other fields of the header as given."""
    ids = tuple(item.id for item in records)
    usual = {"id": "r1", "started": 1.79e9, "finished": 1.79e9 + 60, "complete": True, "platform": "cuda", "tier": "quick"}
    return Run(
        folder=Path("runs/r1"), header=Header(**{**usual, "planned": ids, **header}), environment=environment or {},
        records={item.id: item for item in records},
    )  # fmt: skip


def written(folder: Path, *records: Record, **header: Any) -> Path:
    """The folder of such a run."""
    given = run(*records, **header)
    writer = RunWriter(folder)
    writer.begin(replace(given.header, finished=None, complete=False), given.environment)
    for item in records:
        writer.append(item)
    writer.finish(finished=given.header.started + 60, complete=given.header.complete)
    return folder


def compared(before: list[Record], after: list[Record], **header: Any) -> Comparison:
    """The comparison of two whole runs; the header's changes are the candidate's."""
    return compare(run(*before), run(*after, **header), load_thresholds())


def verdict(before: Record, after: Record) -> Verdict:
    """The verdict on one check, beside another that passes in both."""
    beside = record(configuration="beside")
    found = compared([before, beside], [after, beside])
    return next(item for item in found.verdicts if item.configuration != "beside")


def outcomes(before: str, after: str) -> Verdict:
    """The verdict on a check whose outcome alone differs."""
    return verdict(record(outcome=Outcome(before)), record(outcome=Outcome(after)))


TEXTS = st.text(max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS.filter(lambda key: key != "$float"), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(TEXTS.filter(lambda key: key != "$float"), JSON, max_size=3)
RECORDS = st.builds(
    record, configuration=st.sampled_from(["eager", "sdpa", "sdpa-flash"]), check=st.sampled_from(["correct", "dispatch"]),
    subject=st.sampled_from(["", "short", "decode"]), outcome=st.sampled_from(Outcome), reason=TEXTS, message=TEXTS,
    errors=st.dictionaries(st.sampled_from(sorted(ERRORS)), st.floats(), max_size=4),
    evidence=OBJECTS | st.fixed_dictionaries({"families": st.lists(TEXTS, max_size=2)}),
    memory=st.dictionaries(st.sampled_from(sorted(MEMORY)), st.integers(), max_size=2),
    durations=st.dictionaries(TEXTS, st.floats(), max_size=2), definition=TEXTS, started=st.floats(), expectation=TEXTS,
    command=TEXTS,
)  # fmt: skip
RUNS = st.lists(RECORDS, max_size=4, unique_by=lambda item: item.id)
