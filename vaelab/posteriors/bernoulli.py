"""Bernoulli posterior."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from vaelab.distributions import RelaxedBits
from vaelab.posteriors.relaxed import RelaxedConfig, RelaxedPosterior
from vaelab.registry import POSTERIORS
from vaelab.types import GroupSpec


class BernoulliConfig(RelaxedConfig):
    """Arguments of the Bernoulli posterior."""

    kind: Literal["bernoulli"] = "bernoulli"


@POSTERIORS.register(BernoulliConfig)
class BernoulliPosterior(RelaxedPosterior[BernoulliConfig]):
    r"""Independent bits, $q(z \mid x) = \prod_d \mathrm{Bernoulli}(z_d; \sigma(\ell_d(x)))$.

    In training z is a binary concrete draw (Maddison et al. 2017), or its straight-through variant, while the KL is that
    of the bits themselves; in evaluation z is made of bits. See the posterior `categorical` for what follows from that,
    and `RelaxedBits` for the bias of the gradient.

    *Cost*: one output a bit.

    Use it for binary features or hash codes; its gradient is biased at every temperature above 0, and many bits are
    needed to hold what a few real numbers hold.
    """

    support = "bits"

    def distribution(self, parameters: Tensor, spec: GroupSpec) -> RelaxedBits:
        return RelaxedBits(parameters, len(spec.shape), *self.relaxation())
