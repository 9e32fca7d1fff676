"""Problems as GitLab's code quality report, which a merge request compares with that of its target branch.

The fields: https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from reports import problems
from reports.compare import Comparison
from reports.document import to_text
from reports.problems import Problem
from reports.render import place
from reports.render.text import plain
from reports.run import Run


def of_run(run: Run) -> str:
    """One run."""
    return _report(problems.of_run(run))


def of_comparison(comparison: Comparison) -> str:
    """Two runs."""
    return _report(problems.of_comparison(comparison))


def _report(found: Iterable[Problem]) -> str:
    """Each fingerprint once: GitLab shows one entry for each."""
    return to_text(list({entry["fingerprint"]: entry for entry in map(_entry, found)}.values()), indent=1) + "\n"


def _entry(problem: Problem) -> dict[str, Any]:
    path, line = place.of(problem)
    return {
        "description": plain(f"{problem.id}: {problem.sentence}"),
        "check_name": problem.reason,
        "fingerprint": _fingerprint(problem),
        "severity": problem.severity.value,
        "location": {"path": path, "lines": {"begin": line}},
    }


def _fingerprint(problem: Problem) -> str:
    """The same for the same problem of the next run: its numbers differ, its check and reason do not."""
    told = problem.sentence if problem.id == "run" else ""
    return hashlib.sha256("\n".join((problem.id, problem.reason, told)).encode(errors="surrogatepass")).hexdigest()[:32]
