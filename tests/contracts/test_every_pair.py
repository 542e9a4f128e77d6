"""Any two components either work together or are refused when the model is built; nothing fails in between.

A pair is put into the compositions that are known to take one of the two. Where both orders are refused, the pair may
still work in a third company, so every other known composition is tried too, until one builds.

There are thousands of pairs. A fifth of them, the same in every run, is tested each time, and all with `pytest -m slow`.
"""

from __future__ import annotations

import itertools
import math
import zlib
from functools import cache
from typing import Any

import pytest

from contracts.compositions import Composition, components, home_of, known_good, partners, train
from vaelab.errors import BuildError
from vaelab.registry import DIVERGENCES, OBJECTIVES, ComponentConfig

Component = tuple[str, str]


def _param(one: Component, two: Component) -> Any:
    name = f"{one[0]}.{one[1]}-{two[0]}.{two[1]}"
    return pytest.param(one, two, id=name, marks=() if zlib.crc32(name.encode()) % 20 == 0 else pytest.mark.slow)


PAIRS = [_param(one, two) for one, two in itertools.combinations(components(), 2) if one[0] != two[0]]
LEARNING: list[Component] = [
    *(("divergence", entry.kind) for entry in DIVERGENCES),
    *(("objective", entry.kind) for entry in OBJECTIVES),
]
#: Objectives that take divergences.
WITH_TERMS = [entry.kind for entry in OBJECTIVES if "divergences" in entry.config.model_fields]


@cache
def outcome(composition: Composition, objective_config: ComponentConfig | None = None) -> str:
    """An empty string after two steps with finite losses, or the message of the refusal."""
    try:
        model, objective = composition.build(objective_config)
    except BuildError as error:
        return str(error)
    history, _ = train(model, objective, composition.batch(4))
    assert all(math.isfinite(loss) for loss in history), f"{composition}: {history}"
    return ""


@pytest.mark.parametrize(("one", "two"), PAIRS)
def test_pair_trains_or_is_refused_by_name(one: tuple[str, str], two: tuple[str, str]):
    for base, newcomer in ((partners(*one), two), (partners(*two), one)):
        composition = base.having(*newcomer)
        refusal = outcome(composition)
        if not refusal:
            return
        # all others worked together before, so the newcomer is one of those that clash
        names = [f"{axis} '{kind}'" for axis, kind in composition.kinds if axis != newcomer[0]]
        assert f"{newcomer[0]} '{newcomer[1]}'" in refusal, f"{composition}: {refusal}"
        assert any(name in refusal for name in names) or "the data" in refusal, (
            f"{composition}: the message names one side only: {refusal}"
        )
    for base in known_good():
        if not outcome(base.having(*one).having(*two)):
            return


@pytest.mark.parametrize(("one", "two"), [_param(one, two) for one in LEARNING for two in components()])
def test_what_learns_trains_a_component_or_refuses_it_by_name(one: Component, two: Component):
    home, objective = home_of(*one)
    composition = home.having(*two)
    refusal = outcome(composition, objective)
    if not refusal:
        return
    # the composition that is known to hold the component, with the data that the objective asks for
    other = Composition(partners(*two).kinds, home.data)
    for base in (partners(*two), other):
        second = outcome(base, objective)
        if not second:
            return
        mine = [f"{axis} '{kind}'" for axis, kind in base.kinds]
        assert f"{one[0]} '{one[1]}'" in second or any(name in second for name in mine), f"{base}: {second}"
    learner = f"{one[0]} '{one[1]}'"
    assert learner in refusal or f"{two[0]} '{two[1]}'" in refusal, f"{composition}: {refusal}"


@pytest.mark.parametrize(
    ("one", "two"),
    [_param(("objective", kind), ("divergence", entry.kind)) for kind in WITH_TERMS for entry in DIVERGENCES],
)
def test_an_objective_with_terms_takes_any_of_them_or_refuses_it(one: Component, two: Component):
    home, _ = home_of(*two)
    term = DIVERGENCES[two[1]].config.example()
    objective = OBJECTIVES[one[1]].config.model_validate({"kind": one[1], "divergences": [term]})
    composition = Composition(home.kinds, home_of(*one)[0].data)
    refusal = outcome(composition, objective)
    assert not refusal or f"{one[0]} '{one[1]}'" in refusal or f"divergence '{two[1]}'" in refusal, refusal
