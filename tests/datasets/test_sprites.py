"""Sprites: what is drawn, and how it arrives in batches."""

from __future__ import annotations

import math

import pytest
import torch

from vaelab.datasets.drawn import DrawnSplit
from vaelab.datasets.factor_grid import FactorSplit
from vaelab.datasets.memory import MemorySplit
from vaelab.datasets.outlines import OUTLINES, draw
from vaelab.datasets.sprites import Pencil, Sprites, SpritesConfig

SMALL = {"size": 16, "scales": 2, "orientations": 4, "positions": 4}
AREAS = {
    "square": 2.0,
    "ellipse": math.pi / 2,
    # a square of side s and two half discs of diameter s, s = 1 / 0.8918
    "heart": (1 + math.pi / 4) / 0.89180581**2,
}


def load(**named):
    return Sprites(SpritesConfig.model_validate(SMALL | named)).load()


def whole(split):
    return split.fetch(torch.arange(len(split)))


def placed(number, size, generator):
    centre = 0.4 + 0.2 * torch.rand(number, 2, generator=generator)
    angle = 2 * math.pi * torch.rand(number, generator=generator)
    return centre, torch.full((number,), 0.25), angle, size, 0.25


@pytest.mark.parametrize("outline", OUTLINES)
def test_area_of_each_shape(outline):
    generator = torch.Generator().manual_seed(0)
    centre, radius, angle, size, largest = placed(50, 64, generator)
    pictures = draw(outline, centre, radius, angle, size, largest).float() / 255
    expected = AREAS[outline] * (0.25 * size) ** 2
    assert pictures.sum(1) == pytest.approx(torch.full((50,), expected).numpy(), rel=0.01)
    assert pictures.sum(1).mean() == pytest.approx(expected, rel=0.003)


@pytest.mark.parametrize("outline", OUTLINES)
def test_edges_are_those_of_a_finer_picture(outline):
    """A level is the share of the pixel inside, as counted on a grid sixteen times finer."""
    generator = torch.Generator().manual_seed(1)
    centre, radius, angle, size, largest = placed(8, 32, generator)
    pictures = draw(outline, centre, radius, angle, size, largest).view(-1, 32, 32).float() / 255
    fine = draw(outline, centre, radius, angle, 512, largest).view(-1, 1, 512, 512) > 127
    share = torch.nn.functional.avg_pool2d(fine.float(), 16).squeeze(1)
    difference = (pictures - share).abs()
    edge = (share > 0) & (share < 1)
    assert difference[edge].mean() < 0.04
    assert difference.max() < 0.3, "corners differ most"
    assert difference[~edge].max() < 0.15


@pytest.mark.parametrize("outline", OUTLINES)
def test_each_shape_fills_its_circle(outline):
    x, y = torch.meshgrid(*[torch.linspace(-1.2, 1.2, 801, dtype=torch.float64)] * 2, indexing="xy")
    distance = OUTLINES[outline](x, y)
    reach = torch.hypot(x, y)[distance <= 0]
    assert float(reach.max()) == pytest.approx(1, abs=0.006)
    # a distance changes by as much as one moves, just outside the edge
    slope = torch.hypot(*torch.gradient(distance, spacing=2.4 / 800))
    assert float((slope[(distance > 0.004) & (distance < 0.016)] - 1).abs().median()) < 0.03


@pytest.mark.parametrize("outline", OUTLINES)
def test_moving_and_turning(outline):
    size, radius = 33, torch.tensor([0.25, 0.25])
    centre = torch.tensor([[0.5, 0.5], [0.5 + 3 / size, 0.5 - 2 / size]])
    still, moved = draw(outline, centre, radius, torch.tensor([0.3, 0.3]), size, 0.25).view(2, size, size).float()
    assert (moved - still.roll((-2, 3), (0, 1))).abs().max() <= 1
    still, turned = draw(outline, centre[[0, 0]], radius, torch.tensor([0.3, 0.3 + math.pi / 2]), size, 0.25).view(
        2, size, size
    )
    assert (turned.float() - still.rot90().float()).abs().max() <= 1


def test_nothing_is_cut_off():
    config = SpritesConfig.model_validate(SMALL | {"size": 20, "positions": 3})
    pencil = Pencil(config, Sprites(config).grid)
    pictures = pencil.draw(torch.arange(len(pencil))).view(-1, 20, 20).float()
    border = torch.cat([pictures[:, 0], pictures[:, -1], pictures[:, :, 0], pictures[:, :, -1]], 1)
    assert border.max() == 0
    # and the outermost positions reach the second pixel
    assert pictures[:, 1].max() > 0
    assert pictures[:, :, -2].max() > 0


