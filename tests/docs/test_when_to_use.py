"""Every component of a model says when it helps and when not."""

from __future__ import annotations

import re

import pytest

from vaelab.catalogue import docstring
from vaelab.registry import FAMILIES, Entry

TOLD = (
    "encoder",
    "posterior",
    "prior",
    "decoder",
    "likelihood",
    "divergence",
    "objective",
    "sampler",
    "extractor",
    "schedule",
    "optimiser",
    "metric",
)
#: Families whose kinds cost next to nothing, or what their network does.
FREE = ("schedule.", "optimiser.", "extractor.")
ENTRIES = [
    pytest.param(entry, id=f"{family}.{entry.kind}")
    for family in TOLD
    for entry in FAMILIES[family]
    if entry.module.startswith("vaelab.")
]


@pytest.mark.parametrize("entry", ENTRIES)
def test_says_when_to_use_it(entry: Entry):
    paragraphs = re.split(r"\n\s*\n", docstring(entry))
    advice = [text for text in paragraphs if text.startswith("Use it ")]
    assert len(advice) == 1, 'the docstring of the class has one paragraph that starts with "Use it ..."'
    assert advice[0].endswith(".")
    assert len(advice[0].split()) >= 6


def test_components_of_a_family_do_not_share_their_advice():
    advice = [re.search(r"^Use it .*", docstring(entry.values[0]), re.M | re.S) for entry in ENTRIES]
    texts = [found[0] for found in advice if found]
    assert len(texts) == len(set(texts)) >= 100


@pytest.mark.parametrize("entry", [param for param in ENTRIES if param.id.startswith("metric.")])
def test_a_metric_states_bias_cost_and_source(entry: Entry):
    text = docstring(entry)
    assert re.search(r"(\*Bias\*|Bias):\s", text), "say whether the estimate is biased, and which way"
    assert re.search(r"(\*Cost\*|Cost):\s", text), "say what it costs"
    assert "$" in text, "give the formula"


@pytest.mark.parametrize("entry", [param for param in ENTRIES if not param.id.startswith(FREE)])
def test_a_component_states_its_cost(entry: Entry):
    assert re.search(r"(\*Cost\*|Cost):\s\S.*?\.", docstring(entry), re.S), "say what it costs in time or parameters"
