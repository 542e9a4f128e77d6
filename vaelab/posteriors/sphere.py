"""Posteriors over unit vectors."""

from __future__ import annotations

from typing import Literal, TypeVar

from pydantic import PositiveFloat
from torch import Tensor, nn
from torch.nn import functional as F

from vaelab.distributions import PowerSpherical, VonMisesFisher
from vaelab.nets import Head
from vaelab.posteriors.base import Posterior, PosteriorConfig
from vaelab.registry import POSTERIORS
from vaelab.types import GroupSpec, Shape


class SphericalConfig(PosteriorConfig):
    """Arguments of the posteriors that have a direction and a concentration."""

    least: PositiveFloat = 1.0
    """Least concentration: it is this plus a softplus of the head's output. The papers add 1."""


C = TypeVar("C", bound=SphericalConfig)


class _SphericalPosterior(Posterior[C]):
    support = "sphere"

    def head(self, feature_shape: Shape, spec: GroupSpec) -> nn.Module:
        target = (spec.shape[0] + 1,)
        return Head(feature_shape, spec.context_shape, target, self.config.hidden, self.config.activation)


def _direction(parameters: Tensor, least: float) -> tuple[Tensor, Tensor]:
    return F.normalize(parameters[..., :-1], dim=-1), F.softplus(parameters[..., -1]) + least


class VonMisesFisherConfig(SphericalConfig):
    """Arguments of the von Mises-Fisher posterior."""

    kind: Literal["von_mises_fisher"] = "von_mises_fisher"


@POSTERIORS.register(VonMisesFisherConfig)
class VonMisesFisherPosterior(_SphericalPosterior[VonMisesFisherConfig]):
    r"""$q(z \mid x) \propto e^{\kappa(x)\,\mu(x)^\top z}$ on the unit sphere, the S-VAE (Davidson et al. 2018).

    With the uniform prior its KL is closed and depends on $\kappa$ alone.

    *Cost*: d + 1 outputs; draws are by rejection, and the KL takes Bessel functions.

    Use it for directions as latents and against collapse, as the rate with a fixed concentration cannot vanish; it
    needs rejection sampling and Bessel functions, and above about 20 dimensions it did not beat the normal in its
    paper.
    """

    def distribution(self, parameters: Tensor, spec: GroupSpec) -> VonMisesFisher:
        return VonMisesFisher(*_direction(parameters, self.config.least))


class PowerSphericalConfig(SphericalConfig):
    """Arguments of the power spherical posterior."""

    kind: Literal["power_spherical"] = "power_spherical"


@POSTERIORS.register(PowerSphericalConfig)
class PowerSphericalPosterior(_SphericalPosterior[PowerSphericalConfig]):
    r"""$q(z \mid x) \propto (1 + \mu(x)^\top z)^{\kappa(x)}$ on the unit sphere (De Cao & Aziz 2020).

    Much like von Mises-Fisher, and drawn without rejections and without Bessel functions.

    *Cost*: d + 1 outputs; a draw takes one beta variable, without rejections.

    Use it for directions as latents, in place of `von_mises_fisher` where sampling speed or numerical safety counts; in
    high dimension a sphere holds little more than a normal does.
    """

    def distribution(self, parameters: Tensor, spec: GroupSpec) -> PowerSpherical:
        return PowerSpherical(*_direction(parameters, self.config.least))