def test_factors_do_what_their_names_say():
    config = SpritesConfig(size=48, scales=3, orientations=6, positions=5)
    dataset = Sprites(config)
    factors = dataset.grid.combinations(torch.arange(len(dataset.grid)))
    pictures = Pencil(config, dataset.grid).draw(torch.arange(len(factors))).view(-1, 48, 48).double()
    mass = pictures.sum((1, 2))
    place = torch.arange(48).double()
    centre = {"x": (pictures.sum(1) * place).sum(1) / mass, "y": (pictures.sum(2) * place).sum(1) / mass}
    names = dataset.grid.names
    assert names == ["shape", "scale", "orientation", "x", "y"]
    for name in "xy":
        squares = factors[:, 0] < 2  # whose centre of mass is that of the circle
        step = (1 - 2 * (0.2 + 1 / 48)) * 48 / 4
        expected = 23.5 + (factors[:, names.index(name)] - 2) * step
        assert (centre[name] - expected)[squares].abs().max() < 0.05
    for scale, factor in enumerate((0.5, 0.75, 1)):
        mean = mass[(factors[:, 0] == 0) & (factors[:, 1] == scale)].mean() / 255
        assert float(mean) == pytest.approx(2 * (0.2 * 48 * factor) ** 2, rel=0.01)


def test_specification_and_batches():
    splits = load()
    spec = splits.train.spec
    assert (spec.shape, spec.values, spec.num_classes) == ((1, 16, 16), "unit", 3)
    assert [(factor.name, factor.size) for factor in spec.factors] == [
        ("shape", 3), ("scale", 2), ("orientation", 4), ("x", 4), ("y", 4),
    ]  # fmt: skip
    batch = whole(splits.train)
    assert torch.equal(batch.y, batch.factors[:, 0])
    assert isinstance(splits.train, FactorSplit)
    assert torch.equal(splits.train.factors, batch.factors)
    assert splits.provenance["sizes"] == {"train": 346, "validation": 0, "test": 38}
    together = torch.cat([batch.factors, whole(splits.test).factors])
    assert len(together.unique(dim=0)) == 384
    # any part of the test data is a sample: no factor stands still at its beginning
    assert (whole(splits.test).factors[:20] != splits.test.factors[:1]).any(0).all()
    assert load(binarisation="threshold").test.spec.values == "binary"
    assert set(whole(load(binarisation="threshold").test).x.unique().tolist()) == {0.0, 1.0}


def test_one_value_is_no_factor():
    splits = load(shapes=["heart"], scales=1, colours=2)
    assert [factor.name for factor in splits.train.spec.factors] == ["colour", "orientation", "x", "y"]
    assert (splits.train.spec.num_classes, whole(splits.train).y) == (None, None)
    batch = whole(splits.train)
    assert batch.x.shape[1:] == (3, 16, 16)
    red = batch.factors[:, 0] == 0
    assert batch.x[red][:, 1:].max() == 0
    assert batch.x[~red][:, 0].max() == 0, "the hue opposite to red is cyan"
    assert torch.equal(batch.x[~red][:, 1], batch.x[~red][:, 2])


@pytest.mark.parametrize("binarisation", ["none", "threshold", "static"])
def test_drawing_on_demand_changes_nothing(binarisation):
    kept, drawn = load(binarisation=binarisation), load(binarisation=binarisation, memory_limit=0)
    assert isinstance(kept.train.inner, MemorySplit)
    assert isinstance(drawn.train.inner, DrawnSplit)
    order = torch.tensor([5, 0, 345, 5, 17])
    for a, b in zip(kept.train.batches(order, 2), drawn.train.batches(order, 2), strict=True):
        assert torch.equal(a.x, b.x)
        assert torch.equal(a.y, b.y)
        assert torch.equal(a.factors, b.factors)
    assert kept.provenance == drawn.provenance


def test_dynamic_bits_follow_the_levels():
    levels, split = whole(load().test).x, load(binarisation="dynamic", memory_limit=0).test
    drawn = torch.stack([whole(split).x for _ in range(400)]).mean(0)
    error = (levels * (1 - levels) / 400).sqrt()
    assert ((drawn - levels).abs() <= 5 * error + 1e-6).all()
