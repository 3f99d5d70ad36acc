"""A page from a template that needs nothing else, loads nothing, and runs no script but its own."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


def offline_page(name: str, page: Mapping[str, Any]) -> str:
    """The HTML of templates/NAME.html.j2 with templates/NAME.js in it; `page` is shown as text, never run."""
    script = files("epistem.ask").joinpath("templates", f"{name}.js").read_text("utf-8")
    # With the script's hash in the policy, nothing that slipped out of a PDF or an answer could run.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return _environment().get_template(f"{name}.html.j2").render(page=page, policy=policy, script=Markup(script))


@cache
def _environment() -> Environment:
    # The names end in .j2, by which jinja would not know that they are HTML.
    return Environment(
        loader=PackageLoader("epistem.ask", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
