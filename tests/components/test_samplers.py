"""Densities fitted to latents: against closed forms, quadrature and enumeration; what is fitted, and what is refused."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch import Tensor

from core.models import CODES, FLAT, HIERARCHY, flat_model, model_config
from vaelab.build import build_model
from vaelab.errors import BuildError, ConfigError, DataError
from vaelab.model import VAE
from vaelab.nets.code_pixelcnn import CodePixelCNN
from vaelab.registry import SAMPLERS
from vaelab.samplers import Sampler
from vaelab.samplers.hmc import hmc
from vaelab.samplers.manifold import ManifoldConfig, ManifoldDensity
from vaelab.types import DataSpec, DataSplits

Splits = Callable[..., DataSplits]


def built(content: dict[str, Any] | str) -> Sampler[Any]:
    return SAMPLERS.build(SAMPLERS._validate(content))


def density(content: dict[str, Any], z: Tensor) -> Any:
    """What a sampler fits to latents, with the random state seeded as `fit` does."""
    torch.manual_seed(0)
    return built(content).density(z, z[:10])


def correlated(number: int) -> tuple[Tensor, Tensor, Tensor]:
    """Draws of a normal with mean and covariance, whose parts have different scales."""
    mean = torch.tensor([3.0, -1.0, 0.5])
    scale = torch.tensor([[2.0, 0.0, 0.0], [0.6, 0.5, 0.0], [-0.1, 0.2, 0.3]])
    z = mean + torch.randn(number, 3, generator=torch.Generator().manual_seed(1)) @ scale.T
    return z, mean, scale @ scale.T


def within(found: Tensor, expected: Tensor, error: Tensor) -> bool:
    return bool(((found - expected).abs() < 5 * error).all())


def has_moments(z: Tensor, mean: Tensor, covariance: Tensor) -> bool:
    """Whether draws `[N, D]` of a normal have these moments, within 5 standard errors."""
    variances = covariance.diagonal()
    error = ((variances[:, None] * variances + covariance.square()) / len(z)).sqrt()
    return within(z.mean(0), mean, (variances / len(z)).sqrt()) and within(torch.cov(z.T), covariance, error)


class Forbidden:
    """A split that may not be read."""

    spec = DataSpec((1, 8, 8), "binary")

    def __len__(self) -> int:
        raise AssertionError("the test data were looked at")


# What all have in common


@pytest.mark.parametrize("kind", [entry.kind for entry in SAMPLERS])
def test_every_sampler_draws_what_its_seed_says_and_reads_no_test_data(kind: str, tiny_splits: Splits) -> None:
    base = CODES if kind == "codes" else FLAT
    model = build_model(model_config(base), DataSpec((1, 8, 8), "binary")).eval()
    data = replace(tiny_splits(), test=Forbidden())
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)  # the fit must not depend on it
        sampler: Sampler[Any] = SAMPLERS.build(SAMPLERS[kind].config.example())
        with torch.no_grad():
            sampler.fit(model, lambda: data)
            torch.manual_seed(3)
            generation = sampler.sample(6)
        assert generation.mean.shape == (6, 1, 8, 8)
        assert [z.shape for z in generation.zs] == [(6, *group.shape) for group in model.prior.latent.groups]
        assert all(bool(z.isfinite().all()) for z in generation.zs)
        assert all(math.isfinite(value.value) for value in sampler.values.values())
        assert ("log_likelihood" in sampler.values) == (kind not in ("prior", "manifold"))
        found.append((sampler.values, generation.zs))
    assert found[0][0] == found[1][0]
    torch.testing.assert_close(found[0][1], found[1][1])
    if kind != "prior":
        assert found[0][0]["latents"].value == 48


def test_held_out_latents_come_from_training_data_where_there_is_no_validation(tiny_splits: Splits) -> None:
    data = replace(tiny_splits(), test=Forbidden(), validation=None)
    sampler = built({"kind": "gmm", "components": 1, "limit": 40})
    sampler.fit(flat_model(), lambda: data)
    assert sampler.values["latents"].value == 36


def test_means_are_fitted_where_asked(tiny_splits: Splits) -> None:
    model, data = flat_model(), tiny_splits()
    sampler = built({"kind": "gmm", "components": 1, "latents": "means"})
    sampler.fit(model, lambda: data)
    [means] = model.encode(data.train.fetch(torch.arange(48)).x, mean=True)
    torch.testing.assert_close(sampler.densities[0].means[0], means.mean(0), rtol=1e-4, atol=1e-5)


def conditional(tiny_splits: Splits) -> tuple[VAE, DataSplits]:
    """A model that is told labels, whose posterior's mean is the label's, and data with them."""
    spec = DataSpec((1, 8, 8), "binary", 3, condition_shape=(3,))
    config = model_config(
        FLAT,
        encoder={"kind": "conditional", "encoder": {"kind": "mlp", "hidden": [6]}},
        prior={"kind": "conditional", "dim": 2, "hidden": [], "readout": "latent_and_condition"},
    )
    model = build_model(config, spec).eval()
    data = tiny_splits()
    for split in (data.train, data.validation):
        split.spec = spec
    return model, data


def test_a_conditional_model_has_a_density_a_label(tiny_splits: Splits) -> None:
    model, data = conditional(tiny_splits)
    sampler = built({"kind": "gmm", "components": 1})
    sampler.fit(model, lambda: data)
    assert len(sampler.densities) == 3
    # densities that cannot be mistaken for one another
    for label, fitted in enumerate(sampler.densities):
        fitted.means, fitted.scales = torch.full((1, 2), 10.0 * label), torch.eye(2)[None]
    labels = torch.tensor([2, 0, 1, 1, 2, 0, 0])
    z = sampler.sample(7, condition=torch.eye(3)[labels]).zs[0]
    assert torch.equal((z.mean(1) / 10).round().long(), labels)
    drawn = (sampler.sample(4000).zs[0].mean(1) / 10).round().long()
    share = data.train.fetch(torch.arange(48)).y.bincount() / 48
    assert within(drawn.bincount() / 4000, share, (share * (1 - share) / 4000).sqrt())


def test_groups_of_a_hierarchy_are_fitted_jointly_or_from_the_first_on(tiny_splits: Splits) -> None:
    model = build_model(model_config(HIERARCHY), DataSpec((1, 8, 8), "binary")).eval()
    sampler = built({"kind": "gmm", "components": 1})
    sampler.fit(model, lambda: tiny_splits())
    assert sampler.densities[0].means.shape == (1, 3 + 4 + 2)
    sampler = built({"kind": "gmm", "components": 1, "groups": 1})
    sampler.fit(model, lambda: tiny_splits())
    assert sampler.densities[0].means.shape == (1, 3)
    sampler.densities[0].means += 50
    zs = sampler.sample(5).zs
    assert [z.shape[1] for z in zs] == [3, 4, 2]
    assert bool((zs[0] > 30).all())
    # the rest is the model's own, given the first
    torch.manual_seed(4)
    expected = model.generate(5, fixed={0: zs[0]}).zs
    torch.manual_seed(4)
    sampler.densities[0].sample = lambda number, temperature: zs[0]
    torch.testing.assert_close(sampler.sample(5).zs, expected)


@pytest.mark.parametrize(
    ("content", "base", "words"),
    [
        ("gmm", CODES, r"'gmm'.*codes.*'codes'"),
        ("manifold", CODES, r"'manifold'.*codes"),
        ("codes", FLAT, r"'codes'.*'real'.*'gmm'"),
        ({"kind": "maf", "groups": 4}, HIERARCHY, r"'maf'.*first 4 latent groups.*has 3"),
        ("maf", {**FLAT, "posterior": "von_mises_fisher", "prior": {"kind": "uniform_sphere", "dim": 4}}, "'sphere'"),
        ("manifold", {**FLAT, "posterior": "dirac"}, "'gmm'"),
    ],
)
def test_models_that_do_not_fit_are_refused(
    content: Any, base: dict[str, Any], words: str, tiny_splits: Splits
) -> None:
    model = build_model(model_config(base), DataSpec((1, 8, 8), "binary"))
    with pytest.raises(BuildError, match=words):
        built(content).fit(model, lambda: tiny_splits())


def test_a_condition_of_real_numbers_has_no_densities_by_label(tiny_splits: Splits) -> None:
    model, data = conditional(tiny_splits)
    model.data = replace(model.data, condition_values="real")
    with pytest.raises(BuildError, match=r"real numbers.*'prior'"):
        built("gmm").fit(model, lambda: data)


def test_fits_that_cannot_be_are_refused(tiny_splits: Splits) -> None:
    with pytest.raises(ConfigError, match=r"60 components.*48 latents.*'components'"):
        built({"kind": "gmm", "components": 60}).fit(flat_model(), lambda: tiny_splits())
    with pytest.raises(DataError, match=r"1 training data.*'limit'"):
        built({"kind": "gmm", "limit": 1}).fit(flat_model(), lambda: tiny_splits())
    with pytest.raises(ConfigError, match="too large"):
        density({"kind": "gmm", "components": 2}, torch.zeros(3, 8000))
    with pytest.raises(ValueError, match="leave out model"):
        built({"kind": "two_stage", "run": "runs/second", "model": FLAT})


# Gaussian mixtures


@pytest.mark.parametrize("covariance", ["full", "tied", "diag", "spherical"])
def test_one_component_is_the_normal_of_the_latents(covariance: str) -> None:
    z, _, _ = correlated(500)
    fitted = density({"kind": "gmm", "components": 1, "covariance": covariance}, z)
    sample = np.cov(z.double().numpy().T, bias=True)
    expected = {
        "diag": np.diag(np.diag(sample)),
        "spherical": np.eye(3) * np.diag(sample).mean(),
    }.get(covariance, sample)
    exact = multivariate_normal(z.double().mean(0).numpy(), expected + 1e-6 * np.eye(3))
    np.testing.assert_allclose(fitted.log_prob(z).numpy(), exact.logpdf(z.numpy()), rtol=1e-4, atol=1e-4)
    torch.manual_seed(5)
    for temperature in (1.0, 0.5):
        draws = fitted.sample(20_000, temperature)
        assert has_moments(draws, z.mean(0), temperature**2 * torch.as_tensor(expected).float())


def test_a_mixture_finds_two_clusters() -> None:
    z = torch.cat([torch.randn(300, 2) * 0.1 - 4, torch.randn(100, 2) * 0.1 + 4])
    fitted = density({"kind": "gmm", "components": 2}, z)
    draws = fitted.sample(4000)
    assert abs(float((draws[:, 0] > 0).float().mean()) - 0.25) < 5 * math.sqrt(0.25 * 0.75 / 4000)
    assert bool(((draws.abs() - 4).abs() < 1).all())


# Flows


@pytest.mark.parametrize("content", [{"kind": "maf"}, {"kind": "maf", "bins": 4}, {"kind": "iaf"}])
def test_a_flow_is_a_density_close_to_that_of_the_latents(content: dict[str, Any]) -> None:
    z, mean, covariance = correlated(2000)
    z, mean, covariance = z[:, :2], mean[:2], covariance[:2, :2]
    fitted = density({**content, "steps": 2, "width": [16], "epochs": 15, "batch_size": 100}, z)
    # it integrates to 1, by the rectangle rule over 8 standard deviations
    sides = [torch.linspace(-8, 8, 161) * s + m for m, s in zip(mean, covariance.diagonal().sqrt(), strict=True)]
    cell = float(sides[0].diff()[0] * sides[1].diff()[0])
    grid = torch.cartesian_prod(*sides)
    assert float(fitted.log_prob(grid).double().exp().sum()) * cell == pytest.approx(1, abs=5e-3)
    exact = torch.distributions.MultivariateNormal(mean, covariance)
    torch.manual_seed(6)
    fresh = exact.sample((4000,))
    gap = exact.log_prob(fresh) - fitted.log_prob(fresh)
    assert -5 * float(gap.std() / 4000**0.5) < float(gap.mean()) < 0.05
    # its draws have its density: the mean log-ratio over them is minus a KL
    draws = fitted.sample(4000)
    ratio = exact.log_prob(draws) - fitted.log_prob(draws)
    assert -0.1 < float(ratio.mean()) < 5 * float(ratio.std() / 4000**0.5)
    if "bins" not in content:
        narrow = fitted.sample(4000, 0.1).std(0) / draws.std(0)
        assert bool(((narrow > 0.05) & (narrow < 0.2)).all())


def test_maf_scores_and_iaf_draws_in_one_pass() -> None:
    z, _, _ = correlated(100)
    for kind, fast in (("maf", "log_prob"), ("iaf", "sample")):
        fitted = density({"kind": kind, "steps": 1, "width": [4], "epochs": 1}, z)
        passes = []
        fitted.flow.steps[0].net.hyper.register_forward_hook(lambda *_, passes=passes: passes.append(1))
        fitted.log_prob(z)
        scoring = len(passes)
        fitted.sample(10)
        drawing = len(passes) - scoring
        assert (scoring == 1) == (fast == "log_prob"), (kind, scoring, drawing)
        assert (drawing == 1) == (fast == "sample"), (kind, scoring, drawing)


# The second model

SECOND: dict[str, Any] = {
    "kind": "two_stage",
    # a linear decoder with a learned scale can be any normal
    "model": {
        "encoder": {"kind": "mlp", "hidden": [24], "activation": "tanh"},
        "posterior": "diagonal_normal",
        "prior": {"kind": "standard_normal", "dim": 3},
        "decoder": {"kind": "mlp", "hidden": []},
        "likelihood": "normal",
    },
    "training": {"steps": 450, "batch_size": 100, "optimiser": {"kind": "adam", "lr": 0.01}, "validation": []},
}


def test_the_second_model_comes_close_to_the_density_of_the_latents() -> None:
    z, mean, covariance = correlated(3000)
    fitted = density(SECOND, z)
    exact = torch.distributions.MultivariateNormal(mean, covariance)
    torch.manual_seed(7)
    fresh = exact.sample((2000,))
    with torch.no_grad():
        gap = exact.log_prob(fresh) - fitted.log_prob(fresh)
        draws = fitted.sample(2000)
    # the normal with its own axes, which knows no correlation, is worse
    independent = torch.distributions.Normal(mean, covariance.diagonal().sqrt()).log_prob(fresh).sum(1)
    assert float((exact.log_prob(fresh) - independent).mean()) > 0.5
    assert -5 * float(gap.std() / 2000**0.5) < float(gap.mean()) < 0.25
    torch.testing.assert_close(draws.std(0), covariance.diagonal().sqrt(), rtol=0.15, atol=0)
    assert (
        abs(float(torch.corrcoef(draws.T)[0, 1] - covariance[0, 1] / (covariance[0, 0] * covariance[1, 1]).sqrt()))
        < 0.15
    )


def test_the_scale_of_the_latents_changes_the_density_by_its_jacobian() -> None:
    z, _, _ = correlated(200)
    small = {**SECOND, "training": {"steps": 5}}
    one, other = density(small, z), density(small, 8 * z)
    torch.manual_seed(8)
    a = one.log_prob(z)
    torch.manual_seed(8)
    b = other.log_prob(8 * z)
    torch.testing.assert_close(b, a - 3 * math.log(8), rtol=1e-4, atol=1e-4)


# Codes


@pytest.mark.parametrize("network", ["gru", "pixelcnn"])
def test_a_density_of_codes_is_learned(network: str) -> None:
    # each code is the one above it, or the one before it in the first row, but for one time in ten
    generator = torch.Generator().manual_seed(9)
    shape, number = (2, 3), 600
    maps = torch.zeros(number, *shape, dtype=torch.int64)
    for i, j in itertools.product(*map(range, shape)):
        source = (
            maps[:, i - 1, j] if i else maps[:, i, j - 1] if j else torch.randint(3, (number,), generator=generator)
        )
        other = torch.rand(number, generator=generator) < 0.1
        step = torch.randint(1, 3, (number,), generator=generator)
        maps[:, i, j] = torch.where(other, (source + step) % 3, source)
    entropy = math.log(3) - 5 * (0.9 * math.log(0.9) + 0.1 * math.log(0.05))
    sampler = built({"kind": "codes", "network": network, "hidden": 24, "blocks": 1, "epochs": 40, "batch_size": 100,
                     "optimiser": {"kind": "adam", "lr": 0.01}})  # fmt: skip
    sampler.number, sampler.positions = 3, shape
    fitted = sampler.density(maps.flatten(1), maps[:5].flatten(1))
    every = torch.cartesian_prod(*[torch.arange(3)] * 6)
    log_p = fitted.log_prob(every).double()
    assert float(log_p.exp().sum()) == pytest.approx(1, abs=1e-5)
    assert -float(fitted.log_prob(maps.flatten(1)).mean()) < entropy + 0.15
    # draws have the probabilities, at a temperature too
    for temperature in (1.0, 2.0):
        p = fitted.log_prob(every, temperature).double().exp()
        with torch.no_grad():
            draws = fitted.sample(4000, temperature)
        place = (draws * 3 ** torch.arange(5, -1, -1)).sum(1).bincount(minlength=3**6) / 4000
        assert within(place, p, (p * (1 - p) / 4000).sqrt() + 2e-4)


def test_a_pixelcnn_over_codes_sees_what_comes_before_alone() -> None:
    network = CodePixelCNN(4, (3, 4), 6, blocks=2, kernel=3)
    index = torch.randint(4, (1, 3, 4))
    before = network(index)
    for place in range(12):
        changed = index.clone()
        changed.view(-1)[place] = (changed.view(-1)[place] + 1) % 4
        moved = (network(changed) - before).abs().sum(1).flatten() > 0
        assert not bool(moved[: place + 1].any())
        assert place == 11 or bool(moved[place + 1 :].any())


def test_codes_are_decoded_as_the_codes_that_were_drawn(tiny_splits: Splits) -> None:
    model = build_model(model_config(CODES), DataSpec((1, 8, 8), "binary")).eval()
    sampler = built({"kind": "codes", "hidden": 4, "epochs": 1})
    sampler.fit(model, lambda: tiny_splits())
    index = torch.randint(8, (5, 4))
    [z] = sampler.fixed(index).values()
    assert torch.equal(model.posterior.find(0, z).flatten(1), index)


# Hamiltonian Monte Carlo and the manifold


def test_hmc_draws_a_correlated_normal() -> None:
    _, mean, covariance = correlated(1)
    exact = torch.distributions.MultivariateNormal(mean, covariance)
    torch.manual_seed(10)
    z, accepted = hmc(exact.log_prob, torch.zeros(2000, 3), steps=60, leapfrog=8, step_size=0.25)
    assert has_moments(z, mean, covariance)
    assert 0.6 < float(accepted.mean()) < 0.999, "some are refused, or the test says nothing of that step"


@pytest.mark.parametrize("metric", ["precision", "covariance"])
def test_the_volume_element_is_that_of_whole_matrices(metric: Any) -> None:
    means, variances, z = torch.randn(4, 3), torch.rand(4, 3) + 0.1, torch.randn(6, 3)
    fitted = ManifoldDensity(means, variances, ManifoldConfig(metric=metric, bandwidth=1.7, regularisation=0.03))
    for point, value in zip(z, fitted.log_prob(z), strict=True):
        matrix = 0.03 * torch.eye(3)
        for mean, variance in zip(means, variances, strict=True):
            sigma = torch.diag(variance)
            d = point - mean
            if metric == "precision":
                matrix = matrix + sigma.inverse() * torch.exp(-d @ sigma.inverse() @ d / 1.7**2)
            else:
                matrix = matrix + sigma * torch.exp(-d @ d / 1.7**2)
        assert float(value) == pytest.approx(0.5 * float(torch.logdet(matrix)), abs=1e-4)


def test_the_bandwidth_is_the_greatest_gap_between_neighbours() -> None:
    means = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 3.0]])
    assert ManifoldDensity(means, torch.ones(3, 2), ManifoldConfig()).bandwidth == pytest.approx(3)


def test_manifold_draws_follow_the_volume_element() -> None:
    # one dimension, where the density over an interval is known by quadrature
    means, variances = torch.tensor([[-2.0], [2.0]]), torch.tensor([[0.5], [0.5]])
    config = ManifoldConfig(bandwidth=1.0, regularisation=1e-20, steps=150, leapfrog=5, step_size=0.15)
    fitted = ManifoldDensity(means, variances, config)
    torch.manual_seed(11)
    for temperature in (1.0, 0.7):
        z = fitted.sample(1500, temperature)[:, 0]
        assert fitted.acceptance > 0.7
        line = torch.linspace(-6, 6, 2401)
        p = (fitted.log_prob(line[:, None]) / temperature**2).exp()
        p = p / p.sum()
        for power in (1, 2):
            values = line.abs() ** power
            expected = float((p * values).sum())
            error = float((p * values.square()).sum() - expected**2) ** 0.5 / 1500**0.5
            assert abs(float((z.abs() ** power).mean()) - expected) < 5 * error


def test_the_prior_takes_a_condition(tiny_splits: Splits) -> None:
    model, _ = conditional(tiny_splits)
    sampler = built("prior")
    sampler.fit(model, lambda: pytest.fail("nothing is fitted"))
    condition = torch.eye(3)[torch.tensor([1, 1, 2])]
    torch.manual_seed(12)
    ours = sampler.sample(3, condition=condition).zs
    torch.manual_seed(12)
    torch.testing.assert_close(ours, model.generate(3, condition=condition).zs)
