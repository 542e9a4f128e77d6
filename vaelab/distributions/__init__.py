"""Distributions with an event shape, and the KL divergences between them."""

from torch import Tensor
from torch.distributions import kl_divergence

from vaelab.distributions.base import Distribution, Draw, event_sum
from vaelab.distributions.codes import QuantisedCodes, UniformCodes
from vaelab.distributions.normal import DiagonalNormal, Mixture, StandardNormal
from vaelab.distributions.pixels import Bernoulli, ContinuousBernoulli

__all__ = [
    "Bernoulli",
    "ContinuousBernoulli",
    "DiagonalNormal",
    "Distribution",
    "Draw",
    "Mixture",
    "QuantisedCodes",
    "StandardNormal",
    "UniformCodes",
    "closed_kl",
    "event_sum",
]


def closed_kl(q: Distribution, p: Distribution) -> Tensor | None:
    """KL(q || p) in nats, `[*batch]`, or None where no closed form is registered.

    Register one with `torch.distributions.register_kl`; the most specific pair of classes wins.
    """
    try:
        return kl_divergence(q, p)
    except NotImplementedError:
        return None
