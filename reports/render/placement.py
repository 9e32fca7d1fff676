"""The placed models of a run side by side: where their bytes are, what each GPU needed, what copies cost; in markdown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from reports.drift import in_bytes
from reports.record import Outcome, Record
from reports.render.suite import recorded
from reports.run import Run

SUITE: Final = "suites/placement"
HEAD: Final = (
    "configuration", "model", "dtype", "checks passed", "weights", "peak", "loading", "prefill: whole, placed",
    "decode: whole, placed", "copies in a prefill",
)  # fmt: skip
EMPTY: Final = "-"
PHASES: Final = ("prefill", "decode")


def table(run: Run) -> str:
    """One line a cell, and under it how the GPUs are connected and what was copied between them.

    ``weights`` are bytes at each place; ``peak`` is the highest of all workloads on each GPU above what was there before, and
    ``loading`` that while the model was loaded, which may be beyond ``max_memory``; times are the medians of a pass on the
    host's clock; copies are those of the profiler, beside the time of all kernels and the copies that the whole model makes
    too.

    Raises:
        UserError: the run placed none.
    """
    cells: dict[str, list[Record]] = defaultdict(list)
    for record in recorded(run, SUITE, "placement"):
        cells[record.cell].append(record)
    lines = [HEAD, ("---",) * len(HEAD), *(_line(records) for records in cells.values() if records[0].check != "calls")]
    rows = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n\n".join([rows, *_links(run), *_copies(run), f"{run.header.platform}, {run.header.id}"]) + "\n"


def lost(run: Run) -> list[tuple[Record, str]]:
    """What passes of models that are spread take more than those of the whole model, the largest share first."""
    found = [(ratio, record, sentence) for record in run.records.values() for _, ratio, sentence in costs(record)]
    return [(record, sentence) for _, record, sentence in sorted(found, key=lambda entry: (-entry[0], entry[1].id))]


def costs(record: Record) -> Iterator[tuple[str, float, str]]:
    """Of prefill and decode, how many times as long a pass takes as the whole model's, and in words."""
    for phase in PHASES if record.check == "transfer-cost" else ():
        if isinstance(figures := record.evidence.get(phase), Mapping) and figures.get("whole_us"):
            yield phase, figures["placed_us"] / figures["whole_us"], _lost(phase, figures)


def _lost(phase: str, figures: Mapping[str, Any]) -> str:
    """Of the host's time of a pass, and how much of it copies took on the device."""
    placed, whole = figures["placed_us"], figures["whole_us"]
    copied = f", copies {sum(figures['copy_us'].values()) / 1e3:.2f} ms" if "copy_us" in figures else ""
    return f"{(placed - whole) / 1e3:.2f} of {placed / 1e3:.2f} ms of a {phase}{copied}"


def _line(records: list[Record]) -> tuple[str, ...]:
    first = records[0]
    passed = sum(record.outcome is Outcome.PASSED for record in records)
    held = _highest(records, "footprint@")
    cost: Mapping[str, Any] = next((record.evidence for record in records if record.check == "transfer-cost"), {})
    peaks, loading = _highest(records, "peak@"), _highest(records, "loading_peak@")
    prefill, decode = cost.get("prefill"), cost.get("decode")
    return (
        first.configuration, first.model, first.dtype, f"{passed} of {len(records)}", _sizes(held), _sizes(peaks),
        _sizes(loading), _times(prefill), _times(decode), _moved(prefill),
    )  # fmt: skip


def _highest(records: Iterable[Record], prefix: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for record in records:
        for name, size in record.memory.items():
            if name.startswith(prefix):
                place = name.removeprefix(prefix)
                found[place] = max(size, found.get(place, 0))
    return dict(sorted(found.items()))


def _sizes(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{place} {in_bytes(size)}" for place, size in sizes.items()) or EMPTY


def _times(figures: Any) -> str:
    return f"{figures['whole_us'] / 1e3:.2f}, {figures['placed_us'] / 1e3:.2f} ms" if figures else EMPTY


def _moved(figures: Any) -> str:
    if not figures or "copies" not in figures:
        return EMPTY
    listed = ", ".join(f"{count} {way} {figures['copy_us'][way]:.0f} us" for way, count in sorted(figures["copies"].items()))
    whole = ", ".join(f"{count} {way}" for way, count in sorted(figures.get("whole_copies", {}).items()))
    return f"{listed or 'none'}{f', whole {whole}' if whole else ''}; kernels {figures['kernel_us']:.0f} us"


def _links(run: Run) -> Iterator[str]:
    told = run.environment.get("runtime", {}).get("topology") or {}
    if told:
        yield "\n".join(
            f"GPU {pair}: {'peer access' if each['peer_access'] else 'no peer access'}"
            + (f", {each['kind']} ({each['link']})" if "link" in each else "")
            for pair, each in told.items()
        )


def _copies(run: Run) -> Iterator[str]:
    found = [record for record in run.records.values() if record.nodeid.startswith(SUITE) and record.check == "calls"]
    lines = [
        f"copies, {record.subject}: {record.outcome}"
        + "".join(f", {pair} {in_bytes(size)}" for pair, size in record.evidence.get("bytes_copied", {}).items())
        for record in found
    ]
    if lines:
        yield "\n".join(lines)
