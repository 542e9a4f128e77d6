"""Losses and gradients beside those of pythae, with the same weights, data and noise.

One composition a variant, in `COMPOSITIONS`. Where the two define a loss differently, the test asserts the exact
relation; docs/parity.md explains each.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from parity.pairs import BATCH, DIM, SHAPE, Link, Pair, bits, copied, linear, ours, pair, script
from vaelab.model import VAE
from vaelab.objectives import Objective
from vaelab.posteriors import ball
from vaelab.types import Batch, StepContext

pytest.importorskip("pythae", reason="the comparison needs pythae: pip install pythae")

from pythae import models as pythae
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseDiscriminator, BaseEncoder, BaseMetric
from pythae.trainers import AdversarialTrainer, CoupledOptimizerTrainer

pytestmark = pytest.mark.pythae

Agree = Callable[[str, Tensor, Tensor], None]

_PIXELS = math.prod(SHAPE)
_NETWORKS = {
    "encoder": {"kind": "mlp", "hidden": [512]},
    "decoder": {"kind": "mlp", "hidden": [512]},
    "likelihood": "bernoulli",
    "posterior": "diagonal_normal",
    "prior": {"kind": "standard_normal", "dim": DIM},
}
_IMAGES = {
    "encoder": {"kind": "conv", "channels": [4, 8], "hidden": []},
    "decoder": {"kind": "conv", "channels": [8, 4]},
    "prior": {"kind": "uniform_codes", "codes": 8, "dim": 4, "positions": [2, 2]},
}
# the sum of squares, without the half of a unit variance
_SQUARES = {"kind": "normal", "sigma": "fixed", "scale": math.sqrt(0.5)}


def _elbo(*divergences: Any) -> dict[str, Any]:
    return {"kind": "elbo", "divergences": list(divergences)}


COMPOSITIONS: dict[str, dict[str, Any]] = {
    "VAE": {**_NETWORKS, "objective": _elbo("kl")},
    "VAE, squared error": {
        **_NETWORKS,
        "likelihood": {"kind": "normal", "sigma": "fixed", "scale": 1.0},
        "objective": _elbo("kl"),
    },
    "BetaVAE": {**_NETWORKS, "objective": _elbo({"kind": "kl", "weight": 4.0})},
    "DisentangledBetaVAE": {**_NETWORKS, "objective": _elbo({"kind": "capacity", "weight": 10.0, "capacity": 5.0})},
    "BetaTCVAE": {
        **_NETWORKS,
        "objective": _elbo({"kind": "beta_tc", "alpha": 1.5, "beta": 6.0, "gamma": 0.5, "estimator": "weighted"}),
    },
    "BetaTCVAE, stratified": {
        **_NETWORKS,
        "objective": _elbo({"kind": "beta_tc", "alpha": 1.5, "beta": 6.0, "gamma": 0.5, "estimator": "stratified"}),
    },
    "FactorVAE": {**_NETWORKS, "objective": _elbo("kl", {"kind": "adversarial_tc", "weight": 6.0})},
    "IWAE": {**_NETWORKS, "objective": {"kind": "iwae", "samples": 5}},
    "MIWAE": {**_NETWORKS, "objective": {"kind": "miwae", "samples": 3, "outer": 2}},
    "CIWAE": {**_NETWORKS, "objective": {"kind": "ciwae", "samples": 5, "beta": 0.3}},
    "PIWAE": {**_NETWORKS, "objective": {"kind": "piwae", "samples": 3, "outer": 2}},
    "INFOVAE_MMD": {
        **_NETWORKS,
        "objective": _elbo({"kind": "kl", "weight": 0.7}, {"kind": "mmd", "weight": 4.3}),
    },
    "WAE_MMD": {
        **_NETWORKS,
        "posterior": "dirac",
        "likelihood": _SQUARES,
        "objective": _elbo({"kind": "mmd", "weight": 10.0}),
    },
    "Adversarial_AE": {
        **_NETWORKS,
        "objective": _elbo({"kind": "adversarial_latent", "weight": 0.5, "hidden": [256]}),
    },
    "VAEGAN": {**_NETWORKS, "objective": _elbo("kl", {"kind": "adversarial_data", "weight": 0.5, "hidden": [256]})},
    "AE": {**_NETWORKS, "posterior": "dirac", "likelihood": _SQUARES, "objective": _elbo()},
    "RAE_L2": {
        **_NETWORKS,
        "posterior": "dirac",
        "likelihood": _SQUARES,
        "objective": _elbo({"kind": "latent_l2", "weight": 0.1}),
    },
    "RAE_GP": {
        **_NETWORKS,
        "posterior": "dirac",
        "likelihood": _SQUARES,
        "objective": _elbo({"kind": "latent_l2", "weight": 0.1}, {"kind": "decoder_gradient", "weight": 0.2}),
    },
    "VAMP": {**_NETWORKS, "prior": {"kind": "vamp", "dim": DIM, "pseudo_inputs": 7}, "objective": _elbo("kl")},
    "VQVAE": {
        **_IMAGES,
        "likelihood": _SQUARES,
        "posterior": {"kind": "vq", "codebook": "gradient"},
        "objective": _elbo({"kind": "commitment", "weight": 1 / 16}),
    },
    "VQVAE, running means": {
        **_IMAGES,
        "likelihood": _SQUARES,
        "posterior": {"kind": "vq", "codebook": "ema", "threshold_dead": None},
        "objective": _elbo({"kind": "commitment", "weight": 1 / 16}),
    },
    "VAE_LinNF, planar": {
        **_NETWORKS,
        "posterior": {"kind": "flow", "flow": "planar", "steps": 2, "amortised": False},
        "objective": _elbo("kl"),
    },
    "VAE_LinNF, radial": {
        **_NETWORKS,
        "posterior": {"kind": "flow", "flow": "radial", "steps": 2, "amortised": False},
        "objective": _elbo("kl"),
    },
    "VAE_IAF": {
        **_NETWORKS,
        "posterior": {"kind": "flow", "flow": "iaf", "steps": 2, "width": [16, 16], "context": 1},
        "objective": _elbo("kl"),
    },
    "SVAE": {
        **_NETWORKS,
        "prior": {"kind": "uniform_sphere", "dim": DIM},
        "posterior": "von_mises_fisher",
        "objective": _elbo("kl"),
    },
    "PoincareVAE": {
        **_NETWORKS,
        "prior": {"kind": "ball_normal", "dim": DIM, "curvature": 0.8},
        "posterior": "wrapped_normal",
        "objective": _elbo("kl"),
    },
    "PoincareVAE, Riemannian": {
        **_NETWORKS,
        "prior": {"kind": "ball_normal", "dim": DIM, "curvature": 0.8, "form": "riemannian"},
        "posterior": "riemannian_normal",
        "objective": _elbo("kl"),
    },
    "RHVAE": {
        **_NETWORKS,
        "posterior": {
            "kind": "riemannian_hamiltonian",
            "steps": 1,
            "step_size": 0.02,
            "temper": 0.5,
            "centroids": BATCH,
            "temperature": 1.5,
            "regularisation": 0.01,
            "metric_hidden": [16],
            "iterations": 3,
        },
        "objective": _elbo("kl"),
    },
    "HVAE": {
        **_NETWORKS,
        "posterior": {"kind": "hamiltonian", "steps": 1, "step_size": 0.05, "temper": 0.5},
        "objective": _elbo("kl"),
    },
}


def _config(kind: type, **arguments: Any) -> Any:
    return kind(input_dim=SHAPE, latent_dim=DIM, **arguments)


def _pair(
    name: str, kind: type, config: type, second: str | None = "log_var", factor: float = 1.0, **arguments: Any
) -> Pair:
    return pair(COMPOSITIONS[name], kind, _config(config, **arguments), second, factor)


def _flat(
    agree: Agree, made: Pair, constant: float = 0.0, context: StepContext | None = None, **arguments: Any
) -> ModelOutput:
    """Compare loss and gradients of a model that draws one standard normal `[B, D]`."""
    x, noise = bits(), torch.randn(BATCH, DIM)
    with script(randn=[noise[None]]):
        loss = made.losses(x, context)["model"]
    with script(randn_like=[noise]):
        theirs = made.theirs({"data": x}, **arguments)
    agree("loss", loss, theirs.loss + constant)
    agree("gradient", *made.gradients(made.autoencoder, loss, theirs.loss))
    return theirs


def test_vae(agree: Agree) -> None:
    _flat(agree, _pair("VAE", pythae.VAE, pythae.VAEConfig, reconstruction_loss="bce"))


def test_vae_with_a_squared_error_leaves_out_the_normaliser(agree: Agree) -> None:
    made = _pair("VAE, squared error", pythae.VAE, pythae.VAEConfig, reconstruction_loss="mse")
    _flat(agree, made, constant=0.5 * _PIXELS * math.log(2 * math.pi))


def test_beta_vae(agree: Agree) -> None:
    _flat(agree, _pair("BetaVAE", pythae.BetaVAE, pythae.BetaVAEConfig, reconstruction_loss="bce", beta=4.0))


def _rates(made: Pair, x: Tensor) -> Tensor:
    return made.model.infer(Batch(x)).rate(0)[0].detach()


def _capacity_pair(offset: float, scale: float) -> tuple[Pair, Tensor, Tensor]:
    """Posteriors whose rates are spread by `scale` and shifted by `offset`."""
    made = _pair(
        "DisentangledBetaVAE",
        pythae.DisentangledBetaVAE,
        pythae.DisentangledBetaVAEConfig,
        reconstruction_loss="bce",
        beta=10.0,
        C=5.0,
        warmup_epoch=0,
    )
    raw = made.model.posterior.heads[0].net[0]
    with torch.no_grad():
        raw.weight[:DIM] *= scale
        raw.bias[:DIM] += offset
    made.copy()
    return made, bits(), torch.randn(BATCH, DIM)


@pytest.mark.parametrize(("side", "offset", "scale"), [("below", 0.0, 1.0), ("above", 5.0, 1.0)])
def test_capacity_where_all_rates_lie_on_one_side_of_it(agree: Agree, side: str, offset: float, scale: float) -> None:
    made, x, noise = _capacity_pair(offset, scale)
    rates = _rates(made, x)
    assert bool((rates < 5).all() if side == "below" else (rates > 5).all())
    with script(randn=[noise[None]]):
        loss = made.losses(x)["model"]
    with script(randn_like=[noise]):
        theirs = made.theirs({"data": x}, epoch=10).loss
    agree("loss", loss, theirs)
    agree("gradient", *made.gradients(made.autoencoder, loss, theirs))


def test_capacity_holds_the_mean_rate_here_and_each_rate_in_pythae(agree: Agree) -> None:
    made, x, noise = _capacity_pair(1.6, 5.0)
    rates = _rates(made, x)
    assert rates.min() < 5 < rates.max()
    with script(randn=[noise[None]]):
        loss = made.losses(x)["model"]
    with script(randn_like=[noise]):
        theirs = made.theirs({"data": x}, epoch=10).loss
    gap = (rates - 5).abs().mean() - (rates.mean() - 5).abs()
    assert gap > 0.01
    agree("loss + weight (mean |KL - C| - |mean KL - C|)", loss + 10 * gap, theirs)


_TC = {"reconstruction_loss": "bce", "alpha": 1.5, "beta": 6.0, "gamma": 0.5}


def test_beta_tc_vae_with_minibatch_weighted_sampling(agree: Agree) -> None:
    made = _pair("BetaTCVAE", pythae.BetaTCVAE, pythae.BetaTCVAEConfig, use_mss=False, **_TC)
    _flat(agree, made, context=StepContext(dataset_size=100), dataset_size=100)


def test_beta_tc_vae_with_pythaes_matrix_of_stratified_weights(agree: Agree, monkeypatch: pytest.MonkeyPatch) -> None:
    made = _pair("BetaTCVAE, stratified", pythae.BetaTCVAE, pythae.BetaTCVAEConfig, use_mss=True, **_TC)
    theirs = made.theirs._log_importance_weight_matrix(BATCH, 100)

    from vaelab.divergences import beta_tc

    right = beta_tc.log_weights(BATCH, 100, "stratified", theirs)
    # the weight 1/N is that of the datum itself, so it belongs on the diagonal; theirs is on the first column
    assert torch.allclose(right.diagonal().exp(), torch.tensor(0.01))
    assert torch.allclose(theirs[:-2, 0].exp(), torch.tensor(0.01))
    # and in their last row but one nothing is the datum's, so that the weights do not sum to 1
    assert torch.allclose(right.exp().sum(1), torch.ones(BATCH))
    assert theirs.exp().sum(1)[-2] > 1.1
    monkeypatch.setattr(beta_tc, "log_weights", lambda *_: theirs)
    _flat(agree, made, context=StepContext(dataset_size=100), dataset_size=100)


def _factor() -> tuple[Pair, dict[str, Tensor], ModelOutput]:
    """The models and their losses, of the same latents and with the same shuffles."""
    made = _pair("FactorVAE", pythae.FactorVAE, pythae.FactorVAEConfig, reconstruction_loss="bce", gamma=6.0)
    discriminator = made.objective.divergences[1].adversary.network
    layers = [layer for layer in made.theirs.discriminator.layers if isinstance(layer, nn.Linear)]
    own = [layer for layer in discriminator if isinstance(layer, nn.Linear)]
    made.adversary = [link for a, b in zip(own[:-1], layers[:-1], strict=True) for link in linear(a, b)]
    # two logits in pythae, of which only the difference matters
    made.adversary.append(Link(own[-1].weight, layers[-1].weight, place=lambda t: t[:1]))
    made.adversary.append(Link(own[-1].bias, layers[-1].bias, place=lambda t: t[:1]))
    nn.init.zeros_(layers[-1].weight)
    nn.init.zeros_(layers[-1].bias)
    made.copy()
    # 0.2 in pythae
    (slope,) = {layer.negative_slope for layer in discriminator if isinstance(layer, nn.LeakyReLU)}
    for layer in made.theirs.discriminator.layers:
        if isinstance(layer, nn.LeakyReLU):
            layer.negative_slope = slope
    # pythae judges one half of a batch and permutes the other: here both halves are the same
    x, noise = bits(), torch.randn(BATCH, DIM)
    shuffles = [torch.randperm(BATCH) for _ in range(DIM)]
    with script(randn=[noise[None]], randperm=shuffles):
        losses = made.losses(x)
    with script(randn_like=[noise, noise], randperm=[torch.arange(2 * BATCH), *shuffles]):
        theirs = made.theirs({"data": torch.cat([x, x])})
    return made, losses, theirs


def test_factor_vae(agree: Agree) -> None:
    made, losses, theirs = _factor()
    agree("loss", losses["model"], theirs.autoencoder_loss)
    agree("gradient", *made.gradients(made.autoencoder, losses["model"], theirs.autoencoder_loss))
    agree("adversary's loss", losses["adversarial_tc"], theirs.discriminator_loss)
    gradients = made.gradients(made.adversary, losses["adversarial_tc"], theirs.discriminator_loss)
    agree("adversary's gradient", *gradients)


def _standing(*modules: nn.Module) -> torch.optim.Optimizer:
    """An optimiser that clears gradients and moves nothing."""
    return torch.optim.SGD([parameter for module in modules for parameter in module.parameters()], lr=0.0)


def test_factor_vaes_encoder_receives_the_adversarys_loss_in_pythaes_trainer(agree: Agree) -> None:
    made, losses, theirs = _factor()
    model = made.theirs
    leak = made.gradients(made.inference, losses["adversarial_tc"], theirs.discriminator_loss)
    assert leak[0].abs().max() == 0
    made.zero_grad()
    losses["model"].backward(retain_graph=True)
    theirs.discriminator_loss.backward(retain_graph=True)
    # what the two players' losses leave there, before pythae's trainer takes its step
    expected = [link.gradients()[0] + link.gradients()[1] for link in made.inference]
    trainer = SimpleNamespace(
        autoencoder_optimizer=_standing(model.encoder, model.decoder),
        discriminator_optimizer=_standing(model.discriminator),
    )
    AdversarialTrainer._optimizers_step(trainer, theirs)
    trained = [link.gradients()[1] for link in made.inference]
    agree("encoder's gradient, both losses", torch.cat(expected), torch.cat(trained))


def _entropy(log_weight: Tensor) -> Tensor:
    """Of the normalised weights `[..., K, B]`: what pythae's value lacks to the logarithm of their mean, but log K."""
    weight = log_weight.softmax(-2)
    return -(weight * weight.log()).sum(-2)


