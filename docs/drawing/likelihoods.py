"""Likelihoods: the density or probability of one number against its value, for some outputs of the decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from drawing.canvas import EXACT, MODEL, SET, axes, curves
from vaelab.registry import DATASETS, LIKELIHOODS
from vaelab.types import BuildContext, DataSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Parameters `[3 of them, P]` of one number, their names, arguments of the kind, and the range of the value.
_CURVES: dict[str, tuple[list[list[float]], list[str], dict[str, Any], tuple[float, float]]] = {
    "continuous_bernoulli": ([[-3.0], [0.0], [1.5]], ["logit -3", "logit 0", "logit 1.5"], {}, (0, 1)),
    "beta": (
        [[0.0, 3.0], [2.0, 2.0], [3.0, -1.0]],
        ["outputs 0, 3", "outputs 2, 2", "outputs 3, -1"],
        {},
        (0, 1),
    ),
    "laplace": ([[-1.0], [1.0]], ["$\\mu=-1$", "$\\mu=1$"], {"b": "fixed", "scale": 0.5}, (-4, 4)),
    "logcosh": ([[-1.0], [1.0]], ["$\\mu=-1$", "$\\mu=1$"], {"sharpness": 3.0}, (-4, 4)),
    "normal": (
        [[-1.0, -1.0], [0.5, 0.0]],
        ["$\\mu=-1,\\ \\log\\sigma=-1$", "$\\mu=0.5,\\ \\log\\sigma=0$"],
        {"sigma": "per_pixel"},
        (-4, 4),
    ),
    "student_t": ([[-1.0], [1.0]], ["$\\mu=-1$", "$\\mu=1$"], {"sigma": "fixed", "scale": 0.5, "df": 3.0}, (-4, 4)),
}
#: The same for kinds that give levels a probability; the outputs of a mixture stand in the order that it takes.
_LEVELS: dict[str, tuple[list[list[float]], list[str], dict[str, Any]]] = {
    "bernoulli": ([[-2.0], [0.0], [1.0]], ["logit -2", "logit 0", "logit 1"], {}),
    "categorical": (
        [[0.0, 1.0, 2.0, 1.0, 0.0, 0.0, 0.0, 0.0], [2.0, 0.0, -1.0, -1.0, 0.0, 1.0, 2.0, 2.5]],
        ["one mode", "two modes"],
        {"levels": 8},
    ),
    "discretised_logistic": (
        [[-0.4, -2.0], [0.4, -1.0], [1.4, -1.0]],
        ["$\\mu$ -0.4, narrow", "$\\mu$ 0.4, wide", "$\\mu$ beyond white"],
        {"levels": 32},
    ),
    "discretised_logistic_mixture": (
        [[0.0, -0.6, -2.5, 0.0, 0.6, -2.0], [1.0, 0.0, -1.8, 0.0, -0.7, -3.0]],
        ["modes at -0.6 and 0.6", "modes at 0 and -0.7"],
        {"components": 2, "levels": 32},
    ),
}
_NOTES = {
    "laplace": "Here b = 0.5. The normal of the same variance is dotted.",
    "logcosh": "Here a = 3. The normal of the same variance is dotted.",
    "student_t": "Here 3 degrees of freedom and scale 0.5. The normal of the same scale is dotted.",
    "normal": "Each number has a mean and a scale of its own (`per_pixel`).",
    "beta": "At 0 and 1 the density may grow without a bound.",
    "bernoulli": "The value is 0 or 1.",
    "discretised_logistic": "The first and the last level take all that lies beyond them.",
}


def draw(kind: str) -> tuple[Figure, str]:
    """One kind: figure and description."""
    if kind in _CURVES:
        return _curve(kind)
    if kind in _LEVELS:
        return _bars(kind)
    return _columns() if kind == "mixed_columns" else _score(kind)


def _built(kind: str, arguments: dict[str, Any], spec: DataSpec) -> Any:
    config = LIKELIHOODS[kind].config.model_validate({"kind": kind, **arguments})
    return LIKELIHOODS.build(config, BuildContext(spec)).eval()


@torch.no_grad()
def _curve(kind: str) -> tuple[Figure, str]:
    outputs, names, arguments, (low, high) = _CURVES[kind]
    likelihood = _built(kind, arguments, DataSpec((1,), "unit" if (low, high) == (0, 1) else "real"))
    x = torch.linspace(low, high, 401)
    values = {}
    for output, name in zip(outputs, names, strict=True):
        p = likelihood(torch.tensor(output).expand(1, len(x), -1))
        values[name] = p.log_prob(x[None, :, None])[0].exp()
    figure = curves(x, values, "x", "p(x | z)", ylim=(0, 5 if kind == "beta" else None))
    if kind in ("laplace", "logcosh", "student_t"):
        mean, width = -1.0, 0.5
        if kind != "student_t":
            p = values[names[0]]
            width = float(((p * (x - mean) ** 2).sum() / p.sum()).sqrt())
        normal = torch.distributions.Normal(mean, width).log_prob(x).exp()
        figure.axes[0].plot(x, normal, color=SET[0], linestyle=":", linewidth=1)
        figure.axes[0].set_ylim(0, 1.05 * max(float(normal.max()), *(float(p.max()) for p in values.values())))
    return figure, f"The density of one number for {len(names)} outputs of the decoder. {_NOTES.get(kind, '')}".strip()


@torch.no_grad()
def _bars(kind: str) -> tuple[Figure, str]:
    outputs, names, arguments = _LEVELS[kind]
    levels = arguments.get("levels", 2)
    spec = DataSpec((1, 1, 1), "unit") if kind != "bernoulli" else DataSpec((1,), "binary")
    likelihood = _built(kind, arguments, spec)
    x = (torch.arange(levels) / (levels - 1)).reshape(1, levels, *[1] * len(spec.shape))
    figure, (plot,) = axes()
    width = 0.8 / len(names)
    for i, (output, name) in enumerate(zip(outputs, names, strict=True)):
        parameters = (
            torch.tensor(output)
            .reshape(1, 1, *likelihood.parameter_shape)
            .expand(1, levels, *likelihood.parameter_shape)
        )
        p = likelihood(parameters).log_prob(x)[0].exp()
        plot.bar(torch.arange(levels) + width * (i - (len(names) - 1) / 2), p, width, label=name, color=SET[i])
    plot.set(xlabel="level of x", ylabel="P(x | z)")
    plot.set_xticks(range(levels) if levels < 10 else range(0, levels, 5))
    plot.legend()
    return (
        figure,
        f"The probability of the {levels} levels of one number for {len(names)} outputs of the decoder. {_NOTES.get(kind, '')}".strip(),
    )


@torch.no_grad()
def _columns() -> tuple[Figure, str]:
    likelihood = _built("mixed_columns", {"categorical": [[1, 4]]}, DataSpec((2,), "real"))
    output = torch.tensor([0.5, 1.0, 0.0, -1.0, 0.5])
    x = torch.linspace(-3, 4, 200)
    figure, (left, right) = axes(2)
    densities = []
    for level in range(4):
        data = torch.stack([x, torch.full_like(x, level)], 1)
        densities.append(likelihood(output.expand(1, len(x), -1)).log_prob(data[None])[0].exp())
    together = torch.stack(densities)
    left.plot(x, together.sum(0), color=MODEL)
    right.bar(range(4), together.sum(1) * float(x[1] - x[0]), color=EXACT)
    left.set(xlabel="real column", ylabel="density", ylim=(0, None))
    right.set(xlabel="level of the categorical column", ylabel="probability", xticks=range(4))
    return (
        figure,
        "One real column and one of four levels, for one output of the decoder; given z they are independent.",
    )


@torch.no_grad()
def _score(kind: str) -> tuple[Figure, str]:
    x = mnist(64)
    likelihood = _built(kind, {}, DataSpec((1, 28, 28), "unit"))
    amounts = torch.linspace(0, 3, 13)

    def score(pictures: Tensor) -> float:
        return float(likelihood(torch.logit(pictures.clamp(0.01, 0.99))[None]).log_prob(x[None]).mean())

    values = {
        "shifted by so many pixels": [score(shifted(x, float(a))) for a in amounts],
        "blurred by so many pixels": [score(blurred(x, float(a))) for a in amounts],
    }
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    values["noise, 0.1 for each pixel of the axis"] = [score(x + 0.1 * float(a) * noise) for a in amounts]
    figure = curves(amounts, values, "pixels", "score")
    return (
        figure,
        f"The score `{kind}` of MNIST digits against reconstructions that are shifted, blurred or noisy; it is at most 0.",
    )


def mnist(number: int) -> Tensor:
    """The first test digits `[N, 1, 28, 28]`."""
    config = DATASETS["mnist"].config.model_validate({"test_limit": number, "offline_fallback": True})
    return DATASETS.build(config).load().test.fetch(torch.arange(number)).x


def shifted(x: Tensor, amount: float) -> Tensor:
    """Pictures moved to the left by so many pixels."""
    grid = F.affine_grid(
        torch.tensor([[1.0, 0, 2 * amount / 28], [0, 1, 0]]).expand(len(x), 2, 3), list(x.shape), align_corners=False
    )
    return F.grid_sample(x, grid, align_corners=False)


def blurred(x: Tensor, amount: float) -> Tensor:
    """Pictures blurred by a normal kernel whose standard deviation is so many pixels."""
    if amount == 0:
        return x
    line = torch.arange(-9, 10).float()
    kernel = torch.exp(-0.5 * (line / amount) ** 2)
    kernel = kernel / kernel.sum()
    return F.conv2d(F.conv2d(x, kernel.view(1, 1, 1, -1), padding=(0, 9)), kernel.view(1, 1, -1, 1), padding=(9, 0))
