"""Pixels that were not observed do not count, whatever the likelihood."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from core.models import FLAT, model_config
from vaelab.build import build_model
from vaelab.errors import BuildError
from vaelab.model import VAE
from vaelab.registry import LIKELIHOODS
from vaelab.types import Batch, DataSpec, Values

SHAPE = (1, 6, 5)
LOCAL: list[Any] = [
    "normal",
    {"kind": "normal", "sigma": "per_pixel"},
    "laplace",
    "student_t",
    "logcosh",
    "bernoulli",
    "continuous_bernoulli",
    "beta",
    {"kind": "categorical", "levels": 5},
    "discretised_logistic",
    {"kind": "discretised_logistic_mixture", "components": 2},
]


def model_of(likelihood: Any, values: Values = "unit", **axes: Any) -> VAE:
    torch.manual_seed(0)
    if likelihood == "bernoulli":
        likelihood = {"kind": "bernoulli", "grey": True}
    model = build_model(model_config(FLAT, likelihood=likelihood, **axes), DataSpec(SHAPE, values))
    return model.double().eval()


def data() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(4, *SHAPE, generator=generator, dtype=torch.float64)
    return x, torch.rand(4, *SHAPE, generator=generator) < 0.6


@pytest.mark.parametrize("likelihood", LOCAL, ids=str)
def test_log_px_is_that_of_the_observed_pixels(likelihood: Any):
    model = model_of(likelihood)
    x, observed = data()
    z = torch.randn(3, 4, 4, dtype=torch.float64)

    def log_px(value: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        return model.infer(Batch(value, observed=mask), 3, fixed={0: z}).log_px

    some, others = log_px(x, observed), log_px(x, ~observed)
    assert some.shape == (3, 4)
    torch.testing.assert_close(some + others, log_px(x, None))
    assert not torch.allclose(some, log_px(x, None))
    # what stands at the other pixels is of no consequence
    assert torch.equal(log_px(torch.where(observed, x, 1 - x), observed), some)
    assert torch.equal(log_px(x, torch.ones_like(observed)), log_px(x, None))


@pytest.mark.parametrize("likelihood", LOCAL, ids=str)
def test_parameters_of_unobserved_pixels_get_no_gradient(likelihood: Any):
    model = model_of(likelihood)
    x, observed = data()
    parameters = torch.randn(1, 4, *model.likelihood.parameter_shape, dtype=torch.float64, requires_grad=True)
    model.likelihood(parameters).log_prob_where(x.unsqueeze(0), observed.unsqueeze(0)).sum().backward()
    assert parameters.grad is not None
    reached = parameters.grad.reshape(4, -1, 6, 5).abs().sum(1) > 0
    assert torch.equal(reached, observed[:, 0])


@pytest.mark.parametrize("kind", ["ms_ssim", "perceptual"])
def test_scores_of_whole_pictures_refuse_a_mask(kind: str):
    x, observed = data()
    with pytest.raises(NotImplementedError, match="PictureScore"):
        _ = model_of(kind).infer(Batch(x, observed=observed)).log_px


def test_pixels_that_depend_on_one_another_refuse_a_mask():
    model = model_of("bernoulli", decoder={"kind": "pixelcnn", "trunk": "mlp", "features": 2, "width": 4})
    x, observed = data()
    with pytest.raises(NotImplementedError, match="AutoregressivePixels"):
        _ = model.infer(Batch(x, observed=observed)).log_px


def test_every_local_likelihood_of_pixels_is_tried_here():
    tried = {entry if isinstance(entry, str) else entry["kind"] for entry in LOCAL}
    registered = {entry.kind for entry in LIKELIHOODS if getattr(entry.component, "local", False)}
    built_in = {kind for kind in registered if LIKELIHOODS[kind].module.startswith("vaelab.")}
    assert built_in <= tried


@pytest.mark.parametrize(
    ("decoder", "likelihood"),
    [("pixelcnn", "bernoulli"), ("mlp", "ms_ssim"), ("mlp", "perceptual")],
)
@pytest.mark.parametrize("posterior", ["diagonal_normal", "hamiltonian"])
def test_what_cannot_leave_out_pixels_is_refused_for_data_that_hide_some(decoder: str, likelihood: str, posterior: str):
    axes = {"decoder": decoder, "likelihood": likelihood, "posterior": posterior}
    values: Values = "binary" if likelihood == "bernoulli" else "unit"
    with pytest.raises(BuildError) as caught:
        build_model(model_config(FLAT, **axes), DataSpec((1, 16, 16), values, masked=True))
    for name in (f"decoder '{decoder}'", f"likelihood '{likelihood}'", "hidden pixels"):
        assert name in str(caught.value)


def test_single_channels_cannot_be_left_out_of_a_mixture_that_shares_them():
    axes = {"likelihood": {"kind": "discretised_logistic_mixture", "components": 2}}
    assert build_model(model_config(FLAT, **axes), DataSpec((1, 8, 8), "unit", masked=True))
    with pytest.raises(BuildError, match=r"likelihood 'discretised_logistic_mixture' cannot score.*single channels"):
        build_model(model_config(FLAT, **axes), DataSpec((3, 8, 8), "unit", masked=True))


@pytest.mark.parametrize("posterior", ["hamiltonian", {"kind": "semi_amortised", "steps": 2}], ids=str)
def test_posteriors_that_follow_the_joint_density_follow_that_of_the_observed_pixels(posterior: Any):
    model = model_of("normal", posterior=posterior)
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.zero_()  # so that pixels act through the joint density alone
    x, observed = data()

    def latents(value: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        torch.manual_seed(2)
        return model.infer(Batch(value, observed=mask), 3).groups[0].z

    here = latents(x, observed)
    torch.testing.assert_close(latents(torch.where(observed, x, 1 - x), observed), here)
    assert not torch.allclose(latents(torch.where(observed, 1 - x, x), observed), here)
    assert not torch.allclose(latents(x, None), here)
