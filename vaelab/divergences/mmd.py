"""Maximum mean discrepancy between the aggregate posterior and the prior."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor

from vaelab.divergences.base import Divergence, DivergenceConfig
from vaelab.divergences.latents import flat_latents, prior_latents
from vaelab.inference import Trace
from vaelab.registry import DIVERGENCES
from vaelab.shared_batch import whole
from vaelab.types import StepContext


class MMDConfig(DivergenceConfig):
    """Arguments of the maximum mean discrepancy."""

    kind: Literal["mmd"] = "mmd"

    kernel: Literal["imq", "rbf"] = "imq"
    """Inverse multiquadratic, $C/(C + d^2)$, or Gaussian, $\\exp(-d^2/C)$, with $C = 2 D s^2$ times a scale."""

    bandwidth: PositiveFloat = 1.0
    """s: standard deviation of the prior's components, roughly."""

    scales: tuple[PositiveFloat, ...] = Field(default=(0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0), min_length=1)
    """The kernel is the sum over C times each of these."""


@DIVERGENCES.register(MMDConfig)
class MMD(Divergence[MMDConfig]):
    r"""$\mathrm{MMD}^2(q(z), p(z))$, the distance of two distributions in the space of a kernel.

    Estimated without bias from the batch's z and as many draws of the prior (Gretton et al. 2012, equation 3), so it may
    be negative; the same for each datum. Alone it makes a WAE-MMD (Tolstikhin et al. 2018, whose kernel and scales are
    the defaults), beside `kl` an InfoVAE (Zhao et al. 2019).

    *Cost*: the kernel of all pairs of B draws and B of the prior, B x B x d three times.

    Use it for Wasserstein and Info-VAEs in few dimensions, with large batches; in high dimension the kernel sees
    little, and its weight has to be found.
    """

    def forward(self, trace: Trace, context: StepContext) -> Tensor:
        z = flat_latents(trace)
        return self.distance(whole(z), whole(prior_latents(trace))).expand(len(z))

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """The estimate from two samples `[N, D]`."""
        number = len(x)
        pairs = max(number * (number - 1), 1)
        within_x, within_y, between = (self._kernel(a, b) for a, b in ((x, x), (y, y), (x, y)))
        off_diagonal = within_x.sum() - within_x.diagonal().sum() + within_y.sum() - within_y.diagonal().sum()
        return off_diagonal / pairs - 2 * between.mean()

    def _kernel(self, x: Tensor, y: Tensor) -> Tensor:
        distance = (x.unsqueeze(1) - y.unsqueeze(0)).square().sum(2)
        base = 2 * x.shape[1] * self.config.bandwidth**2
        total = torch.zeros_like(distance)
        for scale in self.config.scales:
            c = base * scale
            total = total + (c / (c + distance) if self.config.kernel == "imq" else (-distance / c).exp())
        return total
