"""The quantized configurations of a run side by side: size, error and quality, as a table of markdown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from matrix.errors import UserError
from reports.record import Outcome, Record
from reports.render.suite import recorded
from reports.run import Run

SUITE: Final = "suites/quantization"
HEAD: Final = (
    "configuration", "dtype", "footprint", "implied", "peak while loading", "error, stored weights", "error, fp32",
    "loss, nats", "perplexity", "in fp32", "agreement",
)  # fmt: skip
EMPTY: Final = "-"


def table(run: Run, model: str) -> str:
    """One line a configuration and dtype. Sizes are those of ``model`` in bytes; errors are the largest relative rms of the
    logits over every model and workload; what is predicted is of the model that was trained for it. Checks that did not
    hold are left out, and counted under the table.

    Raises:
        UserError: the run has none, or no sizes of that model but of others.
    """
    cells: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in recorded(run, SUITE, "quantization"):
        cells[record.configuration, record.dtype].append(record)
    sized = {record.model for records in cells.values() for record in records if record.check == "footprint"}
    if sized and model not in sized:
        raise UserError(f"--model is {model!r}, of which {run.folder} has no sizes, accepted: {', '.join(sorted(sized))}")
    lines = [HEAD, ("---",) * len(HEAD)]
    lines += [(name, dtype, *_line(records, model)) for (name, dtype), records in sorted(cells.items()) if _says(records)]
    out = sum(record.outcome is not Outcome.PASSED for records in cells.values() for record in records)
    rows = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{rows}\n\n{run.header.platform}, {run.header.id}; sizes of {model}; {out} checks that did not pass are left out.\n"


def _says(records: list[Record]) -> bool:
    return any(record.check in ("footprint", "correct", "quality") for record in records)


def _line(records: list[Record], model: str) -> Iterable[str]:
    passed = [record for record in records if record.outcome is Outcome.PASSED]
    sizes = next((record.memory for record in passed if record.check == "footprint" and record.model == model), {})
    correct = [record for record in passed if record.check == "correct"]
    quality = next((record for record in passed if record.check == "quality"), None)
    for name in ("footprint", "implied", "loading_peak"):
        yield f"{sizes[name]:,}" if name in sizes else EMPTY
    for name in ("rms", "rms_fp32"):
        errors = [record.errors[name] for record in correct if name in record.errors]
        yield f"{max(errors):.1e}" if errors else EMPTY
    yield f"{quality.errors['loss']:+.4f}" if quality else EMPTY
    for name in ("perplexity", "perplexity_fp32", "agreement"):
        yield f"{quality.evidence[name]:.4f}" if quality else EMPTY
