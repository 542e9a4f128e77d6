"""A posterior that is known, and a kind of posterior fitted to it.

The datum is one number, $x = g(z)$ with a little noise. So $p(z \\mid x)$ lies where g is near x, and can be computed. The posterior
is trained by the real objective for that datum alone, with the decoder fixed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vaelab.build import build
from vaelab.config import ModelConfig
from vaelab.model import VAE
from vaelab.registry import OBJECTIVES
from vaelab.types import Batch, DataSpec, StepContext

NOISE = 0.25
Function = Callable[[Tensor], Tensor]


def fitted(kind: str, arguments: dict[str, Any], prior: dict[str, Any], g: Function, steps: int = 1500) -> VAE:
    """The model after the posterior was fitted to the datum 0; g maps latents to the mean of x."""
    torch.manual_seed(0)
    config = {
        "encoder": {"kind": "mlp", "hidden": [16], "activation": "tanh"},
        "posterior": {"kind": kind, **arguments},
        "prior": prior,
        "decoder": {"kind": "mlp", "hidden": [48, 48], "activation": "tanh"},
        "likelihood": {"kind": "normal", "sigma": "fixed", "scale": NOISE},
    }
    terms = [{"kind": "latent_l2"}] if kind == "dirac" else ["kl"]
    objective_config = OBJECTIVES["elbo"].config.model_validate({"divergences": terms})
    model, objective = build(ModelConfig.model_validate(config), objective_config, DataSpec((1,), "real"))
    _teach(model, g, prior["kind"])
    batch = Batch(torch.zeros(64, 1))
    trained = [*model.encoder.parameters(), *model.posterior.parameters()]
    optimiser = torch.optim.Adam(trained, 0.01)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for step in range(steps):
        loss = objective(model, batch, StepContext(step, 1, steps))["model"].value.mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 10.0)
        optimiser.step()
        decay.step()
    return model.eval()


def _teach(model: VAE, g: Function, prior: str) -> None:
    """Fit the decoder's mean to g where latents can be."""
    optimiser = torch.optim.Adam(model.decoder.parameters(), 0.005)
    for _ in range(1200):
        z = 3.2 * (2 * torch.rand(1, 256, 2) - 1)
        if prior in ("bernoulli", "categorical"):
            z = torch.rand(1, 256, 2).round() if prior == "bernoulli" else _one_hot(256)
        elif prior == "gamma":
            z = z.abs()
        elif prior in ("ball_normal", "uniform_sphere"):
            z = torch.nn.functional.normalize(z, dim=-1) * (1 if prior == "uniform_sphere" else torch.rand(1, 256, 1))
        loss = (model.decoder(z)[..., 0] - g(z)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def _one_hot(number: int) -> Tensor:
    return torch.nn.functional.one_hot(torch.randint(3, (1, number, 2)), 3).float()


@torch.no_grad()
def log_joint(model: VAE, z: Tensor) -> Tensor:
    """log p(x, z) of latents `[N, ...]`, by the model's own prior and decoder."""
    zs = {0: z} if model.depth == 1 else {i: z[:, i : i + 1] for i in range(model.depth)}
    trace = model.infer(Batch(torch.zeros(len(z), 1)), fixed=zs)
    return trace.log_weight[0]


def gap_in_words(model: VAE, log_evidence: float) -> str:
    """KL(q || p(z | x)) in words, where q has a density."""
    with torch.no_grad():
        trace = model.infer(Batch(torch.zeros(64, 1)), 64)
        if not trace.has_density:
            return ""
        gap = log_evidence - float(trace.log_weight.mean())
    return f" $\\mathrm{{KL}}(q \\,\\|\\, p(z \\mid x))$ is {max(gap, 0.0):.2f} nats."
