"""Secrets of the environment, kept out of everything that is written: tokens, passwords, what precedes the @ of an address."""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote

HIDDEN: Final = "[hidden]"
SHORTEST: Final = 6
"""Characters of the shortest value that is hidden: a shorter one stands in too many words, and guards nothing."""

_NAMES: Final = re.compile(
    r"TOKEN(?!IZERS)|PASSWORD|PASSWD|PASSPHRASE|SECRET|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|CREDENTIAL|(?:^|_)AUTH(?:$|_)",
    re.IGNORECASE,
)
_ADDRESS: Final = re.compile(r"(?<=://)[^/\s@'\"]+(?=@)")
"""What stands between the scheme and the host of an address (https://www.rfc-editor.org/rfc/rfc3986#section-3.2.1)."""
_SHAPES: Final = re.compile(
    r"\b(?:hf_|api_org_|ghp_|gho_|ghs_|github_pat_|glpat-|sk-)[A-Za-z0-9_-]{16,}|(?<=Bearer )[A-Za-z0-9._~+/=-]{8,}"
)
"""Tokens that are known by their beginning, wherever they come from."""

Hide = Callable[[str], str]


def hider(environment: Mapping[str, str] = os.environ, home: Path | None = None) -> Hide:
    """A function that hides the secrets of an environment, and whatever looks like one, in a text."""
    found = sorted({*_values(environment), *_kept(environment, home)}, key=len, reverse=True)
    known = re.compile("|".join(map(re.escape, found))) if found else None

    def hide(text: str) -> str:
        shown = known.sub(HIDDEN, text) if known else text
        return _SHAPES.sub(HIDDEN, _ADDRESS.sub(HIDDEN, shown))

    return hide


def hidden(tree: Any, hide: Hide) -> Any:
    """A nested value with the secrets of all its texts hidden."""
    if isinstance(tree, str):
        shown = hide(tree)
        return tree if shown == tree else shown
    if isinstance(tree, Mapping):
        return {hide(key) if isinstance(key, str) else key: hidden(value, hide) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [hidden(value, hide) for value in tree]
    return tree


def _values(environment: Mapping[str, str]) -> Iterator[str]:
    for name, value in environment.items():
        if _NAMES.search(name) and len(value) >= SHORTEST and not Path(value).is_absolute():
            yield from _spellings(value)
        for address in _ADDRESS.findall(value):
            parts = (address, *address.split(":", 1))
            yield from (spelling for part in parts if len(part) >= SHORTEST for spelling in _spellings(part))


def _kept(environment: Mapping[str, str], home: Path | None) -> Iterator[str]:
    """The token that huggingface_hub keeps in a file
    (https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables#hftokenpath).
    """
    cache = Path(environment.get("HF_HOME") or (home or Path.home()) / ".cache" / "huggingface")
    for path in {Path(environment.get("HF_TOKEN_PATH") or cache / "token"), cache / "stored_tokens"}:
        try:
            kept = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        yield from (word for word in kept.split() if len(word) >= SHORTEST and _SHAPES.fullmatch(word))


def _spellings(value: str) -> Iterator[str]:
    """As it is, and as it stands in an address, in JSON, in XML, and where Python shows it."""
    inside = (json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1], ascii(value)[1:-1])
    yield from {value, unquote(value), quote(value, safe=""), html.escape(value), html.escape(value, quote=False), *inside}