def test_iwae(agree: Agree) -> None:
    made = _pair("IWAE", pythae.IWAE, pythae.IWAEConfig, reconstruction_loss="bce", number_samples=5)
    x, noise = bits(), torch.randn(5, BATCH, DIM)
    with script(randn=[noise]):
        loss = made.losses(x)["model"]
    with script(randn_like=[noise.transpose(0, 1)]):
        theirs = made.theirs({"data": x}).loss
    with script(randn=[noise]):
        entropy = _entropy(made.model.infer(Batch(x), 5).log_weight).mean()
    agree("loss - log K + H(weights)", loss - math.log(5) + entropy, theirs)
    agree("gradient", *made.gradients(made.autoencoder, loss, theirs))


def test_ciwae(agree: Agree) -> None:
    made = _pair("CIWAE", pythae.CIWAE, pythae.CIWAEConfig, reconstruction_loss="bce", number_samples=5, beta=0.3)
    x, noise = bits(), torch.randn(5, BATCH, DIM)
    with script(randn=[noise]):
        loss = made.losses(x)["model"]
    with script(randn_like=[noise.transpose(0, 1)]):
        theirs = made.theirs({"data": x}).loss
    with script(randn=[noise]):
        entropy = _entropy(made.model.infer(Batch(x), 5).log_weight).mean()
    agree("loss - (1 - beta) (log K - H(weights))", loss - 0.7 * (math.log(5) - entropy), theirs)
    agree("gradient", *made.gradients(made.autoencoder, loss, theirs))


