"""``python -m matrix``: ``list`` says every cell and for each that cannot run the measured reason; ``validate`` says whether a
release may ship; ``ci`` writes the jobs of a CI system or a cluster.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from matrix import validate
from matrix.availability import Facts, load_facts, probe, reason
from matrix.cell import PLATFORMS, TIERS, Cell
from matrix.ci import command as ci
from matrix.errors import UserError
from matrix.expand import checks_of, chosen
from matrix.expression import parse
from matrix.load import Matrix, load_matrix


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0, or 2 with one line when the input cannot be used."""
    options = _parser().parse_args(arguments)
    options.arguments = sys.argv[1:] if arguments is None else arguments
    try:
        code: int = options.run(options)
        return code
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m matrix", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="every cell, and for each that cannot run here the reason")
    machine = listing.add_mutually_exclusive_group()
    machine.add_argument("--platform", choices=("auto", *PLATFORMS), default="auto", help="what to list (default: %(default)s)")
    listing.add_argument("--tier", choices=TIERS, default="full", help="up to which tier (default: %(default)s)")
    machine.add_argument("--facts", type=Path, metavar="FILE", help="facts measured earlier with `python -m fixtures.platform`")
    listing.add_argument("--cells", default="*", metavar="EXPRESSION", help="globs joined by and, or, not")
    listing.set_defaults(run=_list)
    validate.add_command(commands)
    ci.add(commands)
    return parser


def _list(options: argparse.Namespace) -> int:
    matrix = load_matrix()
    parse(options.cells)  # a malformed expression is said before the machine is probed
    facts = load_facts(options.facts) if options.facts else probe(options.platform)
    listed = chosen(matrix, facts.platform, options.tier, options.cells)
    for cell in listed:
        print(f"{cell.id:60} {_state(cell, matrix, facts, options.tier)}")
    print(_total(listed, matrix, facts, options.tier))
    return 0


def _state(cell: Cell, matrix: Matrix, facts: Facts, tier: str) -> str:
    if why := reason(cell, facts):
        return f"cannot run: {why.sentence}"
    planned = list(checks_of(cell, matrix, tier))
    if planned[0].refusal and planned[0].subject == "build":
        return "must be refused when it is built"
    refused = sum(check.kind == "refuses" for check in planned)
    return f"{len(planned)} checks" + (f", {refused} of them refusals" if refused else "")


def _total(listed: list[Cell], matrix: Matrix, facts: Facts, tier: str) -> str:
    able = [cell for cell in listed if not reason(cell, facts)]
    count = sum(1 for cell in able for _ in checks_of(cell, matrix, tier))
    return f"{len(listed)} cells on {facts.platform}, {len(able)} can run here with {count} checks (tier {tier})"


if __name__ == "__main__":
    sys.exit(main())
