"""The records of one suite, for the tables that are of one."""

from __future__ import annotations

from matrix.errors import UserError
from reports.record import Record
from reports.run import Run


def recorded(run: Run, suite: str, what: str, check: str = "") -> list[Record]:
    """Those of ``check``, or of any. Raises UserError where the run has none."""
    found = [record for record in run.records.values() if record.nodeid.startswith(suite) and check in ("", record.check)]
    if not found:
        raise nothing(run, suite, what)
    return found


def nothing(run: Run, suite: str, what: str) -> UserError:
    """What is said of a run that has no records of a suite."""
    return UserError(f"{run.folder}: recorded no {what}; name a run of {suite}")