def _grid(kind: Any, config: Any, name: str) -> tuple[Pair, dict[str, Tensor], ModelOutput, Tensor]:
    """MIWAE and PIWAE: 2 bounds of 3 samples, which pythae calls 3 estimates of 2 samples."""
    made = _pair(name, kind, config, reconstruction_loss="bce", number_gradient_estimates=3, number_samples=2)
    x, noise = bits(), torch.randn(2, 3, BATCH, DIM)
    with script(randn=[noise.flatten(0, 1)]):
        losses = made.losses(x)
    with script(randn_like=[noise.permute(2, 1, 0, 3)]):
        theirs = made.theirs({"data": x})
    with script(randn=[noise.flatten(0, 1)]):
        log_weight = made.model.infer(Batch(x), 6).log_weight.unflatten(0, (2, 3))
    return made, losses, theirs, log_weight


def test_miwae_with_the_roles_of_the_two_numbers_exchanged(agree: Agree) -> None:
    made, losses, theirs, log_weight = _grid(pythae.MIWAE, pythae.MIWAEConfig, "MIWAE")
    corrected = losses["model"] - math.log(3) + _entropy(log_weight).mean()
    agree("loss - log K + H(weights)", corrected, theirs.loss)
    agree("gradient", *made.gradients(made.autoencoder, losses["model"], theirs.loss))


