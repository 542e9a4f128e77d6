"""Encoder of tables with columns of two kinds."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from vaelab.encoders.base import Encoder
from vaelab.nets import Activation, mlp
from vaelab.nets.columns import Columns, ColumnsConfig, RunningStandardiser
from vaelab.registry import ENCODERS
from vaelab.types import BuildContext


class TabularConfig(ColumnsConfig):
    """Arguments of the tabular encoder."""

    kind: Literal["tabular"] = "tabular"

    embedding: PositiveInt = 4
    """Length of the vector that stands for each level of a categorical column."""

    hidden: tuple[PositiveInt, ...] = Field((128, 128), min_length=1)
    """Widths of the layers."""

    activation: Activation = "relu"
    """After each layer."""

    @classmethod
    def example(cls) -> TabularConfig:
        return cls(categorical=((1, 2), (3, 2)), embedding=2, hidden=(12,))


@ENCODERS.register(TabularConfig)
class TabularEncoder(Encoder[TabularConfig]):
    r"""Embeddings of the categorical columns and standardised real ones, through an MLP. Yields one vector.

    $f\big([(x_r - m) / s,\; E_1[x_{c_1}],\; E_2[x_{c_2}], \dots]\big)$ with a table $E_j$ of vectors for each
    categorical column (entity embeddings, Guo & Berkhahn 2016).

    The means and standard deviations are running ones, kept with the weights; no statistics need be known beforehand.
    The likelihood `mixed_columns` is its counterpart.

    *Cost*: one look-up a categorical column and a small MLP.

    Use it for tables with categorical columns, with the likelihood `mixed_columns`; for real columns alone an `mlp` on
    standardised data does the same.
    """

    def __init__(self, config: TabularConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        self.columns = Columns("encoder", config, context.data)
        self.standardise = RunningStandardiser(len(self.columns.real))
        self.embeddings = nn.ModuleList(nn.Embedding(levels, config.embedding) for levels in self.columns.levels)
        size = len(self.columns.real) + config.embedding * len(self.columns.levels)
        self.net = mlp((size, *config.hidden), config.activation, last=True)
        self.feature_shapes = ((config.hidden[-1],),)

    def forward(self, x: Tensor) -> Tensor:
        indices = self.columns.indices(x)
        embedded = [embedding(index) for embedding, index in zip(self.embeddings, indices, strict=True)]
        return self.net(torch.cat([self.standardise(self.columns.reals(x)), *embedded], -1))
