"""What every page shares: the template environment, style sheets, scripts and the policy that lets nothing else in.

Not for what a page says: that is each report's own.
"""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports import charts

if TYPE_CHECKING:
    from jinja2 import Environment

HERE = Path(__file__).parent


def environment(*before: Path) -> Environment:
    """Templates of the reports, those in `before` first; everything is escaped, nothing may be undefined."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    found = Environment(
        loader=FileSystemLoader([*before, HERE / "templates"]),
        autoescape=True,
        undefined=StrictUndefined,
        lstrip_blocks=True,
    )
    found.policies["json.dumps_kwargs"] = {"sort_keys": False}  # BokehJS resolves references in writing order
    return found


def frame(drawn: object, styles: Sequence[str], assets: Sequence[str] = ()) -> dict[str, Any]:
    """What a template's head and end take: style, scripts (Bokeh's only where there are charts) and policy.

    Args:
        drawn: The charts.
        styles: Files of the style sheet.
        assets: Scripts of the page's own, after the common one.
    """
    scripts = [*([charts.script()] if drawn else []), *map(asset, ("report.js", *assets))]
    return {"style": "".join(map(asset, styles)), "scripts": scripts, "policy": _policy(scripts)}


def thumbs(jpegs: Sequence[bytes]) -> list[str]:
    """Thumbnails as a page holds them."""
    return [base64.b64encode(jpeg).decode("ascii") for jpeg in jpegs]


def asset(name: str) -> str:
    """The text of a file of the reports' assets."""
    return (HERE / "assets" / name).read_text(encoding="utf-8").replace("\r\n", "\n")


def quoted(name: str) -> str:
    """`name` as an argument that a shell takes as one word."""
    return shlex.quote(name)


def _policy(scripts: Sequence[str]) -> str:
    """Content security policy: our own scripts by hash, inline styles and pictures, nothing from anywhere."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in scripts
    )
    return (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {hashes}; "
        "base-uri 'none'; form-action 'none'"
    )