def test_piwae_with_the_roles_of_the_two_numbers_exchanged(agree: Agree) -> None:
    made, losses, theirs, log_weight = _grid(pythae.PIWAE, pythae.PIWAEConfig, "PIWAE")
    inference = losses["inference"] - math.log(3) + _entropy(log_weight).mean()
    agree("inference: loss - log K + H(weights)", inference, theirs.encoder_loss)
    agree("inference: gradient", *made.gradients(made.inference, losses["inference"], theirs.encoder_loss))
    generative = losses["model"] - math.log(6) + _entropy(log_weight.flatten(0, 1)).mean()
    agree("generative: loss - log MK + H(weights)", generative, theirs.decoder_loss)
    agree("generative: gradient", *made.gradients(made.generative, losses["model"], theirs.decoder_loss))


def test_piwaes_encoder_receives_both_losses_in_pythaes_trainer(agree: Agree) -> None:
    made, losses, theirs, _ = _grid(pythae.PIWAE, pythae.PIWAEConfig, "PIWAE")
    made.zero_grad()
    (losses["inference"] + losses["model"]).backward()
    trainer = SimpleNamespace(
        encoder_optimizer=_standing(made.theirs.encoder), decoder_optimizer=_standing(made.theirs.decoder)
    )
    CoupledOptimizerTrainer._optimizers_step(trainer, theirs)
    agree("encoder's gradient, both losses", *made.gradients_left(made.inference))


def test_info_vae(agree: Agree) -> None:
    made = _pair(
        "INFOVAE_MMD", pythae.INFOVAE_MMD, pythae.INFOVAE_MMD_Config, reconstruction_loss="bce", alpha=0.3, lbd=5.0
    )
    x, noise, prior = bits(), torch.randn(BATCH, DIM), torch.randn(BATCH, DIM)
    with script(randn=[noise[None], prior[None]]):
        loss = made.losses(x)["model"]
    with script(randn_like=[noise, prior]):
        theirs = made.theirs({"data": x}).loss
    agree("loss", loss, theirs)
    agree("gradient", *made.gradients(made.autoencoder, loss, theirs))


# (x - m)^2 and its normaliser, where pythae has the square alone
_SQUARES_CONSTANT = 0.5 * _PIXELS * math.log(math.pi)


def test_wae_mmd(agree: Agree) -> None:
    made = _pair("WAE_MMD", pythae.WAE_MMD, pythae.WAE_MMD_Config, None, reg_weight=10.0)
    x, prior = bits(), torch.randn(BATCH, DIM)
    with script(randn=[prior[None]]):
        loss = made.losses(x)["model"]
    with script(randn_like=[prior]):
        theirs = made.theirs({"data": x}).loss
    agree("loss", loss, theirs + _SQUARES_CONSTANT)
    agree("gradient", *made.gradients(made.autoencoder, loss, theirs))


class _Discriminator(BaseDiscriminator):
    """Ours, with the sigmoid and the named layers that pythae asks for."""

    def __init__(self, network: nn.Sequential) -> None:
        super().__init__()
        self.network = network
        self.depth = 2

    def forward(self, x: Tensor, output_layer_levels: list[int] | None = None) -> ModelOutput:
        features = self.network[:2](x.flatten(1))
        if output_layer_levels == [1]:
            return ModelOutput(embedding_layer_1=features)
        return ModelOutput(embedding=self.network[2:](features).sigmoid())


def _judge(made: Pair, name: str) -> None:
    network, made.adversary = copied(dict(made.objective.divergences.named_children())[name].adversary.network)
    made.theirs.set_discriminator(_Discriminator(network))


def test_adversarial_ae(agree: Agree) -> None:
    made = _pair(
        "Adversarial_AE",
        pythae.Adversarial_AE,
        pythae.Adversarial_AE_Config,
        reconstruction_loss="bce",
        adversarial_loss_scale=0.5,
    )
    _judge(made, "0")
    x, noise, prior = bits(), torch.randn(BATCH, DIM), torch.randn(BATCH, DIM)
    with script(randn=[noise[None], prior[None]]):
        losses = made.losses(x)
    with script(randn_like=[noise, prior.clone()]):
        theirs = made.theirs({"data": x})
    agree("loss", losses["model"], theirs.autoencoder_loss)
    agree("gradient", *made.gradients(made.autoencoder, losses["model"], theirs.autoencoder_loss))
    agree("adversary's loss", losses["adversarial_latent"], theirs.discriminator_loss)
    gradients = made.gradients(made.adversary, losses["adversarial_latent"], theirs.discriminator_loss)
    agree("adversary's gradient", *gradients)


