"""Categorical posterior."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from vaelab.distributions import RelaxedOneHot
from vaelab.posteriors.relaxed import RelaxedConfig, RelaxedPosterior
from vaelab.registry import POSTERIORS
from vaelab.types import GroupSpec


class CategoricalConfig(RelaxedConfig):
    """Arguments of the categorical posterior."""

    kind: Literal["categorical"] = "categorical"


@POSTERIORS.register(CategoricalConfig)
class CategoricalPosterior(RelaxedPosterior[CategoricalConfig]):
    r"""Independent categoricals, $q(z \mid x) = \prod_n \mathrm{Cat}(z_n; \operatorname{softmax}\ell_n(x))$.

    Jang et al. (2017): in training z is a Gumbel-softmax draw, or its straight-through variant, while the KL is that of
    the categoricals themselves; in evaluation z is one-hot. So the training loss is no bound, and evaluation reports
    the true ELBO of the discrete model. See `RelaxedOneHot` for the bias of the gradient. Objectives that need
    log q(z) of a draw score a relaxed one by the linear extension of the log-probability.

    *Cost*: as many outputs as classes, a variable.

    Use it for classes and other discrete factors, best with few categories; the relaxed gradient is biased when the
    temperature is high and noisy when it is low.
    """

    support = "one_hot"

    def distribution(self, parameters: Tensor, spec: GroupSpec) -> RelaxedOneHot:
        return RelaxedOneHot(parameters, len(spec.shape), *self.relaxation())
