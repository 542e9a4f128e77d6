"""Imputation from neighbours, against a loop over data and numbers."""

from __future__ import annotations

import pytest
import torch

from core.models import flat_model
from vaelab.errors import DataError
from vaelab.metrics import EvaluationContext, measure
from vaelab.metrics.imputation import ImputationConfig
from vaelab.registry import DATASETS
from vaelab.types import Batch

DATA = {
    "kind": "incomplete",
    "share": 0.6,
    "seed": 1,
    "data": {"kind": "digits", "binarisation": "none", "train_limit": 40, "test_limit": 7},
}


def from_neighbours(asked: Batch, donors: Batch, k: int) -> float:
    """The mean over data of the squared error of their hidden numbers."""
    errors = []
    for x, seen, complete in zip(*(t.flatten(1) for t in (asked.x, asked.observed, asked.complete)), strict=True):
        both = seen & donors.observed.flatten(1)
        squares = ((donors.x.flatten(1) - x).square() * both).sum(1)
        distances = squares / both.sum(1)
        own = []
        for d in (~seen).nonzero()[:, 0]:
            having = donors.observed.flatten(1)[:, d].nonzero()[:, 0]
            near = having[distances[having].argsort()]
            # the test data are such that no tie decides
            assert distances[near[k - 1]] < distances[near[k]]
            own.append((donors.x.flatten(1)[near[:k], d].mean() - complete[d]).square())
        errors.append(torch.stack(own).mean())
    return float(torch.stack(errors).mean())


def test_neighbours_against_a_loop():
    data = DATASETS.build(DATASETS._validate(DATA)).load()
    config = ImputationConfig(samples=3, neighbours=3, donors=40)
    values = measure([config], flat_model(), data.test, EvaluationContext(data=data))
    asked, donors = (split.fetch(torch.arange(len(split))) for split in (data.test, data.train))
    assert values["imputation_mse_knn3"].value == pytest.approx(from_neighbours(asked, donors, 3), rel=1e-5)
    assert values["imputation_mse_knn3"].value < values["imputation_mse_mean"].value


def test_neighbours_need_training_data():
    data = DATASETS.build(DATASETS._validate(DATA)).load()
    with pytest.raises(DataError, match="remove 'neighbours'"):
        measure([ImputationConfig(neighbours=3)], flat_model(), data.test, EvaluationContext())
