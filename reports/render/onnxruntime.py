"""Where the nodes of a run's exported models ran: nodes and host time by provider, as a table of markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from reports.record import Record
from reports.render.suite import recorded
from reports.run import Run

SUITE: Final = "suites/onnxruntime"
HEAD: Final = (
    "configuration",
    "model",
    "dtype",
    "phase",
    "provider",
    "nodes",
    "time, us",
    "share",
    "mostly",
    "copies",
    "outcome",
)
MOST: Final = 3


def table(run: Run) -> str:
    """One line a provider of each pass that was profiled, in the order of the records. Time is what the host spent in a node:
    on a GPU, in launching it.

    Raises:
        UserError: the run profiled none.
    """
    records = recorded(run, SUITE, "profiled pass of ONNX Runtime", "dispatch")
    lines = [HEAD, ("---",) * len(HEAD), *(line for record in records for line in _lines(record))]
    rows = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{rows}\n\n{run.header.platform}, {run.header.id}; time is the host's, of one pass.\n"


def _lines(record: Record) -> Iterator[tuple[str, ...]]:
    providers: Mapping[str, Mapping[str, Any]] = record.evidence.get("nodes", {})
    whole = sum(said["time_us"] for said in providers.values()) or 1.0
    for provider, said in providers.items():
        most = ", ".join(f"{name} {count}" for name, count in list(said["operators"].items())[:MOST])
        yield (
            record.configuration, record.model, record.dtype, record.subject, provider.removesuffix("ExecutionProvider"),
            str(said["nodes"]), f"{said['time_us']:,.0f}", f"{100 * said['time_us'] / whole:.0f} %", most,
            str(record.evidence.get("copies", 0)), str(record.outcome),
        )  # fmt: skip
