"""Every component says when it helps and when not, what it computes, who wrote of it, and what it costs."""

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
#: What some kinds do not state, by the beginning of FAMILY.KIND, with the reason.
NO_FORMULA = {
    "dataset.": "a data set is read and computes nothing; wrappers that do say how",
    "figure.": "a figure shows what a metric, a distribution or the history defines",
    "tracker.": "nothing is computed",
}
NO_SOURCE = {
    "dataset.arrays": "the user's own data",
    "dataset.huggingface": "the user's own data",
    "dataset.image_folder": "the user's own data",
    "dataset.table": "the user's own data",
    "schedule.constant": "nobody's idea",
    "schedule.exponential": "nobody's idea",
    "figure.": "pictures of the run itself; those that follow a paper name it",
    "tracker.": "programs that are named in the text",
}
NO_COST = {"tracker.": "what the program behind it takes, which is not vaelab's"}
#: A year stands where a source does.
STATED = {
    "formula": (r"\$", NO_FORMULA),
    "source": (r"\b1[789]\d\d\b|\b20[0-3]\d\b", NO_SOURCE),
    "cost": (r"(\*Cost\*|Cost):\s\S.*?\.", NO_COST),
}
ALL = [
    pytest.param(family, entry, id=f"{family}.{entry.kind}")
    for family, registry in FAMILIES.items()
    for entry in registry
    if entry.module.startswith("vaelab.")
]
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
def test_a_metric_states_its_bias(entry: Entry):
    assert re.search(r"(\*Bias\*|Bias):\s", docstring(entry)), "say whether the estimate is biased, and which way"


@pytest.mark.parametrize("what", STATED)
@pytest.mark.parametrize(("family", "entry"), ALL)
def test_a_component_states_its_formula_source_and_cost(family: str, entry: Entry, what: str):
    pattern, exempt = STATED[what]
    name = f"{family}.{entry.kind}"
    stated = re.search(pattern, docstring(entry), re.S) is not None
    assert stated or any(name.startswith(beginning) for beginning in exempt), (
        f"give the {what} in the class's docstring"
    )
    assert not (stated and name in exempt), f"it states its {what}; take it off the list"
