"""Known failures: which checks, under which versions, with which outcome, whose issue, and until when."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from matrix.cell import PLATFORMS, Check
from matrix.expression import parse
from matrix.table import Table

ACCEPTED_OUTCOMES = ("failed", "refused", "crashed", "timed_out", "out_of_memory", "reference_broken")
# Native libraries of which the probe tells whether the dynamic loader finds them by itself, by the names that ldconfig has.
LOADABLE = ("cublasLt", "cudnn")
# Features of processors that decide which kernels run on the CPU, as /proc/cpuinfo spells them.
PROCESSOR_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_int8", "amx_bf16")
# The part of PEP 440 that anybody writes; whatever it accepts, packaging accepts too.
_RELEASE = r"[0-9]+(?:\.[0-9]+)*"
_SUFFIX = r"(?:(?:a|b|rc)[0-9]+)?(?:\.post[0-9]+)?(?:\.dev[0-9]+)?"
_CLAUSE = (
    rf"(?:(?:==|!=)\s*{_RELEASE}(?:\.\*|{_SUFFIX}(?:\+[a-z0-9]+(?:\.[a-z0-9]+)*)?)"
    rf"|(?:<=|>=|<|>)\s*{_RELEASE}{_SUFFIX}|~=\s*[0-9]+(?:\.[0-9]+)+{_SUFFIX})"
)
SPECIFIER = re.compile(rf"\s*{_CLAUSE}\s*(?:,\s*{_CLAUSE}\s*)*", re.ASCII)
# Signs of a pattern: the message is looked for as it stands, and would never be found.
PATTERN = (".*", "|", "\\")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """One known failure. ``versions`` maps a package to a PEP 440 specifier; all must hold for it to apply.

    ``processor`` are features that the processor must have; of those of ``processor_lacks`` it must lack one. ``unfound`` are
    native libraries that the dynamic loader must not find by itself, ``gpus`` is how many GPUs there must be, 0 any number.
    """

    cells: str
    checks: tuple[str, ...]
    platforms: tuple[str, ...]
    versions: Mapping[str, str]
    outcome: str
    message: str
    url: str
    expires: datetime.date
    processor: tuple[str, ...] = ()
    processor_lacks: tuple[str, ...] = ()
    unfound: tuple[str, ...] = ()
    gpus: int = 0

    def covers(self, check: Check) -> bool:
        """Whether it speaks of this check, its condition left aside."""
        return self.about(check.what) and check.cell.platform in self.platforms and parse(self.cells)(check.cell)

    def about(self, what: str) -> bool:
        """Whether it speaks of checks like this one, ``correct[decode]``, of some cell."""
        return any(fnmatchcase(what, pattern.replace("[", "[[]")) for pattern in self.checks)

    @property
    def name(self) -> str:
        """How reports speak of it."""
        return f"{self.cells} :: {', '.join(self.checks)}"


def load_expectation(table: Table) -> Expectation:
    """One ``[[expectation]]`` of expectations.toml.

    Raises:
        UserError: a key is unknown, missing or not usable.
    """
    versions = table.choices("versions", {}, keys=(), values=())
    for package, specifier in versions.items():
        if not isinstance(specifier, str) or not SPECIFIER.fullmatch(specifier):
            raise table.error("versions", f"of {package!r} is {specifier!r}, a specifier such as '>=5.0, <5.2' is accepted")
    expectation = Expectation(
        cells=table.text("cells"),
        checks=table.texts("checks"),
        platforms=table.texts("platforms", PLATFORMS, accepted=PLATFORMS),
        versions=versions,
        outcome=table.text("outcome", accepted=ACCEPTED_OUTCOMES),
        message=table.text("message", ""),
        url=table.text("url"),
        expires=_date(table, "expires"),
        processor=table.texts("processor", (), accepted=PROCESSOR_FEATURES),
        processor_lacks=table.texts("processor_lacks", (), accepted=PROCESSOR_FEATURES),
        unfound=table.texts("unfound", (), accepted=LOADABLE),
        gpus=table.integer("gpus", 0),
    )
    if expectation.gpus < 0:
        raise table.error("gpus", f"is {expectation.gpus}, a number of GPUs is accepted")
    if any(sign in expectation.message for sign in PATTERN):
        raise table.error("message", f"is {expectation.message!r}, words as they stand in the message are accepted, no pattern")
    if not expectation.url.startswith("https://"):
        raise table.error("url", f"is {expectation.url!r}, the https address of an issue is accepted")
    table.done()
    parse(expectation.cells, f"{table.path.name}: {table.where}.cells is")
    return expectation


def _date(table: Table, key: str) -> datetime.date:
    text = table.text(key)
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise table.error(key, f"is {text!r}, a date such as '2027-03-31' is accepted") from None
