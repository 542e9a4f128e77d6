"""Hamiltonian posterior."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from vaelab.distributions import Distribution, HamiltonianNormal
from vaelab.posteriors.dynamics import DynamicsConfig, DynamicsPosterior
from vaelab.registry import POSTERIORS


class HamiltonianConfig(DynamicsConfig):
    """Arguments of the Hamiltonian posterior."""

    kind: Literal["hamiltonian"] = "hamiltonian"

    @classmethod
    def example(cls) -> HamiltonianConfig:
        return cls(steps=2)


@POSTERIORS.register(HamiltonianConfig)
class HamiltonianPosterior(DynamicsPosterior[HamiltonianConfig]):
    r"""A diagonal normal whose draws are moved towards $p(z \mid x)$ by leapfrog steps (Caterini et al. 2018).

    The force is $\nabla_z \log p(x, z)$ by the model's own prior and decoder, which it holds outside its parameters. The
    rate is estimated at the draw, with the momentum accounted for; see `vaelab.distributions.HamiltonianNormal`. For one
    latent group.

    *Cost*: a pass and a gradient of the decoder a leapfrog step.

    Use it to tighten the bound with the model's own gradient; each leapfrog step costs a pass and a gradient of the
    decoder, in training and in evaluation.
    """

    def moved(self, dynamics: HamiltonianNormal, feature: Tensor) -> Distribution:
        return dynamics
