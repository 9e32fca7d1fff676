"""One recorded check as the thing to reproduce: which record, which check of the matrix, and whether a script can do it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from matrix.cell import TIERS, Check
from matrix.errors import UserError
from matrix.expand import checks
from matrix.load import load_matrix
from reports.record import Outcome, Record
from reports.run import Run
from reports.summary import worst_first

KINDS: Final = ("correct", "invariant", "attentions", "switches", "dispatch", "builds", "refuses")
"""Checks that a script can make with torch, transformers and NumPy alone, those first that say most of a cell."""

CALL: Final = "failing_call"
"""Where a record keeps the smallest call that fails, as Python."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A record, the run that it is of, and the check of the matrix that it recorded."""

    run: Run
    record: Record
    check: Check

    @property
    def changed(self) -> bool:
        """Whether the matrix asks something else by now than what was recorded."""
        return self.record.definition != self.check.definition


def case(run: Run, name: str) -> Case:
    """The case of a check, or of the worst check of a cell.

    Raises:
        UserError: the run has no such check, or no script can make it.
    """
    _refuse_other_models(run)
    record = _record(run, name)
    known = {check.id: check for check in checks(load_matrix(), record.platform, TIERS[-1])}
    if record.id not in known:
        raise _no_script(record, "is not in this release's matrix")
    check = known[record.id]
    if check.cell.configuration.builder != "attention":
        raise _no_script(
            record, f"needs {check.cell.configuration.builder}, and scripts need torch, transformers and NumPy alone"
        )
    if check.kind == "calls" and check.cell.model.architecture == "call":
        if not record.evidence.get(CALL):
            raise _no_script(record, "has recorded no call that fails")
        return Case(run=run, record=record, check=check)
    if check.kind not in KINDS:
        raise _no_script(record, f"is a check of kind {check.kind!r}, and scripts make {', '.join(KINDS)}")
    if record.outcome is Outcome.REFERENCE_BROKEN:
        raise _no_script(record, f"was not judged: name the check of eager attention ({record.message})")
    return Case(run=run, record=record, check=check)


def _refuse_other_models(run: Run) -> None:
    if run.header.injected:
        raise UserError(f"{run.folder}: ran with injected faults ({', '.join(run.header.injected)}): no library is to blame")
    settings = run.environment.get("settings")
    if isinstance(settings, dict) and settings.get("checkpoint"):
        raise UserError(
            f"{run.folder}: ran on the checkpoint {settings['checkpoint']!r}; scripts make the generated models alone"
        )


def _record(run: Run, name: str) -> Record:
    if name in run.records:
        return run.records[name]
    cell = [record for record in run.records.values() if record.cell == name and record.outcome is not Outcome.SKIPPED]
    if not cell:
        raise UserError(
            f"{run.folder}: {name!r} is neither a cell nor a check that it executed; `python -m reports show` names them"
        )
    usable = [record for record in cell if record.check in KINDS and record.outcome is not Outcome.REFERENCE_BROKEN] or cell
    return min(usable, key=lambda record: (worst_first(record)[0], _preference(record), record.id))


def _preference(record: Record) -> int:
    return KINDS.index(record.check) if record.check in KINDS else len(KINDS)


def _no_script(record: Record, why: str) -> UserError:
    return UserError(f"{record.id}: {why}; reproduce it with: {record.command or 'pytest'}")
