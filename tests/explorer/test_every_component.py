"""The explorer answers for a model with each registered component, or says in words what cannot be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from contracts.compositions import components, partners
from vaelab.datasets.memory import MemorySplit
from vaelab.errors import ConfigError
from vaelab.explorer import answers
from vaelab.explorer.requests import (
    Datum,
    EncodeRequest,
    GroupRequest,
    LatentsRequest,
    Move,
    Noise,
    SampleRequest,
    WalkRequest,
)
from vaelab.explorer.subject import Subject
from vaelab.generation import fitted, sampler_config
from vaelab.run_directory import RunDirectory
from vaelab.runs import Run
from vaelab.types import DataSplits

pytestmark = pytest.mark.slow

FIRST, SECOND = Datum(kind="datum", index=0), Datum(kind="datum", index=5)


def explored(axis: str, kind: str, tiny_splits: Callable[..., DataSplits]) -> Subject:
    composition = partners(axis, kind)
    model, _ = composition.build()
    spec = composition.data
    made = tiny_splits(spec.shape, spec.values, 40, spec.num_classes)
    splits = [MemorySplit(spec, part._stored, part._y) for part in (made.train, made.test)]
    experiment = SimpleNamespace(name=kind, model=composition.config())
    run = Run(RunDirectory(Path("nowhere")), cast("Any", experiment), torch.device("cpu"))
    run.__dict__.update(model=model.eval(), data=DataSplits(splits[0], None, splits[1], {"source": "made up"}))
    return Subject(run, fitted(run, sampler_config("prior")))


@pytest.mark.parametrize(("axis", "kind"), components())
@torch.no_grad()
def test_every_request_is_answered(axis: str, kind: str, tiny_splits: Callable[..., DataSplits]):
    subject = explored(axis, kind, tiny_splits)
    described = answers.description(subject)
    assert len(described["groups"]) == subject.model.depth
    for units in subject.units:
        i, unit = units.group, units.units[0]
        assert answers.group(subject, GroupRequest(group=i))["units"]
        move = Move(group=i, unit=unit.number, value=unit.high)
        moved = answers.latents(subject, LatentsRequest(base=FIRST, group=i, moves=[move]))
        assert moved["values"][unit.number] == pytest.approx(unit.high, abs=1e-3)
    assert len(answers.walk(subject, WalkRequest(start=FIRST, end=SECOND, places=[0.0, 0.3, 1.0]))["items"]) == 3
    code = answers.encode(subject, EncodeRequest(source=FIRST))
    assert (code["bound"] is None) or code["bound"]["importance"] <= code["bound"]["negative_elbo"] + 3
    for base in (FIRST, Noise(kind="prior")):
        for keep in range(subject.model.depth + 1):
            found = answers.sample(subject, SampleRequest(number=2, keep=keep, base=base))
            assert len(found["items"]) == 2
    assert answers.latents(subject, LatentsRequest(base=Noise(kind="prior"), follow=True))["item"]
    if subject.tempered:
        with pytest.raises(ConfigError, match="has no temperature"):
            answers.sample(subject, SampleRequest(temperature=0.5))
    else:
        assert answers.sample(subject, SampleRequest(temperature=0.5))["items"]
