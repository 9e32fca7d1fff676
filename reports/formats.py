"""The files that ``show`` and ``compare`` write beside their page: one option of the command line each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from reports.compare import Comparison
from reports.render import benchmark, github, gitlab, html, json, junit, markdown, openmetrics
from reports.run import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """What it is for, and its two renderers; ``link`` is the address of the HTML page, empty where there is none."""

    help: str
    of_run: Callable[[Run, str], str]
    of_comparison: Callable[[Comparison, str], str]


FORMATS: Final[Mapping[str, Format]] = {
    "markdown": Format(
        help="markdown for a comment on a pull request",
        of_run=lambda run, link: markdown.show(run, link=link),
        of_comparison=lambda comparison, link: markdown.compared(comparison, link=link),
    ),
    "summary": Format(
        help="markdown for the summary of a job, such as $GITHUB_STEP_SUMMARY: longer than a comment may be",
        of_run=lambda run, link: markdown.show(run, markdown.SUMMARY, link=link),
        of_comparison=lambda comparison, link: markdown.compared(comparison, markdown.SUMMARY, link=link),
    ),
    "html": Format(
        help="one page of html that loads nothing",
        of_run=lambda run, _: html.show(run),
        of_comparison=lambda comparison, _: html.compared(comparison),
    ),
    "annotations": Format(
        help="annotations of a job on GitHub; a step that prints the file makes them",
        of_run=lambda run, _: github.of_run(run),
        of_comparison=lambda comparison, _: github.of_comparison(comparison),
    ),
    "junit": Format(
        help="JUnit XML for GitLab, Jenkins and GitHub",
        of_run=lambda run, _: junit.of_run(run),
        of_comparison=lambda comparison, _: junit.of_comparison(comparison),
    ),
    "code-quality": Format(
        help="GitLab's code quality report",
        of_run=lambda run, _: gitlab.of_run(run),
        of_comparison=lambda comparison, _: gitlab.of_comparison(comparison),
    ),
    "openmetrics": Format(
        help="OpenMetrics text for Prometheus",
        of_run=lambda run, _: openmetrics.of_run(run),
        of_comparison=lambda comparison, _: openmetrics.of_comparison(comparison),
    ),
    "bencher": Format(
        help="Bencher Metric Format; of a comparison the candidate's numbers",
        of_run=lambda run, _: benchmark.bencher(run),
        of_comparison=lambda comparison, _: benchmark.bencher(comparison.candidate),
    ),
    "benchmark": Format(
        help="JSON of github-action-benchmark's customSmallerIsBetter; of a comparison the candidate's numbers",
        of_run=lambda run, _: benchmark.action(run),
        of_comparison=lambda comparison, _: benchmark.action(comparison.candidate),
    ),
    "json": Format(
        help="everything, as one JSON document",
        of_run=lambda run, _: json.of_run(run),
        of_comparison=lambda comparison, _: json.of_comparison(comparison),
    ),
}
