"""What mkdocs does besides rendering: formulas, the nav of the components, the tables of the configuration page."""

from __future__ import annotations

import html
import re
from typing import Any

from pydantic import BaseModel, create_model

from vaelab.catalogue import Argument, arguments
from vaelab.config import EarlyStoppingConfig, EvaluationConfig, Experiment, ModelConfig, TrainingConfig
from vaelab.registry import FAMILIES
from vaelab.report.mathematics import mathml

_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
_FIELDS = re.compile(r"^<!-- fields: (\w+) -->$", re.MULTILINE)

SECTIONS: dict[str, type[BaseModel]] = {
    "experiment": Experiment,
    "model": ModelConfig,
    "training": TrainingConfig,
    "early_stopping": EarlyStoppingConfig,
    "evaluation": EvaluationConfig,
}


def on_config(config: Any) -> Any:
    """One nav entry a family, so that a new family needs no edit."""
    pages = [{title(family): f"components/{family}.md"} for family in FAMILIES]
    for section in config["nav"]:
        for entry in section.get("Reference", ()):
            if "Components" in entry:
                entry["Components"] = [{"Overview": "components/index.md"}, *pages]
    return config


def on_page_markdown(markdown: str, **_: Any) -> str:
    """`<!-- fields: training -->` becomes the table of that section's fields."""
    return _FIELDS.sub(lambda found: field_table(section_fields(found[1])), markdown)


def on_page_content(page_html: str, **_: Any) -> str:
    """LaTeX becomes MathML, which browsers draw without a script."""
    return _FORMULA.sub(lambda found: mathml(html.unescape(found[2]), block=found[1] == "div"), page_html)


def title(family: str) -> str:
    """`early_stopping` to `Early stopping`."""
    return family.replace("_", " ").capitalize()


def section_fields(name: str) -> list[Argument]:
    """The fields of a section of the experiment; a section inside it refers to its own table."""
    fields = {}
    inner = {}
    for key, field in SECTIONS[name].model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel) and key in SECTIONS:
            default = "required" if field.is_required() else "{}"
            inner[key] = Argument(key, "object, see below", default, field.description or "")
        elif key != "schema_url":
            fields[key] = (field.annotation, field)
    plain: dict[str, Any] = fields
    known = {argument.name: argument for argument in arguments(create_model("Fields", **plain))} | inner
    return [known[key] for key in SECTIONS[name].model_fields if key in known]


def field_table(fields: list[Argument]) -> str:
    """A Markdown table of keys."""
    if not fields:
        return "It takes no keys beside `kind`."
    rows = ["| key | type | default | what it does |", "| --- | --- | --- | --- |"]
    for field in fields:
        default = "required" if field.default == "required" else f"`{field.default}`" if field.default else ""
        cells = (f"`{field.name}`", f"`{field.type}`", default, field.description)
        rows.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return "\n".join(rows)


def _cell(text: str) -> str:
    # a bar ends the cell, but for code; inside formulas the docstrings write \mid and \|
    parts = re.split(r"(`[^`]+`|\$[^$]+\$)", text)
    return "".join(part if part.startswith(("$", "`")) else part.replace("|", "\\|") for part in parts)
