"""The VRNN: exact answers of a linear-Gaussian one, what each step has seen, and data that are fed back."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from core.models import FLAT, model_config
from vaelab.build import build_model
from vaelab.errors import BuildError
from vaelab.model import VAE
from vaelab.objectives.wake_sleep import WakeSleep, WakeSleepConfig
from vaelab.types import Batch, BuildContext, DataSpec, StepContext, Values

VRNN: dict[str, Any] = {
    **FLAT,
    "encoder": {"kind": "per_step", "hidden": [8], "activation": "tanh"},
    "prior": {"kind": "vrnn", "dim": 2, "hidden": 3, "features": 6},
    "decoder": {"kind": "per_step", "hidden": [8], "activation": "tanh"},
}
T, D, M, H = 3, 2, 2, 3
SIGMA_Z, SIGMA_X = 0.8, 0.6


def vrnn(shape: tuple[int, ...] = (4, 5), values: Values = "binary", **axes: Any) -> VAE:
    torch.manual_seed(0)
    return build_model(model_config(VRNN, **axes), DataSpec(shape, values)).double().eval()


class LinearCell(nn.Module):
    def __init__(self, of_input: Tensor, of_state: Tensor) -> None:
        super().__init__()
        self.of_input, self.of_state = of_input, of_state

    def forward(self, entering: Tensor, state: Tensor) -> Tensor:
        return entering @ self.of_input.T + state @ self.of_state.T


class FilterHead(nn.Module):
    """The exact p(z_t | x_t, h_{t-1}) of the linear-Gaussian model, as mean and log-variance."""

    def __init__(self, prior: nn.Linear, decoder: nn.Linear) -> None:
        super().__init__()
        self.prior, self.decoder = prior, decoder

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        loc = self.prior(h)[..., :M]
        w = self.decoder.weight[:, :M]
        precision = torch.eye(M, dtype=w.dtype) / SIGMA_Z**2 + w.T @ w / SIGMA_X**2
        residual = x - self.decoder(torch.cat([loc, h], -1))
        mean = loc + residual @ torch.linalg.solve(precision, w.T).T / SIGMA_X**2
        return torch.cat([mean, -precision.diagonal().log().expand_as(mean)], -1)


def linear_gaussian(*, memory_of_z: bool, posterior: str = "diagonal_normal") -> tuple[VAE, MultivariateNormal]:
    """A VRNN whose networks are linear, and its exact p(x), from the recurrence written out over the noise."""
    likelihood = {"kind": "normal", "sigma": "fixed", "scale": SIGMA_X}
    model = vrnn((T, D), "real", likelihood=likelihood, posterior=posterior)
    generator = torch.Generator().manual_seed(4)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    prior, decoder = nn.Linear(H, 2 * M).double(), nn.Linear(M + H, D).double()
    cell = LinearCell(0.7 * draw(H, D + M), 0.4 * draw(H, H))
    if not memory_of_z:
        cell.of_input[:, D:] = 0
    w = torch.linalg.qr(draw(D, M))[0]  # orthogonal columns make the exact posterior's covariance diagonal
    start = draw(H)
    with torch.no_grad():
        prior.weight[M:], prior.bias[M:] = 0, math.log(SIGMA_Z)
        decoder.weight[:, :M] = w
        model.prior.start.copy_(start)
        model.likelihood.log_scale.fill_(math.log(SIGMA_X))
        model.prior.of_x = model.prior.of_z = nn.Identity()
        model.prior.head, model.prior.cell, model.decoder.net = prior, cell, decoder

        noise = torch.eye(T * (M + D), dtype=torch.float64)
        const, coef = start, torch.zeros(H, len(noise), dtype=torch.float64)
        consts, coefs = [], []
        for t in range(T):
            of_z, of_x = noise[t * M : (t + 1) * M], noise[T * M + t * D : T * M + (t + 1) * D]
            z = (prior.weight[:M] @ const + prior.bias[:M], prior.weight[:M] @ coef + SIGMA_Z * of_z)
            x = (
                decoder.weight @ torch.cat([z[0], const]) + decoder.bias,
                decoder.weight @ torch.cat([z[1], coef]) + SIGMA_X * of_x,
            )
            const = cell.of_input @ torch.cat([x[0], z[0]]) + cell.of_state @ const
            coef = cell.of_input @ torch.cat([x[1], z[1]]) + cell.of_state @ coef
            consts.append(x[0])
            coefs.append(x[1])
    mixing = torch.cat(coefs)
    return model, MultivariateNormal(torch.cat(consts), mixing @ mixing.T)


def test_importance_weights_average_to_the_exact_likelihood():
    # a posterior near the prior, so that the weights have a variance
    model, exact = linear_gaussian(memory_of_z=True, posterior="residual_normal")
    x = exact.sample((3,)).view(3, T, D)
    with torch.no_grad():
        log_weight = model.infer(Batch(x), 100_000).log_weight
    log_px = exact.log_prob(x.flatten(1))
    ratio = (log_weight - log_px).exp()
    error = ratio.std(0) / math.sqrt(len(ratio))
    assert (error < 0.1).all(), "the estimate says something"
    assert ((ratio.mean(0) - 1).abs() < 5 * error).all()
    # the bound rises with K to log p(x), and stays below it
    bounds = {}
    for samples in (1, 10, 1000):
        log_means = log_weight.view(-1, samples, 3).logsumexp(1) - math.log(samples)
        bounds[samples] = log_means.mean(0)
        slack = 5 * log_means.std(0) / math.sqrt(len(log_means))
        assert (bounds[samples] <= log_px + slack).all()
    assert (bounds[1] < bounds[10]).all()
    assert (bounds[10] < bounds[1000]).all()
    assert ((bounds[1000] - log_px).abs() < 0.3).all()


def test_every_weight_is_the_likelihood_where_the_filter_is_the_exact_posterior():
    """Without a memory of z the future says nothing of $z_t$."""
    model, exact = linear_gaussian(memory_of_z=False)
    model.encoder.net = nn.Identity()
    model.posterior.heads[0] = FilterHead(model.prior.head, model.decoder.net)
    x = exact.sample((4,)).view(4, T, D)
    log_weight = model.infer(Batch(x), 20).log_weight
    torch.testing.assert_close(log_weight, exact.log_prob(x.flatten(1)).expand(20, -1), rtol=0, atol=1e-9)


def test_generated_sequences_have_the_exact_mean_and_covariance():
    model, exact = linear_gaussian(memory_of_z=True)
    number = 40_000
    x = model.generate(number).sample().flatten(1)
    error = (exact.covariance_matrix.diagonal() / number).sqrt()
    assert ((x.mean(0) - exact.mean).abs() < 5 * error).all()
    # covariances between steps tell one sequence from steps drawn apart
    product = (x - exact.mean).unsqueeze(2) * (x - exact.mean).unsqueeze(1)
    error = product.std(0) / math.sqrt(number)
    assert ((product.mean(0) - exact.covariance_matrix).abs() < 5 * error).all()
    assert exact.covariance_matrix[:D, -D:].abs().max() > 10 * error[:D, -D:].max()


def test_the_past_in_a_generation_is_the_drawn_one():
    model = vrnn()
    generation = model.generate(5)
    x = generation.sample()
    assert torch.equal(x, generation.sample())
    assert set(x.unique().tolist()) <= {0.0, 1.0}
    trace = model.infer(Batch(x), fixed=dict(enumerate(generation.zs)))
    torch.testing.assert_close(trace.likelihood.mean[0], generation.mean)


@pytest.mark.parametrize("t", [0, 2, 3])
def test_a_step_has_not_seen_the_data_from_it_on(t: int):
    model = vrnn()
    x = torch.rand(2, 4, 5, dtype=torch.float64).round()
    changed = x.clone()
    changed[:, t:] = 1 - changed[:, t:]
    zs = {i: torch.randn(2, 2, dtype=torch.float64) for i in range(4)}
    one, two = (model.infer(Batch(value), 3, fixed=zs) for value in (x, changed))
    for i in range(4):
        same = torch.equal(one.groups[i].p.loc, two.groups[i].p.loc)
        assert same == (i <= t)
        same = torch.equal(one.likelihood.mean[:, :, i], two.likelihood.mean[:, :, i])
        assert same == (i <= t)


def test_hidden_pixels_are_not_seen():
    model = vrnn(encoder={"kind": "mlp", "hidden": [8]})
    model.encoder.net[-2].weight.data.zero_()  # an encoder that sees nothing leaves the prior
    x = torch.rand(2, 4, 5, dtype=torch.float64).round()
    observed = torch.rand(2, 4, 5) < 0.5
    zs = {i: torch.randn(2, 2, dtype=torch.float64) for i in range(4)}
    one = model.infer(Batch(x, observed=observed), proposed=zs).log_weight
    two = model.infer(Batch(torch.where(observed, x, 1 - x), observed=observed), proposed=zs).log_weight
    assert torch.equal(one, two)
    assert not torch.equal(one, model.infer(Batch(x), proposed=zs).log_weight)


def test_decoding_is_a_function_and_sampling_is_not():
    model = vrnn()
    zs = model.encode(torch.rand(3, 4, 5, dtype=torch.float64).round())
    assert torch.equal(model.decode(zs), model.decode(zs))
    assert not torch.equal(model.sample(3), model.sample(3))
    # with the first steps given, the rest is drawn
    some = dict(enumerate(zs[:2]))
    one, two = model.generate(3, fixed=some), model.generate(3, fixed=some)
    assert torch.equal(one.zs[1], two.zs[1])
    assert not torch.equal(one.zs[2], two.zs[2])


def test_an_image_is_fed_back_row_by_row():
    model = vrnn((2, 4, 3), "unit", likelihood={"kind": "discretised_logistic_mixture", "components": 2})
    assert model.depth == 4
    generation = model.generate(6)
    x = generation.sample()
    assert x.shape == (6, 2, 4, 3)
    trace = model.infer(Batch(x), fixed=dict(enumerate(generation.zs)))
    torch.testing.assert_close(trace.log_px[0], generation.likelihood.log_prob(x)[0])


def test_a_dream_is_scored_by_the_posterior():
    model = vrnn()
    objective = WakeSleep(WakeSleepConfig(samples=2), BuildContext(model.data))
    losses = objective(model, Batch(torch.rand(2, 4, 5, dtype=torch.float64).round()), StepContext())
    assert all(loss.value.isfinite().all() for loss in losses.values())


def test_a_decoder_that_mixes_the_steps_is_refused():
    with pytest.raises(
        BuildError, match=r"prior 'vrnn' feeds .* decoder 'mlp' does not keep .* Use the decoder 'per_step'"
    ):
        vrnn(decoder={"kind": "mlp", "hidden": [8]})


def test_a_score_of_the_whole_picture_is_refused():
    with pytest.raises(BuildError, match=r"prior 'vrnn' feeds .* likelihood 'ms_ssim' scores"):
        vrnn((1, 16, 16), "unit", likelihood={"kind": "ms_ssim"})


def test_encoder_per_step_sees_one_step():
    model = vrnn()
    x = torch.rand(2, 4, 5, dtype=torch.float64)
    changed = x.clone()
    changed[:, 2] += 1
    before, after = (model.encoder.features(Batch(value)) for value in (x, changed))
    assert [torch.equal(a, b) for a, b in zip(before, after, strict=True)] == [True, True, False, True]
