"""JUnit XML that GitLab, Jenkins and GitHub read, of a run and of a comparison.

The elements and attributes are those of https://github.com/jenkinsci/xunit-plugin/blob/master/src/main/resources/org/jenkinsci/plugins/xunit/types/model/xsd/junit-10.xsd
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree

from reports.compare import Comparison
from reports.record import Outcome, Record
from reports.run import Header, Run
from reports.summary import flaws, words
from reports.verdict import UNDECIDED, Verdict

_ILLEGAL: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, not even escaped (https://www.w3.org/TR/xml/#charsets)."""

_ELEMENTS: Final = {
    Outcome.FAILED: "failure",
    Outcome.REFUSED: "failure",
    Outcome.UNEXPECTED_PASS: "failure",
    Outcome.CRASHED: "error",
    Outcome.TIMED_OUT: "error",
    Outcome.OUT_OF_MEMORY: "error",
    Outcome.IMPORT_FAILED: "error",
    Outcome.REFERENCE_BROKEN: "error",
    Outcome.SKIPPED: "skipped",
    Outcome.EXPECTED_FAILURE: "skipped",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """One testcase: ``element`` is failure, error or skipped, empty where it passes; ``seconds`` is its duration."""

    classname: str
    name: str
    element: str = ""
    type: str = ""
    message: str = ""
    detail: str = ""
    seconds: float = 0.0


def of_run(run: Run) -> str:
    """The checks of one run; what is wrong with it as a whole is a case too, so that no tool shows it green."""
    cases = [
        *map(_of_record, run.records.values()),
        *(_unrun(id) for id in run.missing),
        *_of_the_whole(run),
    ]
    return _document(f"run {run.header.id}", cases, run.header)


def of_comparison(comparison: Comparison) -> str:
    """The verdicts of one comparison; worse is a failure, undecided and known are skipped."""
    cases = [*map(_of_verdict, comparison.verdicts), *_of_the_whole(comparison.candidate)]
    return _document(
        f"{comparison.candidate.header.id} against {comparison.baseline.header.id}", cases, comparison.candidate.header
    )


def _of_record(record: Record) -> _Case:
    reproduce = f"reproduce: {record.command}" if record.command else ""
    stack = ("Python stack, innermost first:", *record.stack) if record.stack else ()
    output = ("last output:", *record.output) if record.output else ()
    detail = "\n".join(line for line in (record.message, record.expectation, reproduce, *stack, *output) if line)
    message = f"{words(record.outcome)}: {record.message or record.reason}" if record.outcome in _ELEMENTS else ""
    return _Case(
        classname=_classname(record.id),
        name=_name(record.id),
        element=_ELEMENTS.get(record.outcome, ""),
        type=record.reason or record.outcome,
        message=message,
        detail=detail,
        seconds=record.seconds,
    )


def _of_verdict(item: Verdict) -> _Case:
    element = "failure" if item.worse else "skipped" if item.kind in UNDECIDED or item.accepted else ""
    detail = "\n".join((item.message, *(f"{finding.kind}: {finding.message}" for finding in item.also), item.command))
    return _Case(
        classname=_classname(item.id),
        name=_name(item.id),
        element=element,
        type=f"{item.kind}.{item.reason}".rstrip("."),
        message=f"{words(item.kind)}: {item.message}",
        detail=detail,
    )


def _unrun(id: str) -> _Case:
    return _Case(classname=_classname(id), name=_name(id), element="error", type="missing", message="planned and never run")


def _of_the_whole(run: Run) -> Iterator[_Case]:
    for flaw in flaws(run):
        yield _Case(classname="run", name=flaw.name, element="error", type=flaw.reason, message=flaw.sentence)


def _document(name: str, cases: list[_Case], header: Header) -> str:
    root = ElementTree.Element("testsuites")
    numbers = {
        "tests": len(cases),
        "failures": _count(cases, "failure"),
        "errors": _count(cases, "error"),
        "skipped": _count(cases, "skipped"),
    }
    suite = ElementTree.SubElement(
        root,
        "testsuite",
        {
            "name": _legal(name),
            **{key: str(number) for key, number in numbers.items()},
            "time": _time(math.fsum(case.seconds for case in cases if math.isfinite(case.seconds))),
            **_timestamp(header.started),
        },
    )
    for case in cases:
        _append(suite, case)
    ElementTree.indent(root, " ")
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=False).join(
        ('<?xml version="1.0" encoding="utf-8"?>\n', "\n")
    )


def _append(suite: ElementTree.Element, case: _Case) -> None:
    attributes = {"classname": _legal(case.classname), "name": _legal(case.name), "time": _time(case.seconds)}
    element = ElementTree.SubElement(suite, "testcase", attributes)
    if case.element:
        child = ElementTree.SubElement(element, case.element, {"message": _legal(case.message), "type": _legal(case.type)})
        child.text = _legal(case.detail)


def _classname(id: str) -> str:
    """Dots make folders of it where reports are browsed."""
    return id.partition("::")[0].replace(".", "_").replace("/", ".")


def _name(id: str) -> str:
    return id.partition("::")[2] or id


def _count(cases: list[_Case], element: str) -> int:
    return sum(case.element == element for case in cases)


def _time(seconds: float) -> str:
    return f"{seconds:.3f}" if math.isfinite(seconds) and seconds >= 0 else "0.000"


def _timestamp(started: float) -> dict[str, str]:
    try:
        moment = datetime.datetime.fromtimestamp(started, datetime.UTC)
    except (OverflowError, ValueError, OSError):
        return {}
    return {"timestamp": moment.strftime("%Y-%m-%dT%H:%M:%S")}


def _legal(text: str) -> str:
    return _ILLEGAL.sub(lambda match: ascii(match.group())[1:-1], text)