def test_vae_gan_shares_the_adversary_and_the_rate(agree: Agree) -> None:
    made = _pair(
        "VAEGAN",
        pythae.VAEGAN,
        pythae.VAEGANConfig,
        reconstruction_loss="bce",
        adversarial_loss_scale=0.5,
        reconstruction_layer=1,
    )
    _judge(made, "1")
    x, noise = bits(), torch.randn(BATCH, DIM)
    with script(randn=[noise[None]]):
        losses = made.losses(x)
    with script(randn=[noise[None]]):
        trace = made.model.infer(Batch(x))
    # pythae's adversary sees draws of the prior, ours sees reconstructions: let the two be the same pictures
    with script(randn_like=[noise, trace.groups[0].z[0].detach().clone()]):
        theirs = made.theirs({"data": x})
    agree("adversary's loss", losses["adversarial_data"], theirs.discriminator_loss)
    gradients = made.gradients(made.adversary, losses["adversarial_data"], theirs.discriminator_loss)
    agree("adversary's gradient", *gradients)
    # the model's losses: reconstructions in the adversary's features there, in nats of the likelihood here
    features = made.objective.divergences[1].adversary.network[:2]
    error = 0.5 * (features(x.flatten(1)) - features(trace.likelihood.mean[0].flatten(1))).square().sum(1).mean()
    agree("pythae's encoder loss from our parts", trace.rate(0).mean() + error, theirs.encoder_loss)
    decoder = 0.5 * error - 0.5 * losses["adversarial_data"]
    agree("pythae's decoder loss from our parts", decoder, theirs.decoder_loss)
    adversarial = F.softplus(-made.objective.divergences[1].adversary(trace.likelihood.mean[0].flatten(1))).mean()
    parts = -trace.log_px.mean() + trace.rate(0).mean() + 0.5 * adversarial
    assert torch.allclose(losses["model"], parts)


def test_autoencoder(agree: Agree) -> None:
    made, x = _pair("AE", pythae.AE, pythae.AEConfig, None), bits()
    with script():
        loss, theirs = made.losses(x)["model"], made.theirs({"data": x}).loss
    agree("loss", loss, theirs + _SQUARES_CONSTANT)
    agree("gradient", *made.gradients(made.autoencoder, loss, theirs))


def test_rae_l2(agree: Agree) -> None:
    made = _pair("RAE_L2", pythae.RAE_L2, pythae.RAE_L2_Config, None, embedding_weight=0.1)
    x = bits()
    with script():
        loss, theirs = made.losses(x)["model"], made.theirs({"data": x}).loss
    agree("loss", loss, theirs + _SQUARES_CONSTANT)
    agree("gradient", *made.gradients(made.autoencoder, loss, theirs))


def test_rae_gp_differentiates_by_the_code_here_and_by_the_datum_in_pythae(agree: Agree) -> None:
    made = _pair("RAE_GP", pythae.RAE_GP, pythae.RAE_GP_Config, None, embedding_weight=0.1, reg_weight=0.2)
    x = bits().requires_grad_()
    # pythae's direction is not drawn: it takes the sum of all pixels
    with script(randn_like=[torch.ones(1, BATCH, *SHAPE)]):
        loss = made.losses(x)["model"]
    trace = made.model.infer(Batch(x))
    z, mean = trace.groups[0].z, trace.likelihood.mean
    (by_code,) = torch.autograd.grad(mean, z, torch.ones_like(mean), create_graph=True)
    (by_datum,) = torch.autograd.grad(z, x, by_code, create_graph=True)
    ours_ = by_code[0].square().sum(1).mean()
    theirs_ = by_datum.flatten(1).square().sum(1).mean()
    theirs = made.theirs({"data": x})
    agree("penalty by the datum", theirs_, theirs.gen_reg_loss)
    moved = loss - 0.2 * ours_ + 0.2 * theirs_
    agree("loss with that penalty in the place of ours", moved, theirs.loss + _SQUARES_CONSTANT)
    agree("gradient of it", *made.gradients(made.autoencoder, moved, theirs.loss))


def test_vamp(agree: Agree) -> None:
    made = _pair("VAMP", pythae.VAMP, pythae.VAMPConfig, reconstruction_loss="bce", number_components=7)
    inputs = made.theirs.pseudo_inputs[0]
    nn.init.zeros_(inputs.bias)
    made.generative.append(Link(made.model.prior.pseudo_inputs, inputs.weight, lambda t: t.flatten(1), lambda t: t.T))
    made.copy()
    _flat(agree, made)


