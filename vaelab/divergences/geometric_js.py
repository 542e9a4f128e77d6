"""The skew-geometric Jensen-Shannon divergence."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from vaelab.distributions import DiagonalNormal, closed_kl
from vaelab.divergences.base import Divergence, DivergenceConfig
from vaelab.errors import BuildError
from vaelab.inference import Trace
from vaelab.model import VAE
from vaelab.registry import DIVERGENCES
from vaelab.types import StepContext


class GeometricJSConfig(DivergenceConfig):
    """Arguments of the Jensen-Shannon divergence."""

    kind: Literal["geometric_js"] = "geometric_js"

    alpha: float = Field(default=0.5, gt=0, lt=1)
    """Skew: the share of the prior in the geometric mean."""

    dual: bool = False
    """Whether the KL divergences run from the mean instead of to it."""


@DIVERGENCES.register(GeometricJSConfig)
class GeometricJS(Divergence[GeometricJSConfig]):
    r"""The Jensen-Shannon divergence by a geometric mean, $(1-\alpha)\,\mathrm{KL}(q \,\|\, G) + \alpha\,\mathrm{KL}(p \,\|\, G)$.

    $G \propto q^{1-\alpha} p^{\alpha}$ stands between posterior and prior.
    Deasy et al. (2020, section 3): between normals $G$ is a normal whose precision is
    $(1-\alpha)\sigma_q^{-2} + \alpha\sigma_p^{-2}$, so all is in closed form. `dual` is
    $(1-\alpha)\,\mathrm{KL}(G \,\|\, q) + \alpha\,\mathrm{KL}(G \,\|\, p)$. A symmetric, bounded-below
    stand-in for the KL; the loss is then no bound on the likelihood. Diagonal normal posterior and prior, every latent group.

    *Cost*: two KLs in closed form.

    Use it where the KL's asymmetry harms, as a softer penalty of posteriors far from the prior; with it the objective
    is no bound on log p(x), and alpha is one more number to choose.
    """

    def check(self, model: VAE, trace: Trace) -> None:
        for i, group in enumerate(trace.groups):
            if not (isinstance(group.q, DiagonalNormal) and isinstance(group.p, DiagonalNormal)):
                raise BuildError(
                    f"divergence '{self.name}' is known between diagonal normals, and latent group {i} has posterior "
                    f"'{model.posterior.config.kind}' and prior '{model.prior.config.kind}'. Use 'diagonal_normal' with "
                    "'standard_normal', or the divergence 'kl'."
                )

    def forward(self, trace: Trace, context: StepContext) -> Tensor:
        values = []
        for group in trace.groups:
            assert isinstance(group.q, DiagonalNormal)
            assert isinstance(group.p, DiagonalNormal)
            values.append(self._between(group.q, group.p))
        return torch.stack(values).sum(0).mean(0)

    def _between(self, q: DiagonalNormal, p: DiagonalNormal) -> Tensor:
        a = self.config.alpha
        precision = (1 - a) / q.variance + a / p.variance
        loc = ((1 - a) * q.loc / q.variance + a * p.loc / p.variance) / precision
        mean = DiagonalNormal.from_log_scale(loc, -0.5 * precision.log(), q.event_ndim)
        pairs = ((mean, q), (mean, p)) if self.config.dual else ((q, mean), (p, mean))
        first, second = (closed_kl(*pair) for pair in pairs)
        assert first is not None
        assert second is not None
        return (1 - a) * first + a * second
