"""The importance-sampled bound against the number of samples."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import PositiveInt
from torch import Tensor

from vaelab.figures.base import Figure, FigureContext
from vaelab.figures.sheets import COLOURS, new_picture, pick
from vaelab.metrics import averaged, chunks, has_density, log_weights
from vaelab.model import VAE
from vaelab.registry import FIGURES, ComponentConfig
from vaelab.types import Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture


class BoundCurveConfig(ComponentConfig):
    """Arguments of the bound's curve."""

    kind: Literal["bound_curve"] = "bound_curve"

    samples: PositiveInt = 1024
    """The greatest K, rounded down to a power of two."""

    number: PositiveInt = 200
    """Data, chosen at random from the test split."""

    max_elements: PositiveInt = 2**21
    """Numbers a pass may hold in one tensor."""

    @classmethod
    def example(cls) -> BoundCurveConfig:
        return cls(samples=8, number=5)


@FIGURES.register(BoundCurveConfig)
class BoundCurve(Figure[BoundCurveConfig]):
    r"""The bound $-\mathbb{E}\log\frac1K\sum_k w_k$ over K = 1, 2, 4, ..., from the negative ELBO towards the NLL.

    All K use the same draws: the bound of K is the mean over disjoint sets of K of them, so that the curve is smooth and
    each of its points is unbiased for its bound (Burda et al. 2016, theorem 1). The band is the standard error of what
    lies between a point and the last one, over the data, so it is 0 at the last. Where the curve still falls at its end,
    the NLL with that K is too high. Nothing where the model has no density.

    *Cost*: K passes of the decoder over the chosen data.
    """

    def draw(self, model: VAE, context: FigureContext) -> dict[str, Picture]:
        batch = pick(model, context.data.test, self.config.number)
        if not has_density(model, [batch]):
            return {}
        numbers, bounds = bound_curve(self._log_weights(model, batch))
        means = [averaged([bound]).value for bound in bounds]
        errors = [averaged([bound - bounds[-1]]).stderr or 0.0 for bound in bounds]
        title = f"Bound of the NLL against K, {len(batch):,} test data"
        picture = new_picture(4.6, 3.2, title, context)
        panel = picture.subplots()
        panel.plot(numbers, means, color=COLOURS[0], marker="o", markersize=3, linewidth=1.2)
        low = [mean - error for mean, error in zip(means, errors, strict=True)]
        high = [mean + error for mean, error in zip(means, errors, strict=True)]
        panel.fill_between(numbers, low, high, color=COLOURS[0], alpha=0.2, linewidth=0)
        panel.set_xscale("log", base=2)
        panel.set_xlabel("importance samples K", fontsize=8)
        panel.set_ylabel("nats a datum", fontsize=8)
        panel.tick_params(labelsize=7)
        panel.grid(alpha=0.25, linewidth=0.6)
        panel.spines[["top", "right"]].set_visible(False)
        return {"bound_curve": picture}

    def _log_weights(self, model: VAE, whole: Batch) -> Tensor:
        samples = 2 ** int(math.log2(self.config.samples))
        parts = [
            torch.cat([log_weights(model, batch, count).cpu().double() for count in counts])
            for batch, counts in chunks(model, whole, samples, self.config.max_elements)
        ]
        return torch.cat(parts, 1)


def bound_curve(log_weight: Tensor) -> tuple[list[int], list[Tensor]]:
    """The bounds of each datum for K = 1, 2, 4, ..., from log-weights `[S, B]` with S a power of two.

    Returns:
        Every K, and for each the mean over the S / K disjoint sets of $-\\log\\frac1K\\sum_k w_k$, `[B]`.
    """
    numbers = [2**i for i in range(int(math.log2(len(log_weight))) + 1)]
    sets = [log_weight.unflatten(0, (-1, number)) for number in numbers]
    return numbers, [(math.log(part.shape[1]) - part.logsumexp(1)).mean(0) for part in sets]
