"""Divergences: the value of each term as the posteriors of a batch are moved, widened or turned."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from drawing.canvas import curves
from vaelab.build import build
from vaelab.config import ModelConfig
from vaelab.distributions import DiagonalNormal
from vaelab.inference import Trace
from vaelab.registry import OBJECTIVES
from vaelab.types import Batch, DataSpec, StepContext

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BATCH, _SCALE = 512, 0.5
_CONTEXT = StepContext(1000, 100, 1000, _BATCH)
#: How far an adversary is trained before its term is read off.
_ROUNDS = 400
_SHIFT = "shift of all posteriors by m in both latents"
_CORRELATION = "correlation of the two latents over the data"
#: What is moved, by kind; a shift unless it is here.
_MOVED = dict.fromkeys(("adversarial_tc", "beta_tc", "dip"), "correlation") | {"mutual_information": "width"}
#: Names and arguments of the curves, by kind; the defaults alone unless it is here.
_VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "kl": {"closed form": {}, "Monte Carlo": {"estimator": "monte_carlo"}},
    "capacity": {"C = 2": {"capacity": 2.0}, "C = 5": {"capacity": 5.0}},
    "free_bits": {"1 nat": {"nats": 1.0}, "4 nats": {"nats": 4.0}},
    "geometric_js": {"alpha 0.25": {"alpha": 0.25}, "alpha 0.5": {"alpha": 0.5}, "alpha 0.75": {"alpha": 0.75}},
    "mmd": {"imq": {}, "rbf": {"kernel": "rbf"}},
    "sinkhorn": {"blur 0.5": {}, "blur 2": {"blur": 2.0}},
    "dip": {"version i": {"version": "i"}, "version ii": {"version": "ii"}},
    "beta_tc": {"beta 1": {"beta": 1.0}, "beta 6": {}},
    "mutual_information": {"stratified": {}, "weighted": {"estimator": "weighted"}},
    "marginal_kl": {"stratified": {}, "weighted": {"estimator": "weighted"}},
    "adversarial_latent": {
        "non-saturating": {"hidden": [64, 64]},
        "density ratio": {"hidden": [64, 64], "loss": "density_ratio"},
    },
    "adversarial_data": {"adversarial_data": {"hidden": [64, 64]}},
    "adversarial_tc": {"adversarial_tc": {"hidden": [64, 64]}},
}
_TRAINED = f"The discriminator was trained for {_ROUNDS} steps at each point."
_NOTES = {
    "adversarial_latent": f"{_TRAINED} At m = 0 it cannot tell the two apart.",
    "adversarial_tc": f"{_TRAINED} Dashed is the total correlation of two normals.",
    "adversarial_data": f"The decoder hands z on, so that reconstructions lie off by m. {_TRAINED}",
    "beta_tc": "With weight 1 the sum is the rate, which does not see the correlation.",
    "marginal_kl": "The aggregate posterior is the prior at m = 0. The estimate `weighted` is low by up to the logarithm of N.",
    "mmd": "It compares draws alone and is 0 where the aggregate posterior is the prior.",
    "sinkhorn": "It compares draws alone and is near 0 where the aggregate posterior is the prior.",
    "sliced_wasserstein": "It compares draws alone and is near 0 where the aggregate posterior is the prior.",
    "free_bits": "Below the floor the term is constant and has no gradient.",
    "dip": "Both versions ask for an identity; version i of the means' covariance alone.",
    "mutual_information": "The estimate `weighted` is high by up to the logarithm of N.",
    "latent_l2": "The posterior is a point.",
}


def draw(kind: str) -> tuple[Figure, str]:
    """One kind: figure and description."""
    special = {"controlled_kl": _controlled, "decoder_gradient": _gradient, "commitment": _commitment}
    if kind in special:
        return special[kind]()
    moved = _MOVED.get(kind, "shift")
    # an adversary is trained anew at each point
    low, high = {"shift": (0.0, 2.5), "correlation": (0.0, 0.7), "width": (0.05, 0.95)}[moved]
    across = torch.linspace(low, high, 8 if kind.startswith("adversarial") else 16)
    values: dict[str, Any] = {}
    if moved == "shift" and kind not in ("kl", "adversarial_data", "latent_l2"):
        wide = 2 * (_SCALE**2 - 1 - 2 * math.log(_SCALE))
        values["exact rate"] = [0.5 * (wide + 2 * (1 - _SCALE**2 + m**2)) for m in across.tolist()]
    for name, arguments in _VARIANTS.get(kind, {kind: {}}).items():
        values[name] = [_value(kind, arguments, moved, float(a)) for a in across]
    if kind == "adversarial_tc":
        values["exact"] = [-0.5 * math.log(1 - a**2) for a in across.tolist()]
    labels = {"shift": _SHIFT, "correlation": _CORRELATION, "width": "scale of each posterior"}
    what = {
        "shift": "posteriors with means around m and scale 0.5, spread so that at m = 0 they add up to the prior",
        "correlation": "posteriors whose aggregate is normal with this correlation",
        "width": "posteriors of this scale that add up to the prior",
    }[moved]
    rate = " Dashed is the rate." if "exact rate" in values else ""
    words = (
        f"The term `{kind}`, without its weight, for a batch of {_BATCH} data with two latents: {what}.{rate} "
        f"{_NOTES.get(kind, '')}"
    )
    return curves(across, values, labels[moved], "value / nats"), words.strip()


def _value(kind: str, arguments: dict[str, Any], moved: str, amount: float) -> float:
    torch.manual_seed(0)
    objective_config = OBJECTIVES["elbo"].config.model_validate({"divergences": [{"kind": kind, **arguments}]})
    model, objective = build(_config(kind), objective_config, DataSpec((2,), "real"))
    term = objective.divergences[0]
    z = _means(moved, amount)
    with torch.no_grad():
        (layer,) = [part for part in model.decoder.modules() if isinstance(part, torch.nn.Linear)]
        layer.weight.copy_(torch.eye(2))
        layer.bias.zero_()
    data = Batch(z - (amount if moved == "shift" else 0.0))
    scale = amount if moved == "width" else _SCALE

    def trace() -> Trace:
        if kind == "latent_l2":
            return model.infer(data, fixed={0: z + _SCALE * torch.randn_like(z)})
        q = DiagonalNormal.from_log_scale(z[None], torch.full_like(z, math.log(scale))[None], 1)
        return model.infer(data, adjust=lambda i, _: q)

    if term.adversary is not None:
        _train(term, trace)
    model.eval()
    with torch.no_grad():
        return float(torch.stack([term(trace(), _CONTEXT).mean() for _ in range(8)]).mean())


def _train(term: Any, trace: Callable[[], Trace]) -> None:
    optimiser = torch.optim.Adam(term.adversary.parameters(), 0.003)
    for _ in range(_ROUNDS):
        loss = term.adversary.loss(trace(), _CONTEXT).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def _means(moved: str, amount: float) -> Tensor:
    """Means of the posteriors `[B, 2]`: normal, spread so that the aggregate posterior has variance 1."""
    noise = torch.randn(_BATCH, 2, generator=torch.Generator().manual_seed(1))
    noise = (noise - noise.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(noise.T.cov())).T
    if moved == "correlation":
        spread = torch.tensor([[1 - _SCALE**2, amount], [amount, 1 - _SCALE**2]])
        return noise @ torch.linalg.cholesky(spread).T
    scale = amount if moved == "width" else _SCALE
    return math.sqrt(1 - scale**2) * noise + (amount if moved == "shift" else 0.0)


def _config(kind: str, dim: int = 2) -> ModelConfig:
    return ModelConfig.model_validate(
        {
            "encoder": {"kind": "mlp", "hidden": [8]},
            "posterior": "diagonal_normal",
            "prior": {"kind": "standard_normal", "dim": dim},
            "decoder": {"kind": "mlp", "hidden": []},
            "likelihood": {"kind": "normal", "sigma": "fixed", "scale": 1.0},
        }
    )


def _controlled() -> tuple[Figure, str]:
    steps = 400
    values = {}
    for rate in (15.0, 19.0, 21.0, 25.0):
        config = OBJECTIVES["elbo"].config.model_validate({"divergences": [{"kind": "controlled_kl", "target": 20.0}]})
        _, objective = build(_config("kl"), config, DataSpec((2,), "real"))
        term = objective.divergences[0].train()
        values[f"rate {rate:g}"] = [
            float(term.weight_of(torch.full((1,), rate), StepContext(step, 10, steps))) for step in range(steps)
        ]
    return curves(range(steps), values, "step", "weight", ylim=(-0.1, None)), (
        "The weight that `controlled_kl` gives the rate where the target is 20 nats and the rate stays as it is: it grows while "
        "the rate is above the target, and is 0 below."
    )


def _gradient() -> tuple[Figure, str]:
    across = torch.linspace(0, 2, 11)
    config = OBJECTIVES["elbo"].config.model_validate({"divergences": ["kl", "decoder_gradient"]})
    model, objective = build(_config("kl"), config, DataSpec((2,), "real"))
    term = objective.divergences[1]
    (layer,) = [part for part in model.decoder.modules() if isinstance(part, torch.nn.Linear)]
    found = []
    for slope in across:
        with torch.no_grad():
            layer.weight.copy_(slope * torch.eye(2))
        found.append(float(term(model.infer(Batch(torch.zeros(2000, 2))), _CONTEXT).mean().detach()))
    return curves(
        across, {"decoder_gradient": found, "exact": 2 * across**2}, "slope a of the decoder E[x | z] = a z", "value"
    ), (
        "The term `decoder_gradient` of a linear decoder in two dimensions, a mean over 2,000 data with one random direction each, "
        "and the exact norm."
    )


def _commitment() -> tuple[Figure, str]:
    torch.manual_seed(2)
    content = {
        "encoder": {"kind": "mlp", "hidden": [2]},
        "posterior": {"kind": "vq", "codebook": "gradient"},
        "prior": {"kind": "uniform_codes", "codes": 5, "dim": 1, "positions": [1]},
        "decoder": {"kind": "mlp", "hidden": []},
        "likelihood": "normal",
    }
    config = OBJECTIVES["elbo"].config.model_validate({"divergences": ["commitment"]})
    model, objective = build(ModelConfig.model_validate(content), config, DataSpec((1,), "real"))
    across = torch.linspace(-1.5, 1.5, 301)
    with torch.no_grad():
        book = next(p for name, p in model.posterior.named_parameters() if p.numel() == 5)
        book.copy_(torch.tensor([-1.1, -0.6, 0.0, 0.3, 1.2]).view_as(book))
        (first,) = [part for part in model.encoder.modules() if isinstance(part, torch.nn.Linear)]
        first.weight.copy_(torch.tensor([[1.0], [-1.0]]))
        first.bias.zero_()
        heads = [part for part in model.posterior.modules() if isinstance(part, torch.nn.Linear)]
        heads[0].weight.copy_(torch.tensor([[1.0, -1.0]]))
        heads[0].bias.zero_()
        term = objective.divergences[0]
        value = term(model.infer(Batch(across[:, None])), _CONTEXT)
    figure = curves(
        across, {"commitment": value}, "the encoder's output z (a mark is a code)", "value / nats", ylim=(0, None)
    )
    for code in (-1.1, -0.6, 0.0, 0.3, 1.2):
        figure.axes[0].axvline(code, color="0.7", linewidth=0.8, linestyle=":")
    return (
        figure,
        "The penalty of a posterior `vq` with five learned codes of one number: it grows with the square of the "
        "distance to the nearest code.",
    )
