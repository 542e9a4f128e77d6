"""What mkdocs does besides rendering: formulas, the nav of the components, the tables of the configuration page."""

from __future__ import annotations

import html
import re
from typing import Any

from latex2mathml.converter import convert
from pydantic import BaseModel, create_model

from vaelab.catalogue import Argument, arguments
from vaelab.config import EarlyStoppingConfig, EvaluationConfig, Experiment, ModelConfig, TrainingConfig
from vaelab.registry import FAMILIES

_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
_UPRIGHT = re.compile(r'<mrow>((?:<mi mathvariant="normal">\w</mi>){2,})</mrow>')
_FUNCTION = re.compile(r"(<mi>(?:log|exp|min|max|tanh)</mi>)(?=<m(?:i|n|sub|sup|subsup|row|frac|style|over)\b)")
_BEFORE_FUNCTION = re.compile(r"(</(?:mi|mn|msub|msup|mfrac)>)(?=<mi>(?:log|exp|KL)</mi>)")
_THIN = '<mspace width="0.167em"/>'
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


def mathml(latex: str, *, block: bool) -> str:
    """One formula; raises where the converter does not know a command."""
    # of the names of functions the converter lacks this one
    latex = re.sub(r"\\(arg)(?=\W)", r"\\operatorname{\1}", latex)
    text = convert(latex.strip(), display="block" if block else "inline")
    left = re.search(r"\\[a-zA-Z]+", html.unescape(text))
    if left:
        raise ValueError(f"no MathML for {left[0]} in the formula {latex!r}")
    text = _UPRIGHT.sub(lambda found: f"<mi>{''.join(re.findall(r'>(.)<', found[1]))}</mi>", text)
    text = re.sub(r"<mo>([A-Za-z]{2,})</mo>", r"<mi>\1</mi>", text)
    # bars of norms: fonts without a table for mathematics stretch them out of line
    text = re.sub(
        r"<mo(?: fence=\"\w+\")?>(&#x02016;|&#x0007C;|&#x02225;|\|)</mo>", r'<mo stretchy="false">\1</mo>', text
    )
    return _BEFORE_FUNCTION.sub(rf"\1{_THIN}", _FUNCTION.sub(rf"\1{_THIN}", text))


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
    known = {argument.name: argument for argument in arguments(create_model("Fields", **plain))} | inner  # type: ignore[arg-type]
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
