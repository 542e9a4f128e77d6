"""Normal posteriors whose components are correlated."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from vaelab.distributions import FullNormal, LowRankNormal
from vaelab.nets import Head
from vaelab.posteriors.base import Posterior, PosteriorConfig
from vaelab.registry import POSTERIORS
from vaelab.types import GroupSpec, Shape, numel


class FullNormalConfig(PosteriorConfig):
    """Arguments of the full-covariance normal posterior."""

    kind: Literal["full_normal"] = "full_normal"


@POSTERIORS.register(FullNormalConfig)
class FullNormalPosterior(Posterior[FullNormalConfig]):
    r"""$q(z \mid x) = \mathcal{N}(\mu(x), L(x)L(x)^\top)$ with a Cholesky factor from the encoder.

    Kingma & Welling (2019, section 2.5.1): the diagonal of $L$ is the exponential of a head's output and the rest of the
    lower triangle is one as it is. A latent of D numbers takes $D(D+3)/2$ parameters.

    *Cost*: d(d + 3)/2 outputs for d latent numbers, and a triangular product a draw.

    Use it for up to some dozens of latents that are correlated given a datum; the number of parameters grows with the
    square of the dimension, so beyond that take `low_rank_normal` or `flow`.
    """

    def head(self, feature_shape: Shape, spec: GroupSpec) -> nn.Module:
        size = numel(spec.shape)
        target = (size * (size + 3) // 2,)
        return Head(feature_shape, spec.context_shape, target, self.config.hidden, self.config.activation)

    def distribution(self, parameters: Tensor, spec: GroupSpec) -> FullNormal:
        size = numel(spec.shape)
        loc, log_diagonal, lower = parameters.split([size, size, size * (size - 1) // 2], -1)
        rows, columns = torch.tril_indices(size, size, -1, device=parameters.device)
        tril = torch.diag_embed(log_diagonal.exp())
        tril[..., rows, columns] = lower
        return FullNormal(loc.unflatten(-1, spec.shape), tril, len(spec.shape))


class LowRankNormalConfig(PosteriorConfig):
    """Arguments of the low-rank normal posterior."""

    kind: Literal["low_rank_normal"] = "low_rank_normal"

    rank: PositiveInt = 2
    """R, directions along which components are correlated."""


@POSTERIORS.register(LowRankNormalConfig)
class LowRankNormalPosterior(Posterior[LowRankNormalConfig]):
    r"""$q(z \mid x) = \mathcal{N}(\mu(x), F(x)F(x)^\top + \operatorname{diag}\sigma^2(x))$.

    After the rank-one form of Rezende et al. (2014, section 4.3), which is of the precision. A latent of D numbers takes
    $D(R+2)$ parameters.

    *Cost*: r + 2 outputs a latent number for rank r, and a determinant of r x r a datum.

    Use it for many latents with a few directions of correlation; its rank has to be chosen, and rank 0 would be
    `diagonal_normal`.
    """

    def head(self, feature_shape: Shape, spec: GroupSpec) -> nn.Module:
        target = (numel(spec.shape) * (self.config.rank + 2),)
        return Head(feature_shape, spec.context_shape, target, self.config.hidden, self.config.activation)

    def distribution(self, parameters: Tensor, spec: GroupSpec) -> LowRankNormal:
        size, rank = numel(spec.shape), self.config.rank
        loc, log_scale, factor = parameters.split([size, size, size * rank], -1)
        loc, log_scale = (part.unflatten(-1, spec.shape) for part in (loc, log_scale))
        return LowRankNormal(loc, factor.unflatten(-1, (size, rank)), log_scale, len(spec.shape))
