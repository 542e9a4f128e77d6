"""Distributions with an event shape, and the KL divergences between them."""

from torch import Tensor
from torch.distributions import kl_divergence

import vaelab.distributions.laplace_kl  # noqa: F401  registers divergences
from vaelab.distributions.autoregressive import AutoregressivePixels
from vaelab.distributions.base import Distribution, Draw, event_sum
from vaelab.distributions.beta import Beta
from vaelab.distributions.bits import Bits, RelaxedBits
from vaelab.distributions.categorical import OneHot, RelaxedOneHot
from vaelab.distributions.code_sequences import AutoregressiveCodes, CodeNetwork
from vaelab.distributions.codes import QuantisedCodes, UniformCodes, nearest_codes, straight_through
from vaelab.distributions.columns import MixedColumns
from vaelab.distributions.dirac import Dirac
from vaelab.distributions.flows import NormalFlow
from vaelab.distributions.gamma import Gamma
from vaelab.distributions.hamiltonian import HamiltonianNormal
from vaelab.distributions.hyperbolic import OnBall, RiemannianNormal, WrappedNormal, from_tangent
from vaelab.distributions.laplace import Laplace
from vaelab.distributions.levels import CategoricalLevels, DiscretisedLogistic, LogisticMixture
from vaelab.distributions.logcosh import LogCosh
from vaelab.distributions.multivariate import FullNormal, LowRankNormal
from vaelab.distributions.normal import DiagonalNormal, Mixture, StandardNormal
from vaelab.distributions.pixels import Bernoulli, ContinuousBernoulli
from vaelab.distributions.resampled import Resampled
from vaelab.distributions.riemannian_hamiltonian import KernelMetric, RiemannianHamiltonianNormal
from vaelab.distributions.score import PictureScore
from vaelab.distributions.sphere import PowerSpherical, UniformSphere, VonMisesFisher
from vaelab.distributions.student import StudentT

__all__ = [
    "AutoregressiveCodes",
    "AutoregressivePixels",
    "Bernoulli",
    "Beta",
    "Bits",
    "CategoricalLevels",
    "CodeNetwork",
    "ContinuousBernoulli",
    "DiagonalNormal",
    "Dirac",
    "DiscretisedLogistic",
    "Distribution",
    "Draw",
    "FullNormal",
    "Gamma",
    "HamiltonianNormal",
    "KernelMetric",
    "Laplace",
    "LogCosh",
    "LogisticMixture",
    "LowRankNormal",
    "MixedColumns",
    "Mixture",
    "NormalFlow",
    "OnBall",
    "OneHot",
    "PictureScore",
    "PowerSpherical",
    "QuantisedCodes",
    "RelaxedBits",
    "RelaxedOneHot",
    "Resampled",
    "RiemannianHamiltonianNormal",
    "RiemannianNormal",
    "StandardNormal",
    "StudentT",
    "UniformCodes",
    "UniformSphere",
    "VonMisesFisher",
    "WrappedNormal",
    "closed_kl",
    "event_sum",
    "from_tangent",
    "nearest_codes",
    "straight_through",
]


def closed_kl(q: Distribution, p: Distribution) -> Tensor | None:
    """KL(q || p) in nats, `[*batch]`, or None where no closed form is registered.

    Register one with `torch.distributions.register_kl`; the most specific pair of classes wins.
    """
    try:
        return kl_divergence(q, p)
    except NotImplementedError:
        return None
