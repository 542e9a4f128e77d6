"""Every figure, for models of every structure and data of every shape."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

from vaelab.build import build_model
from vaelab.config import ModelConfig
from vaelab.errors import ConfigError
from vaelab.figures import FigureContext
from vaelab.figures.curves import Curves, CurvesConfig
from vaelab.figures.latents import Latents, LatentsConfig
from vaelab.figures.manifold import Manifold, ManifoldConfig
from vaelab.figures.reconstructions import Reconstructions, ReconstructionsConfig
from vaelab.figures.samples import Samples, SamplesConfig
from vaelab.figures.traversals import Traversals, TraversalsConfig
from vaelab.metrics import seeded
from vaelab.registry import FIGURES
from vaelab.types import DataSpec

COMMON: dict[str, Any] = {"encoder": {"kind": "mlp", "hidden": [8]}, "posterior": "diagonal_normal"}
COMMON |= {"decoder": {"kind": "mlp", "hidden": [8]}, "likelihood": {"kind": "normal", "sigma": "fixed"}}
FLAT = {**COMMON, "prior": {"kind": "standard_normal", "dim": 3}}
PLANE = {**COMMON, "prior": {"kind": "standard_normal", "dim": 2}}
LINE = {**COMMON, "prior": {"kind": "mixture", "dim": 1}}
HIERARCHY = {
    **COMMON,
    "prior": {"kind": "top_down", "top": {"kind": "standard_normal", "dim": [2, 4, 4]}, "groups": [3]},
}
CODES = {
    **COMMON,
    "encoder": {"kind": "conv", "channels": [4], "hidden": []},
    "posterior": "vq",
    "prior": {"kind": "uniform_codes", "codes": 8, "dim": 4, "positions": [4, 4]},
}
CHAIN = {
    **COMMON,
    "encoder": {"kind": "gru", "hidden": 8},
    "prior": {"kind": "markov_chain", "steps": 8, "dim": 3, "hidden": 8},
    "decoder": {"kind": "per_step", "hidden": [8]},
}
TRUNK = {"kind": "mlp", "hidden": [8]}
PIXELS = {
    **FLAT,
    "decoder": {"kind": "pixelcnn", "trunk": TRUNK, "features": 2, "width": 6, "kernel": 3},
    "likelihood": "bernoulli",
}
HISTORY = [
    {"split": "train", "step": s, "epoch": s / 10, "loss": 200 - s, "kl": 20.0, "lr": 0.1, "tc/lr": 1.0}
    for s in range(40)
]
HISTORY += [{"split": "validation", "step": 20, "epoch": 2.0, "negative_elbo": 110.0, "rate": 3.0, "rate/group_0": 3.0}]

CASES = {
    "flat": (FLAT, (1, 8, 8), "unit"),
    "plane": (PLANE, (1, 8, 8), "binary"),
    "line": (LINE, (1, 8, 8), "unit"),
    "hierarchy": (HIERARCHY, (1, 8, 8), "unit"),
    "codes": (CODES, (1, 8, 8), "unit"),
    "chain": (CHAIN, (1, 8, 8), "unit"),
    "pixels": (PIXELS, (1, 6, 6), "binary"),
    "odd colours": (FLAT, (3, 17, 23), "real"),
    "two channels": (FLAT, (2, 5, 4), "unit"),
    "vectors": (FLAT, (9,), "real"),
    "numbers": (FLAT, (1,), "real"),
    "series": (FLAT, (12, 2), "real"),
    "wide sequences": (FLAT, (6, 20), "real"),
    "volumes": (FLAT, (2, 3, 3, 3), "real"),
}
EVERYWHERE = {"latents", "curves"}
#: Pictures besides these, by case.
NAMES = {
    "plane": {"reconstructions", "samples", "traversals", "manifold"},
    "hierarchy": {"reconstructions", "samples", "traversals_group_0", "latents_group_0"},
    "codes": {"reconstructions", "samples"},
    "chain": {"reconstructions", "samples", "traversals_group_0", "latents_group_0"},
    "volumes": set(),
}


def made(case: str, tiny_splits):
    config, shape, values = CASES[case]
    data = tiny_splits(shape, values, 40)
    torch.manual_seed(0)
    model = build_model(ModelConfig.model_validate(config), DataSpec(shape, values, 3))
    return model, FigureContext(data, HISTORY, title="run")


def drawn(figure, model, context):
    with model.evaluating(), torch.no_grad(), seeded(0):
        return figure.draw(model, context)


@pytest.mark.parametrize("case", CASES)
def test_every_figure_draws_what_it_can(case, tiny_splits):
    model, context = made(case, tiny_splits)
    pictures = {}
    for entry in FIGURES:
        pictures |= drawn(entry.component(entry.config.example()), model, context)
    own = NAMES.get(case, {"reconstructions", "samples", "traversals"})
    alone = set() if any("latents" in name for name in own) else {"latents"}
    images = {"neighbours"} if len(model.data.shape) == 3 else set()
    assert pictures.keys() == own | alone | images | {"bound_curve", "curves"}
    for name, picture in pictures.items():
        assert picture.get_suptitle().startswith("run\n"), name
        picture.canvas.draw()  # what cannot be laid out or drawn fails here


def test_reconstructions_stand_below_their_data(tiny_splits):
    model, context = made("flat", tiny_splits)
    config = ReconstructionsConfig(number=4, columns=2)
    (picture,) = drawn(Reconstructions(config), model, context).values()
    shown = torch.from_numpy(picture.axes[0].images[0].get_array().data)
    with seeded(0), model.evaluating(), torch.no_grad():
        batch = context.data.test.fetch(torch.randperm(len(context.data.test))[:4])
        mean = model.infer(batch).likelihood.mean[0]
    tiles = [shown[r * 9 : r * 9 + 8, c * 9 : c * 9 + 8] for r in range(4) for c in range(2)]
    for tile, image in zip(tiles, [batch.x[0], batch.x[1], mean[0], mean[1], batch.x[2], batch.x[3]], strict=False):
        assert torch.allclose(tile, image[0].clamp(0, 1), atol=1e-6)
    assert [label.get_text() for label in picture.axes[0].get_yticklabels()] == ["data", "model"] * 2


def test_samples_at_two_temperatures_are_two_pictures(tiny_splits):
    model, context = made("flat", tiny_splits)
    assert drawn(Samples(SamplesConfig(number=3, temperature=0.5)), model, context).keys() == {"samples_t0.5"}


def test_samples_of_pixels_that_depend_on_one_another_are_draws(tiny_splits):
    model, context = made("pixels", tiny_splits)
    (picture,) = drawn(Samples(SamplesConfig(number=3)), model, context).values()
    assert "x ~ p(x | z)" in picture.get_suptitle()
    tile = torch.from_numpy(picture.axes[0].images[0].get_array().data)[:6, :6]
    assert set(tile.unique().tolist()) <= {0.0, 1.0}, "bits, and no probabilities"
    (picture,) = drawn(Samples(SamplesConfig(number=3)), made("flat", tiny_splits)[0], context).values()
    assert "E[x | z]" in picture.get_suptitle()


def test_traversals_change_the_unit_alone_and_in_order(tiny_splits, monkeypatch):
    model, context = made("flat", tiny_splits)
    (head,) = [m for m in model.posterior.modules() if isinstance(m, torch.nn.Linear)]
    with torch.no_grad():  # unit 2 says most of x and unit 0 nothing
        head.weight[:3] *= torch.tensor([[0.0], [1.0], [20.0]])
        head.bias[0] = 5.0
    seen = []
    generate = model.generate
    monkeypatch.setattr(
        model, "generate", lambda n, fixed, condition=None: seen.append(fixed[0][0].clone()) or generate(n, fixed=fixed)
    )
    (picture,) = drawn(Traversals(TraversalsConfig(units=3, steps=5, data=20)), model, context).values()
    labels = [label.get_text() for label in picture.axes[0].get_yticklabels()]
    assert [label.split()[0] for label in labels] == ["$z_{2}$", "$z_{1}$", "$z_{0}$"]
    assert labels[2].endswith("0 %")
    rows = torch.stack(seen).reshape(3, 5, 3)
    assert abs(rows[2, 2, 0] - 5) < 2  # the middle of unit 0 is its mean over the data, of standard error 0.2
    for row, unit in zip(rows, (2, 1, 0), strict=True):
        steps = row[:, unit].diff()
        assert torch.allclose(steps, steps[0].expand(4), rtol=1e-3)
        others = [u for u in range(3) if u != unit]
        assert torch.equal(row[:, others], row[:1, others].expand(5, 2))


def test_what_comes_before_a_traversed_group_stays(tiny_splits, monkeypatch):
    model, context = made("hierarchy", tiny_splits)
    seen = []
    generate = model.generate
    monkeypatch.setattr(
        model, "generate", lambda n, fixed, condition=None: seen.append(dict(fixed)) or generate(n, fixed=fixed)
    )
    drawn(Traversals(TraversalsConfig(group=1, units=2, steps=3, data=20)), model, context)
    assert all(torch.equal(fixed[0], seen[0][0]) for fixed in seen)
    seen.clear()
    drawn(Traversals(TraversalsConfig(group=0, units=1, steps=2, data=20)), model, context)
    assert all(fixed.keys() == {0} for fixed in seen)
    # a channel of a map moves at all its positions by one amount
    moved = seen[1][0] - seen[0][0]
    changed = moved.flatten(2).abs().amax((0, 2)) > 0
    assert changed.sum() == 1
    assert torch.allclose(moved[0, changed], moved[0, changed].mean().expand(1, 4, 4), rtol=1e-4)


@pytest.mark.parametrize("figure", [Traversals(TraversalsConfig(group=1)), Latents(LatentsConfig(group=1))])
def test_a_group_that_is_not_there_is_refused(figure, tiny_splits):
    with pytest.raises(ConfigError, match=r"no latent group 1, the model has 1"):
        drawn(figure, *made("flat", tiny_splits))


def test_the_plane_is_laid_out_by_quantiles(tiny_splits, monkeypatch):
    model, context = made("plane", tiny_splits)
    seen = []
    generate = model.generate
    monkeypatch.setattr(
        model, "generate", lambda n, fixed, condition=None: seen.append(fixed[0]) or generate(n, fixed=fixed)
    )
    drawn(Manifold(ManifoldConfig(size=3)), model, context)
    z = seen[0].reshape(3, 3, 2)
    third = 0.96742157  # the normal quantile of 5/6
    assert torch.allclose(z[0, :, 0], torch.tensor([-third, 0, third]), atol=1e-5)
    assert torch.allclose(z[:, 0, 1], torch.tensor([third, 0, -third]), atol=1e-5)


def test_latents_are_coloured_by_label(tiny_splits):
    model, context = made("flat", tiny_splits)
    (picture,) = drawn(Latents(LatentsConfig(number=20)), model, context).values()
    parts = picture.axes[0].collections
    assert [part.get_label() for part in parts] == ["0", "1", "2"]
    assert sum(len(part.get_offsets()) for part in parts) == 20
    assert "% of the variance" in picture.axes[0].get_xlabel()


def test_curves_show_terms_and_no_bookkeeping(tiny_splits):
    model, context = made("flat", tiny_splits)
    (picture,) = drawn(Curves(CurvesConfig()), model, context).values()
    panels = {axes.get_title(): axes for axes in picture.axes if axes.get_visible()}
    assert list(panels) == ["loss", "negative_elbo", "rate", "kl"]
    line = panels["loss"].lines[0]
    assert list(line.get_xdata()) == list(range(40))
    assert list(line.get_ydata()) == [200 - step for step in range(40)]
    assert panels["loss"].get_ylabel() == "nats"
    assert [text.get_text() for text in picture.legends[0].get_texts()] == ["train", "validation"]


def test_without_a_history_there_are_no_curves(tiny_splits):
    model, context = made("flat", tiny_splits)
    history = [{"split": "train", "step": 1, "loss": float("nan"), "name": "text", "flag": True}]
    assert drawn(Curves(CurvesConfig()), model, FigureContext(context.data)) == {}
    assert drawn(Curves(CurvesConfig()), model, FigureContext(context.data, history)) == {}


def test_data_without_labels_have_latents(tiny_splits):
    model, _ = made("flat", tiny_splits)
    data = tiny_splits((1, 8, 8), "unit", 40, None)
    (picture,) = drawn(Latents(LatentsConfig(number=20)), model, FigureContext(data)).values()
    assert len(picture.axes[0].collections[0].get_offsets()) == 20
    assert not picture.legends


def test_looking_the_figures_up_imports_no_plotting():
    code = "import sys; from vaelab.registry import FIGURES; len(FIGURES); print({'matplotlib', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
