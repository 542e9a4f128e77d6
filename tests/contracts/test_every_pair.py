"""Any two components either work together or are refused when the model is built; nothing fails in between.

A pair is put into the compositions that are known to take one of the two. Where both orders are refused, the pair may
still work in a third company, so every other known composition is tried too, until one builds.
"""

from __future__ import annotations

import itertools
import math
from functools import cache

import pytest

from contracts.compositions import Composition, components, known_good, partners, train
from vaelab.errors import BuildError

PAIRS = [
    pytest.param(one, two, id=f"{one[0]}.{one[1]}-{two[0]}.{two[1]}")
    for one, two in itertools.combinations(components(), 2)
    if one[0] != two[0]
]


@cache
def outcome(composition: Composition) -> str:
    """An empty string after two steps with finite losses, or the message of the refusal."""
    try:
        model, objective = composition.build()
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
