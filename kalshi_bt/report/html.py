"""The report as one HTML file that needs nothing else: no network, no other file.

A content security policy in the page allows the scripts below by their hashes and nothing more, so
a text from the data can neither run as a script nor fetch anything. The library of the figures lies
in the page as text: the page's own script runs it when the page already answers.
"""

import json
from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from kalshi_bt.report.model import Run
from kalshi_bt.report.sections import SECTIONS

if TYPE_CHECKING:  # slow to import
    from jinja2 import Environment

TEMPLATES = "templates"
SCRIPTS = ("figures.js", "explorer.js", "page.js")  # one after the other, in one scope
DRAWN = ("reliability", "charts")  # tables of figures


def render_html(run: Run) -> str:
    """Return the report as the text of one self-contained HTML file.

    Parameters
    ----------
    run : Run
        What is shown.

    Returns
    -------
    str
        Below six megabytes, most of it the plotting library; the same run gives the same text.
    """
    parts = [section(run) for section in SECTIONS]
    found: dict[str, dict[str, Any]] = {"figures": {}, "tables": {}}
    for part in parts:
        found["figures"] |= part.figures
        found["tables"] |= part.tables
    return standalone("page.html.j2", found, run=run, parts=parts)


def standalone(template: str, island: Mapping[str, Any], **values: Any) -> str:
    """Return a page with its style, its scripts and what they read inside it.

    Parameters
    ----------
    template : str
        Name of a template, which escapes what it shows.
    island : mapping
        ``figures`` (element id to figure) and ``tables``, for the scripts.
    **values
        What the template shows.
    """
    from plotly.offline import get_plotlyjs  # noqa: PLC0415  slow to import

    scripts = {
        "early": _asset("early.js"),
        "page": _wrapped("\n".join(_asset(name) for name in SCRIPTS)),
    }
    if island["figures"] or any(map(island["tables"].get, DRAWN)):
        scripts["plotly"] = get_plotlyjs()
    return filled(
        template,
        style=_asset("page.css"),
        scripts=scripts,
        hashes=[_hash(script) for script in scripts.values()],
        island=_island(island),
        **values,
    )


def filled(template: str, **values: Any) -> str:
    """Return a template with values in it, each escaped."""
    return _pages().get_template(template).render(**values)


@cache
def _pages() -> "Environment":
    """Return what fills templates, once: to compile one takes longer than to fill it."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415  slow to import

    return Environment(
        loader=PackageLoader("kalshi_bt.report", TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _asset(name: str) -> str:
    return (files("kalshi_bt.report") / TEMPLATES / name).read_text(encoding="utf-8")


def _wrapped(script: str) -> str:
    """Keep the names of a script to itself; everything it shows stands in the page."""
    return f'(function () {{\n"use strict";\n{script}}})();\n'


def _hash(script: str) -> str:
    digest = b64encode(sha256(script.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _island(found: Mapping[str, Any]) -> str:
    """JSON that no text inside it can end: every ``<`` is written as an escape."""
    text = json.dumps(found, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
