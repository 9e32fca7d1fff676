"""``python -m matrix ci SYSTEM``: the file that has a CI system or a cluster validate every environment."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from matrix.cell import TIERS
from matrix.ci import buildkite, github, gitlab, kubernetes, slurm
from matrix.ci.task import Order, tasks
from matrix.errors import UserError
from matrix.expand import chosen
from matrix.expression import parse
from matrix.load import load_matrix
from matrix.runner import RUNNERS, load_runners

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?")
_ENDS_QUOTES: Final = re.compile(r"[\"`\\\n]")
_ONLY: Final = {"image": ("gitlab", "kubernetes"), "name": ("kubernetes",)}
_WRITERS: Final[dict[str, tuple[Callable[[Order], str], str]]] = {
    "github": (github.written, github.START),
    "gitlab": (gitlab.written, gitlab.START),
    "buildkite": (buildkite.written, buildkite.START),
    "slurm": (slurm.written, slurm.START),
    "kubernetes": (kubernetes.written, kubernetes.START),
}


def add(commands: Any) -> None:
    """The command line of ``ci``, among those of ``python -m matrix``."""
    parser = commands.add_parser("ci", help="write the jobs that validate every environment on a CI system or a cluster")
    parser.add_argument("system", choices=_WRITERS, help="what the file is for")
    parser.add_argument("--environment", nargs="+", default=[], metavar="GLOB", help="which environments (default: all)")
    parser.add_argument("--runner", nargs="+", default=[], metavar="GLOB", help="which runners (default: all)")
    parser.add_argument(
        "--runners", type=Path, default=RUNNERS, metavar="FILE", help="TOML file of runners (default: the matrix's)"
    )
    parser.add_argument("--tier", choices=TIERS, default="quick", help="how much to run (default: %(default)s)")
    parser.add_argument("--cells", default="*", metavar="EXPRESSION", help="which cells: globs joined by and, or, not")
    parser.add_argument(
        "--baseline", default="", metavar="DIR",
        help="folder of trusted runs, as `python -m reports merge` writes them: compared with, and their durations make shards "
        "equally long",
    )  # fmt: skip
    parser.add_argument(
        "--start", default="", metavar="COMMAND",
        help="what starts the suite, with {environment} and {platform} in it (default: through tox; on Kubernetes pytest)",
    )  # fmt: skip
    parser.add_argument(
        "--image", default="", metavar="IMAGE", help="of containers, with {environment} in it (gitlab, kubernetes)"
    )
    parser.add_argument(
        "--name", default="", help="of this validation, where several share a volume (kubernetes; default: validate)"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the file.

    Raises:
        UserError: an option cannot be used.
    """
    write, start = _WRITERS[options.system]
    parse(options.cells)
    _refuse(options)
    matrix = load_matrix()
    found = tasks(matrix.environments.values(), load_runners(options.runners).values(), options.environment, options.runner)
    for platform in dict.fromkeys(task.environment.platform for task in found):
        chosen(matrix, platform, options.tier, options.cells)  # or each of its jobs would find it out
    order = Order(
        tasks=found, tier=options.tier, cells=options.cells, baseline=options.baseline, start=options.start or start,
        image=options.image, name=options.name or "validate",
        command=shlex.join(["python", "-m", "matrix", *options.arguments]),
    )  # fmt: skip
    sys.stdout.write(write(order))
    return 0


def _refuse(options: argparse.Namespace) -> None:
    """What would be ignored, or would break a line of shell."""
    for option, systems in _ONLY.items():
        if getattr(options, option) and options.system not in systems:
            raise UserError(f"--{option} is for {' and '.join(systems)}, {options.system} has no use for it: leave it out")
    if options.name and not _NAME.fullmatch(options.name):
        raise UserError(f"--name is {options.name!r}, accepted: at most 20 small letters, digits and dashes")
    if _ENDS_QUOTES.search(options.baseline):
        raise UserError(f"--baseline is {options.baseline!r}, accepted: a path without quotes, backslashes and line breaks")
