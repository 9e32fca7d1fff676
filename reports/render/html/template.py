"""The template filled in: everything escaped, nothing loaded from anywhere, no script but the page's own."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from matrix.errors import UserError
from reports.render.text import address, plain, value
from reports.summary import words

FOLDER: Final = Path(__file__).parent
SCRIPTS: Final = ("dom", "data", "filter", "grid", "picture", "latency", "check", "panel", "main")
"""Files of ``script/`` in the order in which they are run, as one script."""
STYLES: Final = ("theme", "page", "grid", "plots", "panel", "narrow")
"""Files of ``style/``; a later one prevails."""


def rendered(page: Mapping[str, Any]) -> str:
    """The page. ``index`` and ``chunks`` of it go in as they are; raises UserError where jinja2 is not installed."""
    try:
        import jinja2
        from markupsafe import Markup
    except ImportError:
        raise UserError("--html: needs the package jinja2, which is not installed: pip install jinja2") from None

    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER / "templates"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
        finalize=lambda item: plain(item) if isinstance(item, str) and not isinstance(item, Markup) else item,
    )  # fmt: skip
    templates.filters |= {"address": lambda id: address("", id), "value": value, "words": words}
    style, script = "".join(_read(f"style/{name}.css") for name in STYLES), _script()
    inlined = {"css": Markup(style), "js": Markup(script), "policy": _policy(style, script)}
    data = {"index": Markup(page["index"]), "chunks": [Markup(chunk) for chunk in page["chunks"]]}
    return templates.get_template("page.html").render({**page, **inlined, **data})


def _script() -> str:
    parts = "\n".join(_read(f"script/{name}.js") for name in SCRIPTS)
    return f'"use strict";\n(() => {{\n{parts}}})();\n'


def _policy(style: str, script: str) -> str:
    """The content security policy under which markup that got in nevertheless could neither run nor load anything."""
    allowed = f"style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"


def _read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """What a content security policy names an inlined text by: https://www.w3.org/TR/CSP3/#grammardef-hash-source."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
