"""The explorer's page: one text that holds nothing of a run, and the policy that it is sent with."""

from __future__ import annotations

from markupsafe import Markup

from vaelab.explorer.handler import TOKEN
from vaelab.explorer.requests import MOST_ITEMS
from vaelab.pages import base_style, policy, source, template, version

#: Parts of the script, in their order.
_SCRIPTS = (
    "core.js",
    "items.js",
    "picker.js",
    "units.js",
    "latents.js",
    "walk.js",
    "canvas.js",
    "code.js",
    "sample.js",
    "main.js",
)


def page() -> tuple[str, str]:
    """The HTML, and its content security policy."""
    here = "vaelab.explorer"
    style = base_style() + source(here, "explorer.css")
    parts = "\n".join(source(here, name) for name in _SCRIPTS)
    script = f'"use strict";\n(() => {{\n{parts}\n}})();\n'
    html = template(here, "explorer.html.jinja").render(
        style=Markup(style), script=Markup(script), version=version(), token=TOKEN, most=MOST_ITEMS
    )
    return html, policy(style, script, "connect-src 'self'", "frame-ancestors 'none'")
