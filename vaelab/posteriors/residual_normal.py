"""Normal posterior relative to its prior."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from vaelab.distributions import DiagonalNormal, Distribution
from vaelab.errors import BuildError
from vaelab.nets.residual import shrink_last, soft_clamp
from vaelab.posteriors.base import Posterior, PosteriorConfig
from vaelab.registry import POSTERIORS
from vaelab.types import BuildContext, GroupSpec, Shape, State


class ResidualNormalConfig(PosteriorConfig):
    """Arguments of the residual normal posterior."""

    kind: Literal["residual_normal"] = "residual_normal"


@POSTERIORS.register(ResidualNormalConfig)
class ResidualNormalPosterior(Posterior[ResidualNormalConfig]):
    r"""$q(z_i \mid z_{<i}, x) = \mathcal{N}(\mu_p + \sigma_p\,\Delta\mu,\; (\sigma_p\,\Delta\sigma)^2)$, relative to $p(z_i \mid z_{<i})$.

    The residual normal of NVAE (Vahdat & Kautz 2020, section 3.2), with the shift measured in the prior's scales, so that
    $\mathrm{KL} = \frac12\sum\Delta\mu^2 + \Delta\sigma^2 - 1 - \log\Delta\sigma^2$ does not depend on p at all; in the
    paper the shift is absolute. The head starts small: q begins near p, and the rate near zero. $\log\Delta\sigma$ is held in
    (-5, 5).

    *Cost*: two outputs a latent number, as `diagonal_normal`.

    Use it in deep hierarchies, where it starts at a rate near zero and trains more stably than an absolute posterior;
    for one group before a fixed prior it is `diagonal_normal` again.
    """

    multiplicity = 2

    def __init__(self, config: ResidualNormalConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        self.names = (context.names["posterior"], context.names["prior"])

    def head(self, feature_shape: Shape, spec: GroupSpec) -> nn.Module:
        head = super().head(feature_shape, spec)
        shrink_last(head, 0.1)
        return head

    def group(self, i: int, features: tuple[Tensor, ...], state: State, p: Distribution | None) -> Distribution:
        if not isinstance(p, DiagonalNormal):
            what = "none" if p is None else f"a {type(p).__name__}"
            raise BuildError(
                f"{self.names[0]} shifts and scales a normal prior, and {self.names[1]} gives it {what} in latent group "
                f"{i}. Use the posterior 'diagonal_normal', or a prior whose groups are diagonal normals."
            )
        feature = features[0 if self.single_feature else i]
        shift, raw = self.heads[self.weights[i]](feature, state.hidden).chunk(2, dim=2)
        log_ratio = soft_clamp(raw)
        q = DiagonalNormal(
            p.loc + p.scale * shift, p.scale * log_ratio.exp(), p.log_scale + log_ratio, len(self.specs[i].shape)
        )
        return q if q.batch_shape == state.batch_shape else q.expand(state.batch_shape)
