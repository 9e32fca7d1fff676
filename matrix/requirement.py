"""Requirements as pip takes them, as far as the suite must understand them: a project, and what is asked of it.

https://packaging.python.org/en/latest/specifications/dependency-specifiers/
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from matrix.errors import UserError

NAME: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
EXTRAS: Final = r"(?:\[[A-Za-z0-9._, -]*\])?"
VERSION: Final = r"[0-9]+(?:\.[0-9]+)*(?:(?:a|b|rc)[0-9]+)?(?:\.post[0-9]+)?(?:\.dev[0-9]+)?(?:\+[A-Za-z0-9.]+)?"
PINNED: Final = re.compile(rf"(?P<name>{NAME}){EXTRAS}==(?P<version>{VERSION})")
BY_INDEX: Final = re.compile(rf"(?P<name>{NAME}){EXTRAS}(?P<clauses>\s*(?:(?:===?|~=|!=|<=|>=|<|>)\s*[^\s;@]+\s*,?\s*)*)")
BY_ADDRESS: Final = re.compile(rf"(?P<name>{NAME}){EXTRAS}\s*@\s*(?P<address>\S+)")
WHEEL: Final = re.compile(rf"(?P<name>{NAME})-(?P<version>[^-]+)(?:-[^-]+)?-[^-]+-[^-]+-[^-]+\.whl")
FORMS: Final = "'transformers==5.23.0', 'torch>=2.14', a wheel, a checkout's folder, 'git+https://...' or 'NAME @ ADDRESS'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """What was asked for, as it was written. ``line`` is what pip is given, ``project`` is empty where only pip can tell,
    and ``version`` where it is not pinned.
    """

    text: str
    line: str
    project: str = ""
    version: str = ""


def project(requirement: str) -> str:
    """The project that a requirement speaks of, as PEP 503 writes it."""
    found = re.match(NAME, requirement.strip())
    return re.sub(r"[-_.]+", "-", found.group()).lower() if found else ""


def parse(text: str, option: str) -> Requirement:
    """A requirement of the command line: from the index, a file, a folder or an address.

    Raises:
        UserError: it is none of these.
    """
    text = text.strip()
    path = Path(text).expanduser()
    if named := BY_ADDRESS.fullmatch(text):
        return Requirement(text=text, line=text, project=project(named["name"]))
    if text.endswith(".whl") or "/" in text or (text and path.is_dir()):
        return _local(text, path, option)
    if pinned := PINNED.fullmatch(text):
        return Requirement(text=text, line=text, project=project(pinned["name"]), version=pinned["version"])
    if asked := BY_INDEX.fullmatch(text):
        return Requirement(text=text, line=text, project=project(asked["name"]))
    raise UserError(f"{option} {text!r} is no requirement, accepted: {FORMS}")


def _local(text: str, path: Path, option: str) -> Requirement:
    if re.match(r"(git|hg|svn|bzr)\+|https?://|file://", text):
        return Requirement(text=text, line=text)
    if not path.exists():
        raise UserError(f"{option} {text!r}: there is no such file or folder, accepted: {FORMS}")
    if path.is_dir():
        if not any((path / name).is_file() for name in ("pyproject.toml", "setup.py")):
            raise UserError(f"{option} {text!r}: the folder holds no Python project (no pyproject.toml and no setup.py)")
        return Requirement(text=text, line=path.resolve().as_uri())
    named = WHEEL.fullmatch(path.name)
    if named is None:
        raise UserError(f"{option} {text!r}: the file is no wheel, whose name is NAME-VERSION-PYTHON-ABI-PLATFORM.whl")
    return Requirement(text=text, line=path.resolve().as_uri(), project=project(named["name"]))
