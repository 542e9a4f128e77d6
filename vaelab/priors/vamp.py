"""VampPrior."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from vaelab.distributions import Mixture
from vaelab.priors.base import FlatPrior, LatentShape
from vaelab.registry import PRIORS, ComponentConfig
from vaelab.types import Batch, BuildContext, State


class VampPriorConfig(ComponentConfig):
    """Arguments of the VampPrior."""

    kind: Literal["vamp"] = "vamp"

    dim: LatentShape = 20
    """Length of the latent vector, or [C, H, W] of a latent map."""

    pseudo_inputs: PositiveInt = 500
    """Number of learned inputs."""

    @classmethod
    def example(cls) -> VampPriorConfig:
        return cls(dim=4, pseudo_inputs=3)


@PRIORS.register(VampPriorConfig)
class VampPrior(FlatPrior[VampPriorConfig]):
    r"""The aggregate posterior of learned pseudo-inputs, $p(z) = \frac1K \sum_k q(z \mid u_k)$.

    The VampPrior of Tomczak & Welling (2018, equation 9). It uses the model's own encoder and posterior, which it
    holds outside its parameters. Pseudo-inputs of data in [0, 1] are kept there by a clamp, as in the authors' code.

    *Cost*: one pass of the encoder over all pseudo-inputs a step, and as many log-densities for each draw.

    Use it for clustered data and against inactive units, in place of a fixed prior; every loss encodes all
    pseudo-inputs, which is the cost, and it can overfit small data sets.
    """

    def __init__(self, config: VampPriorConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        self.context = context
        data = context.data
        start = torch.empty(config.pseudo_inputs, *data.shape)
        if data.values == "real":
            start.normal_()
        else:
            # around the mean grey level of sparse images, with room on both sides of the clamp's gradient
            start.normal_(0.1, 0.05).abs_()
        self.pseudo_inputs = nn.Parameter(start)

    def distribution(self) -> Mixture:
        model = self.context.model
        u: Tensor = self.pseudo_inputs
        if self.context.data.values != "real":
            u = u.clamp(0, 1)
        state = State((1, len(u)))
        features = model.encoder.features(Batch(u))
        q = model.posterior.group(0, features, state, None)
        components = q.map(lambda tensor, event_ndim: tensor[0])
        return Mixture(components, u.new_zeros(len(u)))
