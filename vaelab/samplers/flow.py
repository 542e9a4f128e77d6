"""Autoregressive flows of the latents."""

from __future__ import annotations

from typing import Literal, TypeVar

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from vaelab.distributions import NormalFlow, StandardNormal
from vaelab.nets.flows import Autoregressive, FlowStack
from vaelab.registry import SAMPLERS
from vaelab.samplers.fitted import RealLatentsConfig, RealLatentsSampler
from vaelab.samplers.maximum_likelihood import TrainedConfig, maximise_likelihood


class FlowSamplerConfig(RealLatentsConfig, TrainedConfig):
    """Arguments of a flow sampler."""

    steps: PositiveInt = 3
    """How many invertible steps; the order of components turns round from one to the next."""

    width: tuple[PositiveInt, ...] = Field((128, 128), min_length=1)
    """Widths of each step's masked network."""

    bins: int | None = Field(None, ge=2)
    """Pieces of a rational-quadratic spline (Durkan et al. 2019); null for affine steps."""


class MAFSamplerConfig(FlowSamplerConfig):
    """Arguments of the masked autoregressive flow."""

    kind: Literal["maf"] = "maf"

    @classmethod
    def example(cls) -> MAFSamplerConfig:
        return cls.model_validate({"steps": 2, "width": [8], "epochs": 2, "limit": 100})


class IAFSamplerConfig(FlowSamplerConfig):
    """Arguments of the inverse autoregressive flow."""

    kind: Literal["iaf"] = "iaf"

    @classmethod
    def example(cls) -> IAFSamplerConfig:
        return cls.model_validate({"steps": 2, "width": [8], "epochs": 2, "limit": 100})


F = TypeVar("F", bound=FlowSamplerConfig)


class FlowDensity(nn.Module):
    r"""$z = m + s \odot f(\epsilon)$ with $\epsilon \sim \mathcal{N}(0, I)$; m and s are those of the latents.

    Args:
        z: the latents `[M, D]` that give m and s.
        config: the flow's shape.
        fast_draws: make drawing the direction of one pass, not scoring.
    """

    def __init__(self, z: Tensor, config: FlowSamplerConfig, *, fast_draws: bool) -> None:
        super().__init__()
        size = z.shape[1]
        self.loc, self.scale, self.zeros, self.nothing = (
            z.mean(0),
            z.std(0).clamp_min(1e-6),
            z.new_zeros(size),
            z[0, :0],
        )
        self.flow = FlowStack(
            [
                Autoregressive(size, 0, config.width, config.bins, descending=i % 2 == 1, inverted=not fast_draws)
                for i in range(config.steps)
            ]
        ).to(z)

    @property
    def standardised(self) -> NormalFlow:
        """The density of $(z - m) / s$."""
        return NormalFlow(StandardNormal(self.zeros, 1), self.flow, self.nothing)

    def log_prob(self, z: Tensor) -> Tensor:
        """`[M]` nats of `[M, D]`."""
        return self.standardised.log_prob((z - self.loc) / self.scale) - self.scale.log().sum()

    def sample(self, number: int, temperature: float = 1.0) -> Tensor:
        """`[number, D]`."""
        return self.loc + self.scale * self.standardised.tempered(temperature).sample(torch.Size((number,)))


class FlowSampler(RealLatentsSampler[F]):
    """A flow fitted to latents by maximum likelihood.

    Attributes:
        fast_draws: see `FlowDensity`.
    """

    fast_draws: bool

    def density(self, z: Tensor, held_out: Tensor) -> FlowDensity:
        density = FlowDensity(z, self.config, fast_draws=self.fast_draws)
        maximise_likelihood(density, density.log_prob, z, self.config)
        return density


@SAMPLERS.register(MAFSamplerConfig)
class MAFSampler(FlowSampler[MAFSamplerConfig]):
    r"""A masked autoregressive flow fitted to the latents of the training data by maximum likelihood.

    Papamakarios et al. (2017): a standard normal pushed through $z_d = \mu_d(z_{<d}) + \sigma_d(z_{<d})\,\epsilon_d$, by the
    library zuko. Scoring a latent takes one pass of each masked network, a draw one for each component. The latents are
    standardised first. The temperature is that of the normal (Kingma & Dhariwal 2018, section 6).

    *Cost*: one pass of the flow for each log-density; a draw takes d passes.

    Use it where a `gmm` is too coarse; it takes minutes to fit, and flows put some mass between separated clusters.
    """

    fast_draws = False


@SAMPLERS.register(IAFSamplerConfig)
class IAFSampler(FlowSampler[IAFSamplerConfig]):
    r"""An inverse autoregressive flow fitted to the latents of the training data by maximum likelihood.

    Kingma et al. (2016): $z_d = \mu_d(\epsilon_{<d}) + \sigma_d(\epsilon_{<d})\,\epsilon_d$, by the library zuko. A draw takes
    one pass of each masked network. Scoring, and so fitting, takes one for each component: `maf` is fitted faster. The
    latents are standardised first. The temperature is that of the normal (Kingma & Dhariwal 2018, section 6).

    *Cost*: d passes of the flow for each log-density, so that fitting is slow and drawing fast.

    Use it where drawing must be fast; fitting it inverts the flow one component at a time, so `maf` is the one to
    prefer in most cases.
    """

    fast_draws = True