class _Encoder(BaseEncoder):
    """Copies of our encoder and head."""

    def __init__(self, encoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(self, x: Tensor) -> ModelOutput:
        return ModelOutput(embedding=self.head(self.encoder(x), None)[0])


class _Decoder(BaseDecoder):
    """A copy of our decoder."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=self.decoder(z[None])[0])


def _codes(name: str, **arguments: Any) -> Pair:
    model, objective = ours(COMPOSITIONS[name])
    encoder, inference = copied(model.encoder)
    head, more = copied(model.posterior.heads[0])
    decoder, generative = copied(model.decoder)
    config = _config(pythae.VQVAEConfig, num_embeddings=8, commitment_loss_factor=0.25, **arguments)
    theirs = pythae.VQVAE(config, encoder=_Encoder(encoder, head), decoder=_Decoder(decoder))
    return Pair(model, objective, theirs, [*inference, *more], generative)


def _spread(made: Pair, x: Tensor) -> Tensor:
    """Code vectors near some of the features, so that several are chosen."""
    with torch.no_grad():
        features = made.theirs.encoder(x).embedding.movedim(1, -1).flatten(0, 2)
        return features[:8] + 0.1 * features.std(0) * torch.randn(8, 4)


def test_vq_vae_with_learned_codes(agree: Agree) -> None:
    made, x = _codes("VQVAE", quantization_loss_factor=1.0), bits()
    book = made.model.posterior.books[0]._codebook.embed
    book.data.copy_(_spread(made, x))
    made.generative.append(Link(book, made.theirs.quantizer.embeddings.weight, lambda t: t[0]))
    made.copy()
    with script():
        loss, theirs = made.losses(x)["model"], made.theirs({"data": x})
    assert len(theirs.quantized_indices.unique()) > 2
    agree("loss", loss, theirs.loss + _SQUARES_CONSTANT)
    agree("gradient", *made.gradients(made.autoencoder, loss, theirs.loss))


def test_vq_vae_with_running_means(agree: Agree) -> None:
    made, x = _codes("VQVAE, running means", use_ema=True, decay=0.99), bits()
    book, quantizer = made.model.posterior.books[0]._codebook, made.theirs.quantizer
    with torch.no_grad():
        book.embed.copy_(_spread(made, x))
        # pythae starts its counts at zero and its sums at random, so that a code jumps at the first step
        book.cluster_size.fill_(3.0)
        book.embed_avg.copy_(3.0 * book.embed)
        quantizer.cluster_size.copy_(book.cluster_size[0])
        quantizer.ema_embed.copy_(book.embed_avg[0])
        quantizer.embeddings.copy_(book.embed[0])
    with script():
        loss, theirs = made.losses(x)["model"], made.theirs({"data": x})
    assert len(theirs.quantized_indices.unique()) > 2
    agree("loss", loss, theirs.loss + _SQUARES_CONSTANT)
    agree("gradient", *made.gradients(made.autoencoder, loss, theirs.loss))
    agree("codes after the step", book.embed[0], quantizer.embeddings)


def test_pythae_quantises_a_vector_number_by_number() -> None:
    model = pythae.VQVAE(_config(pythae.VQVAEConfig, num_embeddings=8))
    assert model.quantizer.embedding_dim == 1
    assert model({"data": bits()}).quantized_indices.shape == (BATCH, 1, 1, DIM)


# pythae's encoder yields log sigma^2, our flow's head log sigma
_TWICE = 2.0


def _flow(name: str, kind: str) -> tuple[Pair, list[Any], list[Any]]:
    made = _pair(
        name,
        pythae.VAE_LinNF,
        pythae.VAE_LinNF_Config,
        "log_var",
        _TWICE,
        reconstruction_loss="bce",
        flows=[kind, kind],
    )
    return made, list(made.model.posterior.flows[0].steps), list(made.theirs.net)


def test_vae_with_planar_flows(agree: Agree) -> None:
    made, steps, layers = _flow("VAE_LinNF, planar", "Planar")
    floors = []
    with torch.no_grad():
        for step, layer in zip(steps, layers, strict=True):
            step.weights.normal_()
            u, w, b = step.weights.split([DIM, DIM, 1])
            dot = (u * w).sum()
            # pythae has no constraint on u; ours is moved to where the map is invertible
            layer.u.copy_(u + (F.softplus(dot) - 1 - dot) / w.square().sum() * w)
            layer.w.copy_(w)
            layer.b.copy_(b)
            layer.register_forward_hook(lambda _, __, out: floors.append(out.log_abs_det_jac))
    x, noise = bits(), torch.randn(BATCH, DIM)
    with script(randn=[noise[None]]):
        loss = made.losses(x)["model"]
    with script(randn_like=[noise]):
        theirs = made.theirs({"data": x}).loss
    # each of their determinants is 1e-4 too large
    excess = sum(log_det - (log_det.exp() - 1e-4).log() for log_det in floors).mean()
    agree("loss", loss, theirs + excess)
    agree("gradient", *made.gradients(made.autoencoder, loss, theirs + excess))


def test_vae_with_radial_flows(agree: Agree) -> None:
    made, steps, layers = _flow("VAE_LinNF, radial", "Radial")
    with torch.no_grad():
        for step, layer in zip(steps, layers, strict=True):
            step.weights.normal_()
            centre, alpha, beta = step.weights.split([DIM, 1, 1])
            layer.x0.copy_(centre)
            layer.log_alpha.copy_((F.softplus(alpha) + 1e-4).log())
            layer.beta.copy_(beta)
            made.inference.append(Link(step.weights, layer.x0, lambda t: t[:DIM], lambda t: t[0]))
            made.inference.append(Link(step.weights, layer.beta, lambda t: t[-1:]))
    _flat(agree, made)


def _bounded(made: nn.Module) -> None:
    """Bounds the log-scales of pythae's masked network as those of ours are: |s| < log 1000, softly."""
    forward = made.forward

    def bounded(x: Tensor) -> ModelOutput:
        out = forward(x)
        return ModelOutput(mu=out.mu, log_var=out.log_var / (1 + (out.log_var / math.log(1000)).abs()))

    made.forward = bounded


def test_vae_iaf_with_bounded_scales_and_no_context(agree: Agree) -> None:
    made = _pair(
        "VAE_IAF",
        pythae.VAE_IAF,
        pythae.VAE_IAF_Config,
        "log_var",
        _TWICE,
        reconstruction_loss="bce",
        n_made_blocks=2,
        n_hidden_in_made=2,
        hidden_size=16,
    )
    with torch.no_grad():
        # pythae's steps receive nothing from the encoder
        raw = made.model.posterior.heads[0].net[0]
        raw.weight[2 * DIM :] = 0
        raw.bias[2 * DIM :] = 0
    # pythae turns the vector round before each step and takes its last network first
    for step, block, turned in zip(
        made.model.posterior.flows[0].steps, made.theirs.iaf_flow.net[::-1], (True, False), strict=True
    ):
        order = torch.arange(DIM).flip(0) if turned else torch.arange(DIM)
        rows = torch.cat([2 * order, 2 * order + 1])
        own = [layer for layer in step.net.hyper if isinstance(layer, nn.Linear)]
        layers = [layer for layer in block.net if isinstance(layer, nn.Linear)]
        parts: list[Callable[[Tensor], Tensor]] = [
            lambda t, order=order: t[:, order] if t.ndim == 2 else t,
            lambda t: t,
            lambda t, rows=rows: t[rows],
        ]
        for a, b, part in zip(own, layers, parts, strict=True):
            b.mask.copy_(part(a.mask))
            made.inference += [Link(a.weight, b.weight, part), Link(a.bias, b.bias, part)]
        _bounded(block)
    made.copy()
    _flat(agree, made)


def test_s_vae_at_the_same_draw(agree: Agree, monkeypatch: pytest.MonkeyPatch) -> None:
    made = _pair("SVAE", pythae.SVAE, pythae.SVAEConfig, "log_concentration", reconstruction_loss="bce")
    x = bits()
    z = F.normalize(torch.randn(BATCH, DIM), dim=1)

    from vaelab.distributions import VonMisesFisher

    # the samplers take their random numbers in different ways, and the gradients through them differ
    monkeypatch.setattr(VonMisesFisher, "rsample", lambda self, shape=(): z[None])
    monkeypatch.setattr(made.theirs, "_sample_von_mises", lambda loc, concentration: z)
    loss, theirs = made.losses(x)["model"], made.theirs({"data": x}).loss
    agree("loss", loss, theirs)
    agree("gradient", *made.gradients(made.autoencoder, loss, theirs))
    agree("rate", made.model.infer(Batch(x)).rate(0).mean(), made.theirs({"data": x}).reg_loss)


class _IntoBall(BaseEncoder):
    """pythae's encoder with what it leaves to its user: the map into the ball, and the bound on the scale of ours."""

    def __init__(self, encoder: nn.Module, second: str, manifold: Any, largest: float) -> None:
        super().__init__()
        self.encoder, self.second, self.manifold, self.largest = encoder, second, manifold, largest

    def forward(self, x: Tensor) -> ModelOutput:
        out = self.encoder(x)
        scale = ball._LEAST_SCALE + (self.largest - ball._LEAST_SCALE) * out[self.second].sigmoid()
        # ours maps a vector to the point at its length, as seen with the metric of the origin
        tangent = ball.bounded(out.embedding, 0.8) / 2
        return ModelOutput({"embedding": self.manifold.expmap0(tangent), self.second: 2 * scale.log()})


def _ball(name: str, second: str, form: str) -> Pair:
    made = _pair(
        name,
        pythae.PoincareVAE,
        pythae.PoincareVAEConfig,
        "log_var" if second == "log_covariance" else second,
        reconstruction_loss="bce",
        curvature=0.8,
        prior_distribution=form,
        posterior_distribution=form,
    )
    largest = made.model.posterior.config.largest_scale
    made.theirs.set_encoder(_IntoBall(made.theirs.encoder, second, made.theirs.latent_manifold, largest))
    return made


def test_poincare_vae(agree: Agree, monkeypatch: pytest.MonkeyPatch) -> None:
    made = _ball("PoincareVAE", "log_covariance", "wrapped_normal")
    x, noise = bits(), torch.randn(BATCH, DIM)

    from pythae.models.pvae import pvae_utils

    monkeypatch.setattr(pvae_utils, "_standard_normal", lambda shape, dtype, device: noise[None])
    with script(randn=[noise[None]]):
        loss = made.losses(x)["model"]
    theirs = made.theirs({"data": x}).loss
    agree("loss", loss, theirs)
    agree("gradient", *made.gradients(made.autoencoder, loss, theirs))


def test_poincare_vae_with_riemannian_normals_at_the_same_draw(agree: Agree, monkeypatch: pytest.MonkeyPatch) -> None:
    made = _ball("PoincareVAE, Riemannian", "log_concentration", "riemannian_normal")
    x = bits()
    z = 0.4 * F.normalize(torch.randn(BATCH, DIM), dim=1)

    from pythae.models.pvae import pvae_model

    from vaelab.distributions import RiemannianNormal

    monkeypatch.setattr(RiemannianNormal, "rsample", lambda self, shape=(): z[None])
    monkeypatch.setattr(pvae_model.RiemannianNormal, "rsample", lambda self, shape: z[None])
    loss, theirs = made.losses(x)["model"], made.theirs({"data": x}).loss
    agree("loss", loss, theirs)
    agree("gradient", *made.gradients(made.autoencoder, loss, theirs))


def test_hamiltonian_vae_by_the_steps_that_pythae_takes(agree: Agree) -> None:
    made = _pair("HVAE", pythae.HVAE, pythae.HVAEConfig, reconstruction_loss="bce", n_lf=1, eps_lf=0.05, beta_zero=0.25)
    # it wants logits, as ours does
    made.theirs.decoder.layers[1] = made.theirs.decoder.layers[1][:1]
    x, noise, kick = bits(), torch.randn(BATCH, DIM), torch.randn(BATCH, DIM)
    with script(randn=[noise[None]], randn_like=[kick[None]]):
        loss = made.losses(x)["model"]
    with script(randn_like=[noise, kick]):
        theirs = made.theirs({"data": x})
    model, step, root = made.model, 0.05, 0.5

    def log_px(z: Tensor) -> Tensor:
        return model.decoder.distribution(z[None], model.likelihood).log_prob(x[None])[0]

    raw = model.posterior.heads[0](model.encoder(x), None)[0]
    loc, log_variance = raw.chunk(2, 1)

    def bound(scale: Tensor, log_q: Tensor, *, as_pythae: bool) -> Tensor:
        """The loss of one leapfrog step, with its momentum's and prior's constants left out, as they cancel."""

        def force(z: Tensor) -> Tensor:
            (slope,) = torch.autograd.grad(log_px(z).sum(), z, create_graph=True)
            # pythae cuts this one from the graph
            return (slope.detach() if as_pythae else slope) - z

        z, momentum = loc + scale * noise, kick / root
        half = momentum + 0.5 * step * force(z)
        # pythae moves by the momentum before its half step
        z = z + step * (momentum if as_pythae else half)
        momentum = half + 0.5 * step * force(z)
        # pythae computes the tempered momentum and goes on with the other
        momentum = momentum if as_pythae else root * momentum
        return -(log_px(z) - 0.5 * z.square().sum(1) - 0.5 * momentum.square().sum(1) - log_q).mean()

    log_q = (-0.5 * noise.square() - 0.5 * log_variance - 0.5 * kick.square()).sum(1)
    agree("ours by the paper's algorithm", loss, bound((0.5 * log_variance).exp(), log_q, as_pythae=False))
    # pythae draws with a softplus for a scale and counts an exponential
    theirs_ = bound(F.softplus(log_variance), -0.5 * log_variance.sum(1), as_pythae=True)
    agree("theirs by its own steps", theirs_, theirs.loss)
    agree("gradient of it", *made.gradients(made.autoencoder, theirs_, theirs.loss))


class _Metric(BaseMetric):
    """Copies of our encoder and of our network for the metric's factors."""

    def __init__(self, model: VAE) -> None:
        super().__init__()
        self.encoder, self.posterior = model.encoder, model.posterior

    def forward(self, x: Tensor) -> ModelOutput:
        return ModelOutput(L=self.posterior.factor(self.encoder(x)))


def _riemannian() -> tuple[VAE, Objective[Any], Any]:
    """Ours, its objective, and pythae's with copies of all our networks."""
    model, objective = ours(COMPOSITIONS["RHVAE"])
    twin = copy.deepcopy(model)
    twin.posterior.context = model.posterior.context
    config = _config(
        pythae.RHVAEConfig,
        reconstruction_loss="bce",
        n_lf=1,
        eps_lf=0.02,
        beta_zero=0.5,
        temperature=1.5,
        regularization=0.01,
    )
    theirs = pythae.RHVAE(
        config, encoder=_NormalEncoder(twin.encoder, twin.posterior.heads[0]), decoder=_Pixels(twin.decoder)
    )
    theirs.set_metric(_Metric(twin))
    return model, objective, theirs


class _NormalEncoder(BaseEncoder):
    """Copies of our encoder and head, with mean and log-variance."""

    def __init__(self, encoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(self, x: Tensor) -> ModelOutput:
        loc, log_variance = self.head(self.encoder(x), None)[0].chunk(2, 1)
        return ModelOutput(embedding=loc, log_covariance=log_variance)


class _Pixels(BaseDecoder):
    """A copy of our decoder, with the means of pixels in place of their logits."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=self.decoder(z[None])[0].sigmoid())


def test_riemannian_hamiltonian_vae_by_the_steps_that_pythae_takes(agree: Agree) -> None:
    model, objective, theirs = _riemannian()
    x, noise, kick = bits(), torch.randn(BATCH, DIM), torch.randn(BATCH, DIM)
    with script(randn=[noise[None]], randn_like=[kick[None]]):
        loss = objective(model, Batch(x), StepContext())["model"].value.mean()
    with script(randn_like=[noise, kick]):
        output = theirs({"data": x})
    features = model.encoder(x)
    loc, log_variance = model.posterior.heads[0](features, None)[0].chunk(2, 1)
    factors = model.posterior.factor(features)
    identity, step, root = torch.eye(DIM), 0.02, 0.5

    def log_joint(z: Tensor) -> Tensor:
        likelihood = model.decoder.distribution(z[None], model.likelihood)
        return likelihood.log_prob(x[None])[0] - 0.5 * z.square().sum(1)

    def inverse_metric(z: Tensor) -> Tensor:
        weights = (-(z[:, None] - loc).square().sum(-1) / 1.5**2).exp()
        return torch.einsum("bn,nij->bij", weights, factors @ factors.mT) + 0.01 * identity

    def hamiltonian(z: Tensor, momentum: Tensor) -> Tensor:
        inverse = inverse_metric(z)
        kinetic = 0.5 * torch.einsum("bi,bij,bj->b", momentum, inverse, momentum)
        return -log_joint(z) + kinetic - 0.5 * torch.logdet(inverse)

    def slope(z: Tensor, momentum: Tensor) -> Tensor:
        at = z.clone()
        (found,) = torch.autograd.grad(hamiltonian(at, momentum).sum(), at, create_graph=True)
        return found

    def bound(start: Tensor, *, as_pythae: bool) -> Tensor:
        """The loss of one step, with the constants of the noise and the prior left out, as they cancel."""
        z, momentum = loc + (0.5 * log_variance).exp() * noise, start
        inverse = inverse_metric(z)
        moving = momentum
        for _ in range(3):
            moving = momentum - 0.5 * step * slope(z, moving)
        velocity = torch.einsum("bij,bj->bi", inverse, moving)
        end = z
        for _ in range(3):
            # pythae holds the metric where the step started, so that this line is explicit
            at = inverse if as_pythae else inverse_metric(end)
            end = z + 0.5 * step * (velocity + torch.einsum("bij,bj->bi", at, moving))
        momentum = root * (moving - 0.5 * step * slope(end, moving))
        last = inverse_metric(end)
        log_p = log_joint(end) - 0.5 * torch.einsum("bi,bij,bj->b", momentum, last, momentum)
        log_q = (-0.5 * noise.square() - 0.5 * log_variance).sum(1)
        first = -0.5 * torch.logdet(inverse) + 0.5 * kick.square().sum(1)
        # pythae leaves out the density that the momentum was drawn from
        return -(log_p + 0.5 * torch.logdet(last) - log_q + (0.0 if as_pythae else first)).mean()

    factor = torch.linalg.cholesky(inverse_metric(loc + (0.5 * log_variance).exp() * noise))
    white = torch.linalg.solve_triangular(factor.mT, kick[..., None], upper=True)[..., 0]
    agree("ours by the paper's algorithm", loss, bound(white / root, as_pythae=False))
    # pythae draws the momentum with the datum's own factor, as if the metric were L L^T and not its inverse
    skewed = torch.einsum("bij,bj->bi", factors, kick) / root
    by_pythae = bound(skewed, as_pythae=True)
    agree("theirs by its own steps", by_pythae, output.loss)
