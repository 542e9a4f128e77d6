"""Maps of the latents of all kinds of models, against PCA by hand and the pictures themselves."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from core.models import CHAIN, CODES, FLAT, HIERARCHY, model_config
from vaelab.build import build_model
from vaelab.datasets.memory import MemorySplit
from vaelab.figures.planes import neighbour_plane, principal_plane
from vaelab.report import latent_map
from vaelab.report.latent_map import latent_map as make
from vaelab.types import DataSpec, DataSplits


def made(model: dict[str, Any], shape: tuple[int, ...] = (1, 8, 8), values: Any = "binary") -> tuple[Any, DataSplits]:
    torch.manual_seed(0)
    spec = DataSpec(shape, values, 3)
    x = torch.rand(20, int(np.prod(shape)))
    x = x.round() if values == "binary" else x
    split = MemorySplit(spec, x, torch.arange(20) % 3)
    return build_model(model_config(model), spec).eval(), DataSplits(split, None, split, {})


def test_the_plane_is_that_of_the_two_largest_variances():
    torch.manual_seed(0)
    points = torch.randn(60, 5, dtype=torch.float64) * torch.tensor([5.0, 3.0, 1.0, 0.5, 0.1])
    plane, shares = principal_plane(points)
    centred = (points - points.mean(0)).numpy()
    _, singular, directions = np.linalg.svd(centred, full_matrices=False)
    expected = centred @ directions[:2].T
    assert np.abs(plane.numpy()) == pytest.approx(np.abs(expected), abs=1e-8)
    assert shares == pytest.approx(singular[:2] ** 2 / (singular**2).sum())


def test_neighbours_stay_neighbours():
    torch.manual_seed(0)
    centres = 20 * torch.randn(3, 6, dtype=torch.float64)
    points = torch.cat([centre + torch.randn(20, 6, dtype=torch.float64) for centre in centres])
    plane = neighbour_plane(points)
    distances = torch.cdist(plane, plane) + torch.eye(60) * 1e9
    assert torch.equal(distances.argmin(1) // 20, torch.arange(60) // 20)
    assert torch.equal(plane, neighbour_plane(points))


def test_thumbnails_are_the_data_in_their_order(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(latent_map, "COLUMNS", 7)
    model, data = made(FLAT)
    content = make(model, data)
    [group] = content["groups"]
    assert content["number"] == len(content["labels"]) == len(group["pca"]) == len(group["tsne"]) == 20
    assert all(0 <= place <= 1 for key in ("pca", "tsne") for point in group[key] for place in point)
    sheet = content["sheet"]
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(sheet["data"].split(",")[1]))))
    assert picture.shape == (3 * 8, 7 * 8)
    tiles = picture.reshape(3, 8, 7, 8).transpose(0, 2, 1, 3).reshape(21, 64)
    everything = data.test.fetch(torch.arange(20))
    labels = dict(zip(map(tuple, (255 * everything.x.flatten(1)).int().tolist()), everything.y.tolist(), strict=True))
    assert [labels[tuple(tile)] for tile in tiles[:20].tolist()] == content["labels"]
    assert len({tuple(tile) for tile in tiles[:20].tolist()}) == 20
    assert make(model, data) == content, "the seed decides"


def test_groups_are_the_first_and_the_last():
    content = make(*made(HIERARCHY))
    assert [group["group"] for group in content["groups"]] == [0, 2]
    assert content["depth"] == 3
    steps = make(*made(CHAIN, (4, 3), "binary"))
    assert [group["group"] for group in steps["groups"]] == [0, 3]
    assert steps["sheet"]["size"] == [4, 3], "time runs to the right"


def test_codes_have_no_places_and_say_so():
    content = make(*made(CODES))
    [group] = content["groups"]
    assert "made of codes" in group["omitted"]
    assert "sheet" not in content


def test_rows_of_a_table_are_written_out():
    likelihood = {**FLAT, "likelihood": "normal"}
    content = make(*made(likelihood, (5,), "real"))
    assert "sheet" not in content
    assert len(content["texts"]) == 20
    assert content["texts"][0].count(",") == 4
    real = make(*made(likelihood, (3, 40, 40), "real"))
    assert real["sheet"]["size"] == [32, 32]
    assert real["sheet"]["data"].startswith("data:image/jpeg")


def test_collapsed_groups_and_single_numbers():
    one = {**FLAT, "prior": {"kind": "standard_normal", "dim": 1}}
    model, data = made(one)
    [group] = make(model, data)["groups"]
    assert "tsne" not in group
    ranks = [up for _, up in sorted(group["pca"])]
    assert ranks == sorted(ranks)
    with torch.no_grad():
        for parameter in model.posterior.parameters():
            parameter.zero_()
    [group] = make(model, data)["groups"]
    assert "collapsed" in group["omitted"]


def test_a_map_that_fails_says_why(monkeypatch: pytest.MonkeyPatch):
    def fails(*_: Any) -> Callable[..., Any]:
        raise ZeroDivisionError("of a plugin")

    monkeypatch.setattr(latent_map, "posterior_means", fails)
    [group] = make(*made(FLAT))["groups"]
    assert group["omitted"] == "The map could not be made (ZeroDivisionError: of a plugin)."
