"""Which release a requirement means, and what it needs in turn: asked of pip, which installs nothing for it.

https://pip.pypa.io/en/stable/reference/installation-report/
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from matrix.availability import release
from matrix.errors import UserError
from matrix.requirement import Requirement, project
from matrix.work_folder import work_folder

SECONDS = 600
MOST = 600  # characters of a message


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where requirements come from besides the index that pip is configured for, and whether pre-releases count."""

    index: str = ""
    pre: bool = False

    @property
    def options(self) -> tuple[str, ...]:
        """pip's own options."""
        return (*(("--extra-index-url", self.index) if self.index else ()), *(("--pre",) if self.pre else ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """One release. ``line`` installs exactly it, ``needs`` are the projects that it depends on, ``content`` tells one that is
    not from an index from another of the same version.
    """

    text: str
    project: str
    version: str
    line: str
    needs: tuple[str, ...] = ()
    content: str = ""

    @property
    def factor(self) -> str:
        """How it is spoken of in the name of an environment: ``transformers5.23.0``."""
        return f"{self.project}{self.version}" + (f"-{self.content[:8]}" if self.content else "")

    @property
    def pin(self) -> str:
        """The release that is claimed to be installed."""
        return f"{self.project}=={self.version}"


def resolve(requirement: Requirement, option: str, source: Source) -> Resolved:
    """The release that pip would install. What a pinned one is does not change, so it is asked once.

    Raises:
        UserError: there is none, in pip's own words.
    """
    known = work_folder() / "releases" / f"{requirement.project}-{requirement.version}.json"
    if not requirement.version:
        return _asked(requirement, option, source)
    if known.is_file():
        told = json.loads(known.read_text(encoding="utf-8"))
        return Resolved(**told | {"text": requirement.text, "needs": tuple(told["needs"])})
    resolved = _asked(requirement, option, source)
    known.parent.mkdir(parents=True, exist_ok=True)
    known.write_text(json.dumps(asdict(resolved)), encoding="utf-8")
    return resolved


def _asked(requirement: Requirement, option: str, source: Source) -> Resolved:
    command = ("install", "--dry-run", "--ignore-installed", "--no-deps", "--quiet", "--report", "-", *source.options)
    done = _pip(*command, requirement.line)
    if done.returncode:
        raise UserError(f"{option} {requirement.text!r}: pip: {complaint(done.stderr)}")
    try:
        told = json.loads(done.stdout[done.stdout.index("{") :])["install"][0]
        name, version, where = told["metadata"]["name"], told["metadata"]["version"], told["download_info"]
    except (ValueError, LookupError, TypeError) as error:
        raise UserError(f"{option} {requirement.text!r}: pip's report is unreadable ({error!r}): update pip") from None
    direct = bool(told.get("is_direct"))
    return Resolved(
        text=requirement.text,
        project=project(name),
        version=version,
        line=f"{project(name)} @ {_address(where)}" if direct else f"{project(name)}=={version}",
        needs=tuple(sorted({project(each) for each in told["metadata"].get("requires_dist", ()) if _unconditional(each)})),
        content=_content(where) if direct else "",
    )


def releases(name: str, after: str, until: str, source: Source) -> list[str]:
    """The releases of a project in an index after one up to another, oldest first.

    Raises:
        UserError: pip cannot list them.
    """
    done = _pip("index", "versions", name, *source.options)
    listed = re.search(r"Available versions: (.*)", done.stdout)
    if done.returncode or listed is None:
        raise UserError(f"--bisect: the releases of {name} cannot be listed: pip: {complaint(done.stderr)}")
    known = [version.strip() for version in listed.group(1).split(",")]
    between = [version for version in known if release(after) < release(version) < release(until)]
    return [*sorted(between, key=release), until]


def complaint(said: str) -> str:
    """The words by which pip, or uv in its place, gave up, on one line; what was tried before is left out."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", said)
    if told_by_uv := re.search(r"^error: (.*(?:\n +\S.*)*)", plain, re.MULTILINE):
        return " ".join(told_by_uv.group(1).replace(" cause: ", ": ").split()).replace(" :", ":")[:MOST]
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    causes = [line for line in lines if re.search(r" depends on |requested ", line) and not line.startswith("ERROR")]
    words = [*causes[:4], errors[-1]] if errors and causes else errors[-1:] or lines[-1:]
    return "; ".join(words)[:MOST] or "it said nothing"


def _pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pip", *arguments, "--disable-pip-version-check", "--no-input"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise UserError(f"pip did not answer within {SECONDS} s: `pip {' '.join(arguments)}`") from None
    if "No module named pip" in done.stderr:
        raise UserError("this Python has no pip: run `python -m ensurepip`, or run the suite from an environment that has it")
    return done


def _unconditional(requirement: str) -> bool:
    return "extra ==" not in requirement


def _address(where: dict[str, Any]) -> str:
    """Of a repository the commit, so that a branch that moves on is not taken for what was there before."""
    told = where.get("vcs_info")
    return f"{told['vcs']}+{where['url']}@{told['commit_id']}" if told else str(where["url"])


def _content(where: dict[str, Any]) -> str:
    """A name for what is installed: the commit, the file's hash, or the state of a folder's files."""
    if told := where.get("vcs_info"):
        return str(told["commit_id"])
    hashes = (where.get("archive_info") or {}).get("hashes") or {}
    if hashes:
        return str(next(iter(hashes.values())))
    path = Path(unquote(urlsplit(str(where["url"])).path))
    state = "\n".join(_states(path)) if path.is_dir() else str(where["url"])
    return hashlib.sha256(state.encode()).hexdigest()


def _states(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") or part == "__pycache__" for part in inside.parts):
            told = path.stat()
            yield f"{inside} {told.st_size} {told.st_mtime_ns}"
