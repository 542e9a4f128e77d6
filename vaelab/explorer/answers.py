"""What the page is told: one function a request, from a checked request to plain values."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from vaelab.errors import VaelabError
from vaelab.explorer.items import Item
from vaelab.explorer.moves import between, moved
from vaelab.explorer.requests import (
    DataRequest,
    EncodeRequest,
    GroupRequest,
    LatentsRequest,
    SampleRequest,
    WalkRequest,
)
from vaelab.explorer.subject import Subject
from vaelab.explorer.units import rate_of, unit_rates_of
from vaelab.figures.sheets import expected
from vaelab.inference import Group, infer_latents
from vaelab.metrics import offered, seeded
from vaelab.types import Batch

Answer = dict[str, Any]

#: Draws of the posterior from which the bound of one datum is taken.
DRAWS = 64
#: Units of a group whose code is told, at most.
_TOLD = 256


def description(subject: Subject) -> Answer:
    """What a run is."""
    run, model = subject.run, subject.model
    kinds = run.experiment.model
    parts = ("encoder", "posterior", "prior", "decoder", "likelihood")
    return {
        "name": run.experiment.name,
        "id": run.path.resolve().name,
        "facts": [[part, getattr(kinds, part).kind] for part in parts],
        "data": str(run.data.provenance.get("source", "")),
        "test": len(subject.test),
        "shape": list(model.data.shape),
        "form": subject.items.form,
        "columns": [asdict(column) for column in subject.items.columns],
        "classes": model.data.num_classes,
        "labels": subject.labels,
        "by_hand": subject.items.why_not_by_hand(),
        "temperature": subject.tempered,
        "sampler": subject.sampler.config.kind,
        "groups": [
            {
                "group": units.group,
                "name": units.name,
                "control": units.control,
                "units": len(units.units),
                "support": model.prior.latent.groups[units.group].support,
                "rate": units.rate,
            }
            for units in subject.units
        ],
    }


def group(subject: Subject, request: GroupRequest) -> Answer:
    """The units of a group, the most informative first."""
    return asdict(subject.group(request.group))


def data(subject: Subject, request: DataRequest) -> Answer:
    """Some test data as thumbnails, or one of them at its size."""
    if request.index is not None:
        return {"data": [_test_datum(subject, request.index, small=False)]}
    chosen = subject.chosen(request.seed, request.number, request.label)
    return {"data": [_test_datum(subject, index, small=True) for index in chosen]}


def _test_datum(subject: Subject, index: int, *, small: bool) -> Answer:
    batch = subject.datum(index)
    item = subject.items.thumbnail(batch.x[0]) if small else _of_batch(subject, batch)
    single = batch.y is not None and batch.y.ndim == 1
    return {"index": index, "label": int(batch.y[0]) if batch.y is not None and single else None, "item": item}


def _of_batch(subject: Subject, batch: Batch) -> Item:
    return subject.items.item(batch.x[0], None if batch.observed is None else batch.observed[0])


def latents(subject: Subject, request: LatentsRequest) -> Answer:
    """One datum from latents that are moved, and where its latents are now."""
    shown = subject.group(request.group)
    zs, condition = subject.latents(request.base, request.seed, request.condition)
    changes: dict[int, list[tuple[int, float]]] = {}
    for move in request.moves:
        changes.setdefault(subject.group(move.group).group, []).append((move.unit, move.value))
    kept = range(request.group + 1) if request.follow else range(len(zs))
    fixed = {
        i: moved(subject.model, zs[i], subject.units[i], changes.get(i, ()), subject.radii[i])
        if i in changes
        else zs[i]
        for i in kept
    }
    with seeded(request.seed):
        generation = subject.model.generate(1, fixed=fixed, condition=condition)
        x = expected(generation.likelihood)[0, 0]
    return {"item": subject.items.item(x), "values": subject.values(generation.zs[shown.group], shown.group)}


def walk(subject: Subject, request: WalkRequest) -> Answer:
    """Data on the way from one datum to another."""
    first, condition = subject.latents(request.start, 0, request.condition)
    last, _ = subject.latents(request.end, 0, request.condition)
    places = torch.tensor(request.places, device=subject.model.device)
    number = len(places)
    if request.group is not None:
        subject.group(request.group)
    zs = {
        i: between(subject.model, a, b, i, places, request.path, subject.radii[i])
        if request.group in (None, i)
        else a.expand(number, *a.shape[1:])
        for i, (a, b) in enumerate(zip(first, last, strict=True))
    }
    given = None if condition is None else condition.expand(number, *condition.shape[1:])
    with seeded(request.seed):
        xs = expected(subject.model.generate(number, fixed=zs, condition=given).likelihood)[0]
    return {"items": [subject.items.item(x) for x in xs]}


def encode(subject: Subject, request: EncodeRequest) -> Answer:
    """The code of a datum, its reconstruction from the posterior's mean, and the bound."""
    batch = subject.source(request.source, request.condition)
    model = subject.model
    groups, state = infer_latents(model, batch, mean=True)
    with seeded(request.seed):
        x = expected(model.decoder.distribution(model.prior.readout(state), model.likelihood))[0, 0]
        bound = _bound(subject, batch)
    return {
        "datum": _of_batch(subject, batch),
        "item": subject.items.item(x),
        "bound": bound,
        "groups": [_code(subject, i, found) for i, found in enumerate(groups)],
    }


