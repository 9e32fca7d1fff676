"""``python -m reports``: a table of commands, and what each of them prints and writes."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TextIO

from matrix.errors import UserError
from reports import ab, fleet, merge
from reports.compare import compare, exit_code
from reports.document import reason
from reports.formats import FORMATS, Format
from reports.history import LAST, read_history
from reports.render import fleet as of_fleet
from reports.render import html, onnxruntime, placement, quantization, speedup, terminal, trend, trend_plot, trials
from reports.render.text import plain
from reports.reproducer import case, issue, script
from reports.run import Run
from reports.scaling import scaling
from reports.store import latest, read_run
from reports.summary import judge
from reports.thresholds import load_thresholds
from reports.trend import find

ROOT: Final = Path("runs")
WIDEST: Final = 160

EXITS: Final = (
    "exit codes: 0 the run is good, nothing got worse; 1 the run is not good, something regressed, newly fails or is "
    "missing; 2 the input cannot be used; 3 evidence is insufficient and --fail-on-inconclusive was given"
)


def main(arguments: Sequence[str] | None = None, out: TextIO | None = None, err: TextIO | None = None) -> int:
    """Runs one command and returns its exit code; bad input is one line on ``err`` and 2."""
    out, err = out or sys.stdout, err or sys.stderr
    options = _parser().parse_args(arguments)
    try:
        code: int = options.command(options, out)
    except UserError as error:
        print(f"error: {plain(str(error))}", file=err)
        return 2
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m reports", description="Says what a run was, or what changed between two.", epilog=EXITS
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    show = commands.add_parser("show", help="what one run found", epilog=EXITS)
    show.add_argument("run", metavar="RUN", help="folder of a run, or 'latest' for the last one below ./runs")
    show.set_defaults(command=_show)
    both = commands.add_parser("compare", help="what got worse or better between two runs", epilog=EXITS)
    both.add_argument("baseline", metavar="BASELINE", help="folder of the trusted run")
    both.add_argument("candidate", metavar="CANDIDATE", help="folder of the run to judge, or 'latest'")
    both.add_argument(
        "--fail-on-inconclusive", action="store_true", help="exit with 3 where evidence is too thin for a verdict"
    )
    both.set_defaults(command=_compare)
    turns = ab.add(commands, EXITS)
    turns.add_argument("--fail-on-inconclusive", action="store_true", help="exit with 3 where evidence is too thin")
    turns.set_defaults(command=_ab)
    tried = commands.add_parser("trials", help="how well changes of latency are told, from the runs of folders")
    tried.add_argument("folders", metavar="FOLDER", type=Path, nargs="+", help="as given to python -m fixtures.latency.trials")
    tried.set_defaults(command=_trials)
    plots = commands.add_parser("speedup", help="the guide's figures: speed-up over eager attention, drawn from one run")
    plots.add_argument("run", metavar="RUN", help="folder of a run, or 'latest' for the last one below ./runs")
    plots.add_argument(
        "--to", metavar="DIR", type=Path, default=None, help="also draw the figures into this folder (matplotlib)"
    )
    plots.set_defaults(command=_speedup)
    sizes = commands.add_parser("quantization", help="size, error and quality of the quantized configurations of one run")
    sizes.add_argument("run", metavar="RUN", help="folder of a run, or 'latest' for the last one below ./runs")
    sizes.add_argument(
        "--model", metavar="NAME", default="llama-tiny", help="model whose sizes are shown (default: %(default)s)"
    )
    sizes.set_defaults(command=_quantization)
    joining = commands.add_parser("merge", help="join shards, and put runs of several environments side by side", epilog=EXITS)
    joining.add_argument("parts", metavar="PARTS", type=Path, help="folder of the parts; those in one folder are of one run")
    joining.add_argument("--into", metavar="RUNS", type=Path, required=True, help="folder to write the joined runs to")
    joining.add_argument(
        "--expect", metavar="NAME", nargs="+", default=[], help="folders of PARTS of which parts must be there"
    )
    joining.add_argument(
        "--baseline", metavar="RUNS", type=Path, help="folder of trusted runs of the same names, to compare with"
    )
    joining.add_argument("--markdown", metavar="F", type=Path, help="also write markdown to file F")
    joining.add_argument("--html", metavar="F", type=Path, help="also write html to file F")
    joining.add_argument("--all", action="store_true", help="show every entry, however many there are")
    joining.set_defaults(command=_merge)
    places = commands.add_parser("placement", help="where the placed models of one run are, and what copies cost them")
    places.add_argument("run", metavar="RUN", help="folder of a run, or 'latest' for the last one below ./runs")
    places.add_argument(
        "--alone", metavar="RUN", type=Path, help="a run of the same checks with one worker: how much faster several were"
    )
    places.set_defaults(command=_placement)
    asked = commands.add_parser("issue", help="a script for a library's maintainers that shows what a check found")
    asked.add_argument("run", metavar="RUN", help="folder of a run, or 'latest' for the last one below ./runs")
    asked.add_argument("name", metavar="CELL", help="a cell, whose worst check is taken, or a check")
    asked.add_argument("--markdown", metavar="F", type=Path, help="also write the text of an issue, with the script, to file F")
    asked.set_defaults(command=_issue)
    many = commands.add_parser("trend", help="what changed over many runs, which had it first, and what was new in it")
    many.add_argument("store", metavar="STORE", type=Path, help="folder below which runs were recorded, such as ./runs")
    many.add_argument(
        "--last", metavar="N", type=_count, default=LAST, help="how many runs, the latest, to look at (default: %(default)s)"
    )
    many.add_argument("--plot", metavar="F", type=Path, help="also draw it, into an svg, png or pdf file F (matplotlib)")
    many.add_argument("--markdown", metavar="F", type=Path, help="also write markdown to file F")
    many.add_argument("--json", metavar="F", type=Path, help="also write json to file F")
    many.set_defaults(command=_trend)
    many.add_argument("--all", action="store_true", help="show every entry, however many there are")
    nodes = commands.add_parser("onnxruntime", help="nodes and time by provider of the exported models of one run")
    nodes.add_argument("run", metavar="RUN", help="folder of a run, or 'latest' for the last one below ./runs")
    nodes.set_defaults(command=_onnxruntime)
    for command in (show, both, turns):
        for name, form in FORMATS.items():
            command.add_argument(f"--{name}", metavar="F", type=Path, help=f"also write {form.help} to file F")
        command.add_argument("--link", metavar="URL", default="", help="address of the HTML page, for links into it")
        command.add_argument("--all", action="store_true", help="show every entry, however many there are")
    return parser


def _show(options: argparse.Namespace, out: TextIO) -> int:
    run = _run(options.run)
    _write(options, lambda form: form.of_run(run, options.link))
    _print(terminal.show(run, _page(options, out)), out)
    return 0 if judge(run).good else 1


def _compare(options: argparse.Namespace, out: TextIO) -> int:
    baseline, candidate = _run(options.baseline), _run(options.candidate)
    if baseline.folder.resolve() == candidate.folder.resolve():
        raise UserError(f"{candidate.folder}: is the run that it is compared with; name another")
    comparison = compare(baseline, candidate, load_thresholds())
    _write(options, lambda form: form.of_comparison(comparison, options.link))
    _print(terminal.compared(comparison, _page(options, out)), out)
    return exit_code(comparison, fail_on_inconclusive=options.fail_on_inconclusive)


def _ab(options: argparse.Namespace, out: TextIO) -> int:
    options.baseline, options.candidate = ab.measured(options)
    return _compare(options, out)


def _trials(options: argparse.Namespace, out: TextIO) -> int:
    _print(trials.table(options.folders), out)
    return 0


def _speedup(options: argparse.Namespace, out: TextIO) -> int:
    run = _run(options.run)
    if options.to is not None:
        speedup.draw(run, options.to)
    _print(speedup.table(run), out)
    return 0


def _trend(options: argparse.Namespace, out: TextIO) -> int:
    thresholds = load_thresholds()
    found = find(read_history(options.store, options.last), thresholds)
    for name, text in (("markdown", trend.in_markdown), ("json", trend.in_json)):
        if (path := getattr(options, name)) is not None:
            _write_file(f"--{name}", path, text(found))
    if options.plot is not None:
        trend_plot.draw(found, thresholds, options.plot)
    _print(trend.show(found, _page(options, out)), out)
    return 0


def _issue(options: argparse.Namespace, out: TextIO) -> int:
    found = case(_run(options.run), options.name)
    if options.markdown is not None:
        _write_file("--markdown", options.markdown, issue(found))
    _print(script(found), out)
    return 0


def _quantization(options: argparse.Namespace, out: TextIO) -> int:
    _print(quantization.table(_run(options.run), options.model), out)
    return 0


def _onnxruntime(options: argparse.Namespace, out: TextIO) -> int:
    _print(onnxruntime.table(_run(options.run)), out)
    return 0


def _merge(options: argparse.Namespace, out: TextIO) -> int:
    found = fleet.parts(options.parts)
    joined = {name: merge.joined([read_run(part) for part in parts]) for name, parts in found.items()}
    runs = {name: merge.write(run, options.into / name) for name, run in joined.items()}
    together = fleet.fleet(runs, options.expect, options.baseline, load_thresholds(), joined)
    for name, text in (("markdown", of_fleet.in_markdown), ("html", html.together)):
        if (path := getattr(options, name)) is not None:
            _write_file(f"--{name}", path, text(together))
    _print(of_fleet.show(together, _page(options, out)), out)
    return together.exit


def _placement(options: argparse.Namespace, out: TextIO) -> int:
    run, alone = _run(options.run), read_run(options.alone) if options.alone is not None else None
    _print(placement.table(run), out)
    if alone is not None:
        found = scaling(alone, run)
        _print(f"{found.sentence if found else 'no check is in both runs'}\n", out)
    return 0


def _run(name: str) -> Run:
    return read_run(latest(ROOT) if name == "latest" else Path(name))


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of at least 1")
    return int(text)


def _page(options: argparse.Namespace, out: TextIO) -> terminal.Page:
    return terminal.page_for(out, min(shutil.get_terminal_size((WIDEST, 50)).columns, WIDEST), all=options.all)


def _write(options: argparse.Namespace, render: Callable[[Format], str]) -> None:
    for name, form in FORMATS.items():
        path: Path | None = getattr(options, name.replace("-", "_"))
        if path is not None:
            _write_file(f"--{name}", path, render(form))


def _write_file(option: str, path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except (OSError, ValueError) as error:
        raise UserError(f"{option} {path}: cannot be written: {reason(error)}") from None


def _print(text: str, out: TextIO) -> None:
    """A terminal that cannot show a character gets it escaped; one that went away changes no exit code.

    See https://docs.python.org/3/library/signal.html#note-on-sigpipe.
    """
    encoding = out.encoding or "utf-8"
    try:
        out.write(text.encode(encoding, "backslashreplace").decode(encoding))
        out.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())


if __name__ == "__main__":
    sys.exit(main())
