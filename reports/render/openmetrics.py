"""A run or a comparison as OpenMetrics text, for Prometheus and what reads its format.

Every family is a gauge or an info (https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md); samples
carry no time, because node_exporter's textfile collector takes none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from reports import metrics
from reports.compare import Comparison
from reports.record import Record
from reports.run import Run
from reports.summary import counts, judge
from reports.versions import versions

PREFIX: Final = "gpu_inference"
Sample = tuple[Mapping[str, str], float]


def of_run(run: Run) -> str:
    """Whether the run is good, outcomes, errors with their tolerances, memory and seconds of every check."""
    return _document(_of_run(run))


def of_comparison(comparison: Comparison) -> str:
    """The candidate's own numbers, and how many checks got which verdict."""
    return _document((*_of_run(comparison.candidate), *_verdicts(comparison)))


def _document(lines: Iterable[str]) -> str:
    return "\n".join((*lines, "# EOF")) + "\n"


def _of_run(run: Run) -> Iterator[str]:
    header, records = run.header, list(run.records.values())
    about = {"run": header.id, "platform": header.platform, "environment": header.environment, "tier": header.tier}
    yield from _family(
        "run",
        "Which run, and with which versions.",
        "info",
        "",
        [({**about, **{_label(name): version for name, version in versions(run).items()}}, 1)],
    )
    yield from _family("run_start_seconds", "When it started.", "gauge", "seconds", [({}, header.started)])
    yield from _family("run_good", "1 where nothing is wrong with it.", "gauge", "", [({}, float(judge(run).good))])
    outcomes = [({"outcome": outcome.value}, float(count)) for outcome, count in counts(run).items()]
    yield from _family("checks", "Checks by outcome.", "gauge", "", outcomes)
    measured = [(_labels(record), metric) for record in records for metric in metrics.of_record(record)]
    errors = [({**labels, "metric": item.name}, item) for labels, item in measured if item.kind == "error"]
    sizes = [({**labels, "metric": item.name}, item.value) for labels, item in measured if item.kind == "memory"]
    limits = [(labels, item.limit) for labels, item in errors if item.limit is not None]
    yield from _family("error_ratio", "Relative error.", "gauge", "ratio", [(labels, item.value) for labels, item in errors])
    yield from _family("tolerance_ratio", "What the error may be.", "gauge", "ratio", limits)
    yield from _family("memory_bytes", "Footprint and peak.", "gauge", "bytes", sizes)
    times = [({**labels, "figure": item.name}, item.value) for labels, item in measured if item.kind == "latency"]
    yield from _family("latency_seconds", "Median of the processes' medians.", "gauge", "seconds", times)
    spent = [(_labels(record), record.seconds) for record in records]
    yield from _family("check_seconds", "How long the check took.", "gauge", "seconds", spent)


def _verdicts(comparison: Comparison) -> Iterator[str]:
    verdicts = [({"verdict": kind.value}, float(count)) for kind, count in comparison.counts.items()]
    yield from _family("verdicts", "Checks by verdict against the baseline.", "gauge", "", verdicts)
    yield from _family("worse", "1 where something got worse.", "gauge", "", [({}, float(comparison.worse))])


def _labels(record: Record) -> dict[str, str]:
    return {
        "configuration": record.configuration, "model": record.model, "dtype": record.dtype, "platform": record.platform,
        "check": record.check, "subject": record.subject,
    }  # fmt: skip


def _family(name: str, help: str, type: str, unit: str, samples: Iterable[Sample]) -> Iterator[str]:
    family = f"{PREFIX}_{name}"
    yield f"# TYPE {family} {type}"
    if unit:
        yield f"# UNIT {family} {unit}"
    yield f"# HELP {family} {help}"
    suffix = "_info" if type == "info" else ""
    unique = {tuple(labels.items()): value for labels, value in samples}  # a sample that comes twice makes the text unreadable
    for labels, value in unique.items():
        told = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
        yield f"{family}{suffix}{{{told}}} {_number(value)}" if told else f"{family}{suffix} {_number(value)}"


def _label(name: str) -> str:
    """A name that the format takes: letters, digits and underscores, a letter first."""
    clean = "".join(character if character.isascii() and character.isalnum() else "_" for character in name)
    return clean if clean[:1].isalpha() else f"_{clean}"


def _escaped(text: str) -> str:
    clean = text.encode(errors="backslashreplace").decode()
    return clean.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    if math.isfinite(value):
        return repr(float(value))
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