def _bound(subject: Subject, batch: Batch) -> Answer | None:
    """Negative ELBO, distortion, rate and the importance-weighted bound of one datum, nats; None without densities."""
    try:
        trace = subject.model.infer(batch, DRAWS)
        if not (trace.has_density and trace.likelihood.has_density):
            return None
        distortion, rate = -trace.log_px.double().mean(), trace.total_rate().double().mean()
        weights = trace.log_weight.double().flatten()
    except (VaelabError, NotImplementedError):
        return None
    found = {
        "negative_elbo": float(distortion + rate),
        "distortion": float(distortion),
        "rate": float(rate),
        "importance": float(math.log(DRAWS) - weights.logsumexp(0)),
    }
    return {**found, "draws": DRAWS} if all(map(math.isfinite, found.values())) else None


def _code(subject: Subject, i: int, found: Group) -> Answer:
    """The posterior of a group's units, in the order of their information."""
    units, spec = subject.units[i], subject.model.prior.latent.groups[i]
    values = subject.values(found.z[0], i)
    rates = unit_rates_of(found, spec)
    spreads = _spreads(found) if units.control == "number" and len(spec.shape) == 1 else None
    rows = [
        {
            "unit": unit.number,
            "value": values[unit.number],
            "spread": None if spreads is None else round(float(spreads[unit.number]), 5),
            "rate": None if rates is None else round(float(rates[0, 0, unit.number]), 5),
        }
        for unit in units.units[:_TOLD]
    ]
    return {
        "group": i,
        "name": units.name,
        "control": units.control,
        "units": len(units.units),
        "rate": rate_of([found]),
        "rows": rows,
    }


def _spreads(found: Group) -> Tensor | None:
    """The posterior's standard deviation of each number of a vector."""
    variance = offered(found.q, "variance")
    return None if variance is None else variance.expand_as(found.z)[0, 0].sqrt()


def sample(subject: Subject, request: SampleRequest) -> Answer:
    """New data, whole or below some groups that are kept."""
    fixed: dict[int, Tensor] = {}
    condition = subject.condition(request.condition)
    if request.keep:
        subject.group(request.keep - 1)
        zs, condition = subject.latents(request.base, request.seed, request.condition)
        fixed = {i: zs[i].expand(request.number, *zs[i].shape[1:]) for i in range(request.keep)}
    if condition is not None:
        condition = condition.expand(request.number, *condition.shape[1:])
    with seeded(request.seed):
        generation = subject.draw(request.number, request.temperature, condition, fixed)
        xs = generation.sample() if request.draw else expected(generation.likelihood)[0]
    return {"items": [subject.items.item(x) for x in xs]}
