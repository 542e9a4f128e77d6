"""Optimal transport between the aggregate posterior and the prior."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from vaelab.divergences.base import Divergence, DivergenceConfig
from vaelab.divergences.latents import flat_latents, prior_latents
from vaelab.inference import Trace
from vaelab.registry import DIVERGENCES
from vaelab.shared_batch import common_draws, whole
from vaelab.types import StepContext


class SlicedWassersteinConfig(DivergenceConfig):
    """Arguments of the sliced Wasserstein distance."""

    kind: Literal["sliced_wasserstein"] = "sliced_wasserstein"

    projections: PositiveInt = 50
    """Random directions a step."""


@DIVERGENCES.register(SlicedWassersteinConfig)
class SlicedWasserstein(Divergence[SlicedWassersteinConfig]):
    r"""$\mathbb{E}_\theta W_2^2$ of the projections of z and of the prior on random directions (Kolouri et al. 2019, equation 9).

    In one dimension the optimal plan sorts both samples. Estimated from the batch's z and as many draws of the prior,
    which makes it positive even where both are equal in distribution; the same for each datum.

    *Cost*: a projection and a sort of B numbers for each direction, B log B.

    Use it as the cheapest match of draws to the prior; random directions see less of a difference the higher the
    dimension is, so take more of them.
    """

    def forward(self, trace: Trace, context: StepContext) -> Tensor:
        z = flat_latents(trace)
        return self.distance(whole(z), whole(prior_latents(trace))).expand(len(z))

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """The estimate from two samples `[N, D]`."""
        with common_draws(x.device):
            directions = torch.randn(x.shape[1], self.config.projections, dtype=x.dtype, device=x.device)
        directions = directions / directions.norm(dim=0)
        return ((x @ directions).sort(0).values - (y @ directions).sort(0).values).square().mean()


class SinkhornConfig(DivergenceConfig):
    """Arguments of the Sinkhorn divergence."""

    kind: Literal["sinkhorn"] = "sinkhorn"

    blur: PositiveFloat = 0.5
    """Square root of the entropic regularisation: details of z below this length do not count."""

    iterations: PositiveInt = 30
    """Of Sinkhorn's algorithm."""


@DIVERGENCES.register(SinkhornConfig)
class Sinkhorn(Divergence[SinkhornConfig]):
    r"""The debiased entropic transport cost, $S(q, p) = \mathrm{OT}(q, p) - \frac12\mathrm{OT}(q, q) - \frac12\mathrm{OT}(p, p)$.

    With the cost $\frac12 d^2$ and regularisation $\varepsilon = \text{blur}^2$ (Feydy et al. 2019, equation 3; the
    Sinkhorn autoencoder of Patrini et al. 2019). Between a Wasserstein distance (small blur) and an MMD (large blur);
    zero where both samples are equal. From the batch's z and as many draws of the prior; the same for each datum.

    *Cost*: three matrices of B x B, and some dozens of iterations over each.

    Use it to match draws to the prior with geometry in view, at moderate dimension; a step costs batch size squared
    times the iterations, and blur decides between bias and speed.
    """

    def forward(self, trace: Trace, context: StepContext) -> Tensor:
        z = flat_latents(trace)
        return self.distance(whole(z), whole(prior_latents(trace))).expand(len(z))

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """The divergence of two samples `[N, D]`."""
        return self._cost(x, y) - 0.5 * self._cost(x, x) - 0.5 * self._cost(y, y)

    def _cost(self, x: Tensor, y: Tensor) -> Tensor:
        epsilon = self.config.blur**2
        cost = 0.5 * (x.unsqueeze(1) - y.unsqueeze(0)).square().sum(2)
        log_n, log_m = math.log(len(x)), math.log(len(y))
        f, g = cost.new_zeros(len(x)), cost.new_zeros(len(y))
        with torch.no_grad():
            for _ in range(self.config.iterations):
                f = 0.5 * (f + _soft_minimum(cost - g, epsilon, log_m, 1))
                g = 0.5 * (g + _soft_minimum(cost - f.unsqueeze(1), epsilon, log_n, 0))
        # the dual is stationary in the potentials, so its gradient needs one update, the other potential held
        from_x = _soft_minimum(cost - g, epsilon, log_m, 1).mean() + g.mean()
        from_y = _soft_minimum(cost - f.unsqueeze(1), epsilon, log_n, 0).mean() + f.mean()
        return 0.5 * (from_x + from_y)


def _soft_minimum(values: Tensor, epsilon: float, log_count: float, dim: int) -> Tensor:
    return -epsilon * (torch.logsumexp(-values / epsilon, dim) - log_count)
