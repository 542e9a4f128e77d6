"""Likelihood of tables with columns of two kinds."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from vaelab.distributions import MixedColumns
from vaelab.errors import BuildError
from vaelab.likelihoods.base import Likelihood
from vaelab.nets.columns import Columns, ColumnsConfig
from vaelab.registry import LIKELIHOODS
from vaelab.types import BuildContext


class MixedColumnsConfig(ColumnsConfig):
    """Arguments of the likelihood of mixed columns."""

    kind: Literal["mixed_columns"] = "mixed_columns"

    sigma: Literal["learned", "per_datum"] = "learned"
    """Standard deviation of each real column: one number, learned, or from the decoder."""

    @classmethod
    def example(cls) -> MixedColumnsConfig:
        return cls(categorical=((1, 2), (3, 2)))


@LIKELIHOODS.register(MixedColumnsConfig)
class MixedColumnsLikelihood(Likelihood[MixedColumnsConfig]):
    r"""Normal real columns and categorical others, independent given z, as in HI-VAE (Nazabal et al. 2020).

    $\log p(x \mid z) = \sum_r \log \mathcal{N}(x_r; \mu_r(z), \sigma_r^2) + \sum_c \log \pi_{c, x_c}(z)$.

    The real columns should be of the order of one, for the decoder starts there. The encoder `tabular` is its
    counterpart. Categorical columns hold 0, 1, ..., levels - 1.

    *Cost*: one parameter a real column, and one a class of the others.

    Use it for tables whose columns are of different kinds; columns count by their nats, so that many categorical ones
    can drown a few real ones.
    """

    # the parameters of a column stand in places of their own, not at the column's
    local = False

    def __init__(self, config: MixedColumnsConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        self.columns = Columns("likelihood", config, context.data)
        if context.data.values == "unit" and any(levels > 2 for levels in self.columns.levels):
            raise BuildError(
                "likelihood 'mixed_columns' reads levels 0, 1, 2, ..., and the data set declares numbers in [0, 1], "
                'which hold two levels at most. Declare the data "real".'
            )
        reals = len(self.columns.real)
        self.log_scale = nn.Parameter(torch.zeros(reals)) if config.sigma == "learned" and reals else None
        self.sizes = (reals, *((reals,) if config.sigma == "per_datum" else ()), *self.columns.levels)
        self.parameter_shape = (sum(self.sizes),)

    def _split(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        return self.columns.reals(x), self.columns.indices(x)

    def forward(self, parameters: Tensor) -> MixedColumns:
        loc, *rest = parameters.split(self.sizes, dim=-1)
        if self.config.sigma == "per_datum":
            log_scale, *rest = rest
        else:
            log_scale = torch.zeros_like(loc) if self.log_scale is None else self.log_scale.expand_as(loc)
        return MixedColumns(loc, log_scale, rest, self._split, self.columns.joined)
