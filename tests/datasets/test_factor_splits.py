"""Splits of data with known factors, and pairs that share factors."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from vaelab.datasets.factor_grid import FactorGrid
from vaelab.datasets.pairs import Pairs, PairsConfig
from vaelab.datasets.sprites import Sprites, SpritesConfig
from vaelab.errors import BuildError, DataError
from vaelab.types import Factor

SMALL = {"size": 16, "scales": 2, "orientations": 4, "positions": 4}


def load(**named):
    return Sprites(SpritesConfig.model_validate(SMALL | named)).load()


def whole(split):
    return split.fetch(torch.arange(len(split)))


def test_combinations_are_numbered_with_the_last_factor_fastest():
    grid = FactorGrid((Factor("a", 2), Factor("b", 3), Factor("c", 4)))
    expected = torch.tensor(list(itertools.product(range(2), range(3), range(4))))
    rows = torch.arange(len(grid))
    assert torch.equal(grid.combinations(rows), expected)
    assert torch.equal(grid.rows(expected), rows)
    with pytest.raises(DataError, match="rows of 3 values"):
        grid.rows(torch.zeros(2, 2, dtype=torch.int64))
    with pytest.raises(DataError, match="does not exist; the numbers of values should be: a 2, b 3, c 4"):
        grid.rows(torch.tensor([[0, 3, 0]]))


def test_data_by_their_factors():
    train = load().train
    batch = train.fetch(torch.tensor([3, 8]))
    assert torch.equal(train.fetch_factors(batch.factors).x, batch.x)
    test = load().test.factors
    assert train.holds(train.factors).all()
    assert not train.holds(test).any()
    with pytest.raises(DataError, match=r"2 of 3 combinations are not in this split; the first is {'shape'"):
        train.fetch_factors(torch.cat([batch.factors[:1], test[:2]]))
    moved = train.to(torch.device("cpu"))
    assert torch.equal(moved.fetch_factors(batch.factors).x, batch.x)


def test_held_out_combinations():
    splits = load(held_out={"shape": [2], "x": [0, 3]}, validation=20)
    test, train = splits.test.factors, torch.cat([splits.train.factors, splits.validation.factors])
    held = (train[:, 0] == 2) & ((train[:, 3] == 0) | (train[:, 3] == 3))
    assert not held.any()
    assert (test[:, 0] == 2).all()
    assert set(test[:, 3].tolist()) == {0, 3}
    assert (len(test), len(train)) == (64, 320)
    # training has each value, though not each combination
    assert [len(column.unique()) for column in train.unbind(1)] == [3, 2, 4, 4, 4]
    assert splits.provenance["factor_split"]["held_out"] == {"shape": (2,), "x": (0, 3)}


def test_correlated_factors():
    settings = {"size": 8, "orientations": 20, "positions": 6, "memory_limit": 0, "test_fraction": 0.2}
    splits = load(**settings, correlated=["x", "y"], correlation_width=0.3)
    every = load(**settings).train.factors
    kept = splits.train.factors
    for x, y in itertools.product(range(6), range(6)):
        total = int(((every[:, 3] == x) & (every[:, 4] == y)).sum())
        share = int(((kept[:, 3] == x) & (kept[:, 4] == y)).sum()) / total
        probability = math.exp(-(((x - y) / 5) ** 2) / (2 * 0.3**2))
        error = math.sqrt(probability * (1 - probability) / total)
        assert share == pytest.approx(probability, abs=5 * error + 1e-9), (x, y)
    assert torch.corrcoef(kept[:, 3:].T.double())[0, 1] > 0.5
    assert torch.corrcoef(splits.test.factors[:, 3:].T.double())[0, 1].abs() < 5 / math.sqrt(len(splits.test))
    assert torch.equal(splits.test.factors, load(**settings).test.factors)


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"held_out": {"hue": [0]}}, "has no factor 'hue'. It has: shape, scale, orientation, x, y"),
        ({"correlated": ["x", "z"]}, "has no factor 'z'"),
        ({"held_out": {"shape": [3]}}, r"lists \[3\] for the factor 'shape', whose values are 0 to 2"),
        ({"held_out": {"shape": []}}, "List one or more"),
    ],
)
def test_names_and_values_that_do_not_exist(named, message):
    with pytest.raises(BuildError, match=message):
        Sprites(SpritesConfig.model_validate(SMALL | named))


def test_nothing_left_to_train_on():
    with pytest.raises(DataError, match="nothing is left to train on"):
        load(held_out={"shape": [0, 1, 2]})


@pytest.mark.parametrize("changed", [1, 3, None])
def test_pairs_that_share_factors(changed):
    config = PairsConfig(share="factors", changed=changed, data=SpritesConfig.model_validate(SMALL))
    dataset = Pairs(config)
    splits = dataset.load()
    assert dataset.spec.companion == "pair"
    order = torch.randint(len(splits.train), (4000,))
    different, steps = [], []
    for batch in splits.train.batches(order, 1000):
        assert batch.y is batch.companion.y is None
        different.append(batch.factors != batch.companion.factors)
        steps.append((batch.companion.factors[:, 4] - batch.factors[:, 4]) % 4)
        # the other half is what its factors say, and training data too
        assert splits.train.inner.holds(batch.companion.factors).all()
        assert torch.equal(splits.train.inner.fetch_factors(batch.companion.factors).x, batch.companion.x)
    different = torch.cat(different)
    number = different.sum(1)
    if changed is not None:
        assert (number == changed).all()
        assert different.float().mean(0) == pytest.approx([changed / 5] * 5, abs=0.06)
    else:
        assert number.bincount(minlength=6)[1:].tolist() == pytest.approx([1000] * 4 + [0], abs=180)
    values = torch.cat(steps).bincount(minlength=4)[1:].double()
    assert (values / values.sum()).tolist() == pytest.approx([1 / 3] * 3, abs=0.06)
    assert whole(splits.test).companion is None


def test_pairs_are_refused_where_they_cannot_be_made():
    with pytest.raises(
        BuildError, match="'pairs' changes 1 of the factors and keeps others, and dataset 'digits' has 0"
    ):
        _ = Pairs(PairsConfig.model_validate({"share": "factors", "data": {"kind": "digits"}})).spec
    with pytest.raises(BuildError, match="changes 5 of the factors"):
        _ = Pairs(PairsConfig(share="factors", changed=5, data=SpritesConfig.model_validate(SMALL))).spec


def test_partners_that_were_held_out_are_not_used():
    few = SMALL | {
        "shapes": ["heart"],
        "orientations": 2,
        "positions": 1,
        "held_out": {"scale": [1], "orientation": [1]},
    }
    splits = Pairs(PairsConfig(share="factors", data=SpritesConfig.model_validate(few))).load()
    assert len(splits.train) == 3
    other = torch.cat([whole(splits.train).companion.factors for _ in range(20)])
    assert other.unique(dim=0).tolist() == [[0, 0], [0, 1], [1, 0]]

    alone = few | {"held_out": None, "train_limit": 1}
    with pytest.raises(DataError, match="no partner for 100% of the training data"):
        Pairs(PairsConfig(share="factors", data=SpritesConfig.model_validate(alone))).load()


def test_a_datum_without_a_partner_is_its_own():
    few = {
        "shapes": ["heart"],
        "scales": 2,
        "orientations": 2,
        "positions": 2,
        "size": 8,
        "train_limit": 5,
        "split_seed": 0,
    }
    splits = Pairs(PairsConfig(share="factors", data=SpritesConfig.model_validate(few))).load()
    batch = whole(splits.train)
    # [i, j]: in how many factors data i and j differ
    distance = (batch.factors.unsqueeze(1) != batch.factors).sum(2)
    lonely = ~(distance == 1).any(1)
    assert 0 < lonely.sum() < 3
    apart = (batch.factors != batch.companion.factors).sum(1)
    assert torch.equal(apart == 0, lonely)
    assert torch.equal(apart == 1, ~lonely)
    assert torch.equal(batch.companion.x[lonely], batch.x[lonely])
