"""Formulas of docstrings as MathML, which browsers draw without a script and read aloud."""

from __future__ import annotations

import html
import re

from markupsafe import Markup, escape

_UPRIGHT = re.compile(r'<mrow>((?:<mi mathvariant="normal">\w</mi>){2,})</mrow>')
_FUNCTION = re.compile(r"(<mi>(?:log|exp|min|max|tanh)</mi>)(?=<m(?:i|n|sub|sup|subsup|row|frac|style|over)\b)")
_BEFORE_FUNCTION = re.compile(r"(</(?:mi|mn|msub|msup|mfrac)>)(?=<mi>(?:log|exp|KL)</mi>)")
_THIN = '<mspace width="0.167em"/>'
_PARTS = re.compile(r"(`[^`]+`|\$[^$]+\$)")


def mathml(latex: str, *, block: bool) -> str:
    """One formula.

    Raises:
        ValueError: the converter does not know a command.
    """
    from latex2mathml.converter import convert

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


def marked_up(text: str) -> Markup:
    """A line of a docstring with its formulas and its code; all else is escaped."""
    return Markup("").join(_part(part) for part in _PARTS.split(" ".join(text.split())))


def _part(text: str) -> Markup:
    if text.startswith("`"):
        return Markup("<code>{}</code>").format(text.strip("`"))
    if text.startswith("$") and len(text) > 2:
        try:
            return Markup('<span class="formula">{}</span>').format(Markup(mathml(text.strip("$"), block=False)))
        except Exception:  # of a plugin's docstring, and whatever the converter raises: the source is shown
            return Markup("<code>{}</code>").format(text.strip("$"))
    return escape(text)
