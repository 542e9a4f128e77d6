"""Scores in the place of a likelihood: structural similarity and features of a frozen network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.ndimage import correlate1d

from core.models import flat_model, model_and
from vaelab.errors import BuildError
from vaelab.nets.ssim import SCALE_WEIGHTS, gaussian_window, ms_ssim, scales_that_fit
from vaelab.types import Batch


def reference(x: np.ndarray, y: np.ndarray, size: int, scales: int) -> float:
    """MS-SSIM of one channel from the formulas of Wang et al., with scipy's filters."""
    window = gaussian_window(size).numpy()

    def blurred(image: np.ndarray) -> np.ndarray:
        edge = size // 2
        filtered = correlate1d(correlate1d(image, window, 0), window, 1)
        return filtered[edge : image.shape[0] - edge, edge : image.shape[1] - edge]

    result, weights = 1.0, np.array(SCALE_WEIGHTS[:scales]) / sum(SCALE_WEIGHTS[:scales])
    for j in range(scales):
        mx, my = blurred(x), blurred(y)
        vx, vy, cov = blurred(x * x) - mx**2, blurred(y * y) - my**2, blurred(x * y) - mx * my
        structure = (2 * cov + 0.03**2) / (vx + vy + 0.03**2)
        luminance = (2 * mx * my + 0.01**2) / (mx**2 + my**2 + 0.01**2)
        factor = (luminance * structure if j == scales - 1 else structure).mean()
        result *= factor ** weights[j]
        half = [slice(0, n // 2 * 2) for n in x.shape]
        x, y = (v[half[0], half[1]].reshape(x.shape[0] // 2, 2, x.shape[1] // 2, 2).mean((1, 3)) for v in (x, y))
    return result


@pytest.mark.parametrize(("shape", "scales"), [((44, 53), 3), ((28, 28), 2), ((11, 12), 1), ((176, 176), 5)])
def test_ms_ssim_against_its_formula(shape: tuple[int, int], scales: int):
    x = torch.rand(2, 1, *shape, dtype=torch.float64)
    y = (x + 0.2 * torch.randn_like(x)).clamp(0, 1)
    assert scales_that_fit(*shape, 11) == scales
    expected = [reference(a[0].numpy(), b[0].numpy(), 11, scales) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(ms_ssim(x, y).numpy(), expected, rtol=1e-9)


def test_ms_ssim_is_one_for_equal_pictures_and_symmetric():
    x, y = torch.rand(2, 3, 3, 30, 30, dtype=torch.float64)
    torch.testing.assert_close(ms_ssim(x, x), torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(ms_ssim(x, y), ms_ssim(y, x))
    assert (ms_ssim(x, y) < 0.5).all()


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (5, 5), (10, 40)])
def test_ms_ssim_of_small_pictures_is_finite_with_its_gradient(shape: tuple[int, int]):
    x, y = torch.rand(4, 2, *shape), torch.rand(4, 2, *shape, requires_grad=True)
    ms_ssim(x, y).sum().backward()
    assert y.grad is not None
    assert torch.isfinite(y.grad).all()


@pytest.mark.parametrize("kind", ["ms_ssim", "perceptual"])
def test_scores_say_that_they_are_no_densities(kind: str):
    model = flat_model((1, 16, 16), "unit", likelihood=kind)
    assert not model.infer(Batch(torch.rand(2, 1, 16, 16))).likelihood.has_density
    assert (
        flat_model((1, 16, 16), "unit", likelihood="normal")
        .infer(Batch(torch.rand(2, 1, 16, 16)))
        .likelihood.has_density
    )


@pytest.mark.parametrize("kind", ["ms_ssim", "perceptual"])
def test_a_score_is_greatest_for_the_datum_itself(kind: str):
    likelihood = flat_model((1, 16, 16), "unit", likelihood=kind).likelihood.double()
    x = torch.rand(5, 1, 16, 16, dtype=torch.float64)
    exact = likelihood(x.logit().unsqueeze(0)).log_prob(x)
    torch.testing.assert_close(exact, torch.zeros_like(exact), atol=1e-9, rtol=0)
    steps = [likelihood((x.logit() + noise * torch.randn_like(x)).unsqueeze(0)).log_prob(x) for noise in (0.3, 2.0)]
    assert (steps[0] < 0).all()
    assert (steps[1] < steps[0]).all()


@pytest.mark.parametrize("kind", ["ms_ssim", "perceptual"])
def test_pictures_learn_from_a_score(kind: str):
    model, objective = model_and("elbo", shape=(1, 16, 16), values="unit", likelihood=kind)
    batch = Batch(torch.rand(1, 1, 16, 16).round().expand(8, -1, -1, -1))
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    errors = []
    for _ in range(60):
        trace = model.infer(batch)
        errors.append((trace.likelihood.mean - batch.x).square().mean().item())
        optimiser.zero_grad()
        (trace.total_rate() - trace.log_px).mean().backward()
        optimiser.step()
    assert errors[-1] < 0.7 * errors[0]
    assert list(objective.parameters()) == []


def test_the_frozen_network_is_saved_and_not_trained():
    model = flat_model((3, 16, 16), "unit", likelihood="perceptual")
    frozen = [name for name in model.state_dict() if name.startswith("likelihood.features")]
    assert len(frozen) == 6
    assert not [name for name, _ in model.named_parameters() if name.startswith("likelihood")]
    torch.manual_seed(5)  # another seed of the experiment, the same measure
    other = flat_model((3, 16, 16), "unit", likelihood="perceptual")
    assert all(torch.equal(model.state_dict()[name], other.state_dict()[name]) for name in frozen)
    changed = flat_model((3, 16, 16), "unit", likelihood={"kind": "perceptual", "seed": 1})
    assert not torch.equal(model.state_dict()[frozen[0]], changed.state_dict()[frozen[0]])


class TinyVGG(torch.nn.Module):
    """What torchvision's networks look like from outside, without their 500 MB."""

    def __init__(self, weights: None = None) -> None:
        super().__init__()
        conv, relu = torch.nn.Conv2d, torch.nn.ReLU
        self.features = torch.nn.Sequential(
            conv(3, 4, 3, padding=1), relu(inplace=True), conv(4, 5, 3), relu(inplace=True)
        )
        self.classifier = torch.nn.Linear(2, 2)


def vgg(**arguments: object) -> dict[str, object]:
    return {"kind": "perceptual", "network": "vgg11", "layers": [0, 3], **arguments}


@pytest.mark.parametrize("channels", [1, 3])
def test_weights_of_torchvision_come_from_a_file(channels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torchvision.models.vgg11", TinyVGG)
    network = TinyVGG()
    path = tmp_path / "vgg11.safetensors"
    save_file(network.state_dict(), path)
    likelihood = flat_model((channels, 16, 16), "unit", likelihood=vgg(weights=str(path))).likelihood
    x, y = torch.rand(2, 3, channels, 16, 16)
    mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    for layer in network.features:
        if isinstance(layer, torch.nn.ReLU):
            layer.inplace = False
    one, two = ((v.expand(-1, 3, -1, -1) - mean) / std for v in (x, y))
    distance = sum(
        0.5 * (network.features[:n](one) - network.features[:n](two)).square().flatten(1).mean(1) for n in (1, 4)
    )
    score = likelihood(y.logit().unsqueeze(0)).log_prob(x)
    torch.testing.assert_close(score[0], -channels * 256 * distance, rtol=1e-4, atol=1e-4)


def test_weights_that_are_not_the_network_s_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torchvision.models.vgg11", TinyVGG)
    path = tmp_path / "other.safetensors"
    save_file({"features.0.weight": torch.zeros(4, 3, 3, 3)}, path)
    pickled = tmp_path / "pickled.pth"
    torch.save(TinyVGG().state_dict(), pickled)
    text = tmp_path / "text.pth"
    text.write_text("no weights")
    for weights in (None, tmp_path / "none.pth", path, pickled, text):
        arguments = {} if weights is None else {"weights": str(weights)}
        with pytest.raises(BuildError, match="needs a file of weights" if weights is None else "cannot be read"):
            flat_model((1, 16, 16), "unit", likelihood=vgg(**arguments))
    save_file(TinyVGG().state_dict(), path)
    with pytest.raises(BuildError, match="layer 9"):
        flat_model((1, 16, 16), "unit", likelihood=vgg(weights=str(path), layers=[9]))
    with pytest.raises(BuildError, match="2 channels"):
        flat_model((2, 16, 16), "unit", likelihood=vgg(weights=str(path)))


def test_features_of_a_stack_are_those_of_its_layers():
    from vaelab.nets.frozen import FrozenFeatures

    stack = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.ReLU(), torch.nn.Conv2d(2, 3, 3), torch.nn.ReLU())
    x = torch.rand(2, 1, 9, 9)
    expected = [stack[:2](x), stack[:3](x)]
    frozen = FrozenFeatures(stack, (1, 2))
    for ours, theirs in zip(frozen(x), expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert list(frozen.parameters()) == []
    assert len(frozen.state_dict()) == 4


def test_refused_windows_and_scales():
    for likelihood, message in (
        ({"kind": "ms_ssim", "window": 4}, "odd window"),
        ({"kind": "ms_ssim", "scales": 4}, "fewer scales"),
    ):
        with pytest.raises(BuildError, match=message):
            flat_model((1, 16, 16), "unit", likelihood=likelihood)
