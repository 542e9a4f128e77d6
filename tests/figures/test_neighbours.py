"""Samples beside their nearest training data."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from vaelab.build import build_model
from vaelab.config import ModelConfig
from vaelab.errors import DataError
from vaelab.extractors.pixels import PixelsConfig, PixelsExtractor
from vaelab.figures import FigureContext
from vaelab.figures.neighbours import Neighbours, NeighboursConfig, nearest
from vaelab.types import DataSpec

MODEL: dict[str, Any] = {
    "encoder": {"kind": "mlp", "hidden": [8]},
    "posterior": "diagonal_normal",
    "prior": {"kind": "standard_normal", "dim": 3},
    "decoder": {"kind": "mlp", "hidden": [8]},
    "likelihood": {"kind": "normal", "sigma": "fixed"},
}


def made(spec: DataSpec):
    return build_model(ModelConfig.model_validate(MODEL), spec)


@pytest.mark.parametrize("batch", [7, 1000])
def test_nearest_are_those_of_the_whole_matrix(batch, tiny_splits, monkeypatch):
    monkeypatch.setattr("vaelab.figures.neighbours._BATCH", batch)
    train = tiny_splits((1, 8, 8), "unit", 50).train
    x = train.fetch(torch.arange(50)).x
    pictures = torch.cat([torch.rand(4, 1, 8, 8), x[17:18]])
    distance, rows, found = nearest(PixelsExtractor(PixelsConfig()), pictures, train, 3, 50)
    whole = (pictures.flatten(1)[:, None] - x.flatten(1)[None]).norm(dim=2)
    expected, order = whole.sort(dim=1)
    assert torch.allclose(distance, expected[:, :3], atol=1e-6)
    assert torch.equal(rows, order[:, :3])
    assert torch.equal(found, x[order[:, :3]])
    assert (rows[-1, 0], distance[-1, 0]) == (17, 0), "a copy is found"
    assert nearest(PixelsExtractor(PixelsConfig()), pictures, train, 3, 10)[1].max() < 10


def test_the_sheet_has_a_row_a_sample(tiny_splits):
    data = tiny_splits((1, 8, 8), "unit", 30)
    pictures = Neighbours(NeighboursConfig(number=4, neighbours=3)).draw(made(data.train.spec), FigureContext(data))
    axes = pictures["neighbours"].axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["sample", "1", "2", "3"]
    assert len(axes.get_yticklabels()) == 4
    assert "median distance" in pictures["neighbours"].get_suptitle()


def test_names_refusals_and_nothing(tiny_splits):
    data = tiny_splits((1, 8, 8), "unit", 30)
    config: dict[str, Any] = {"number": 2, "extractor": "digits", "temperature": 0.7}
    config["sampler"] = {"kind": "gmm", "components": 2}
    figure = Neighbours(NeighboursConfig.model_validate(config))
    assert figure.draw(made(data.train.spec), FigureContext(data)).keys() == {"neighbours_digits_gmm_t0.7"}
    colour = tiny_splits((3, 8, 8), "unit", 30)
    with pytest.raises(DataError, match="extractor 'digits'"):
        figure.draw(made(colour.train.spec), FigureContext(colour))
    vectors = tiny_splits((6,), "unit", 30)
    assert figure.draw(made(vectors.train.spec), FigureContext(vectors)) == {}
