"""What vaelab's pages have in common: one style, templates that escape everything, and a policy that lets nothing else in."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import metadata
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["base_style", "policy", "source", "template", "version"]


@cache
def source(package: str, name: str) -> str:
    """The text of a file in the folder `page` of a package, such as `vaelab.report`."""
    return (files(package) / "page" / name).read_text(encoding="utf-8")


@cache
def base_style() -> str:
    """The style that every page begins with: colours (light and dark), type, tables, buttons."""
    return (files("vaelab.pages") / "base.css").read_text(encoding="utf-8")


@cache
def template(package: str, name: str) -> Template:
    """A template from the folder `page` of a package. What it is given is escaped unless it is `Markup`."""
    from jinja2 import Environment, StrictUndefined

    # nothing that a run holds ever becomes Markup unescaped
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(source(package, name))


def policy(style: str, script: str, *more: str) -> str:
    """A content security policy under which nothing is loaded and only one style and one script run, named by their hashes.

    Args:
        style: text of the page's style element.
        script: text of its script element.
        more: further directives, such as `connect-src 'self'`.
    """

    def named(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    return "; ".join(
        (
            "default-src 'none'",
            "img-src data:",
            f"style-src 'sha256-{named(style)}'",
            f"script-src 'sha256-{named(script)}'",
            "base-uri 'none'",
            "form-action 'none'",
            *more,
        )
    )


@cache
def version() -> str:
    """The version of the installed vaelab, or that there is none."""
    try:
        return metadata.version("vaelab")
    except metadata.PackageNotFoundError:
        return "of a checkout"
