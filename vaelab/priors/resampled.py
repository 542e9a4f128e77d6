"""Resampled prior (LARS)."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from vaelab.distributions import Distribution, Resampled
from vaelab.errors import BuildError
from vaelab.nets import Activation, mlp
from vaelab.priors.base import Prior
from vaelab.registry import PRIORS, ComponentConfig, default
from vaelab.shared_batch import mean_of_processes
from vaelab.types import BuildContext, State, numel

#: Keeps log Z finite where no proposal was accepted.
_SMALLEST = math.exp(-80)


class ResampledConfig(ComponentConfig):
    """Arguments of the resampled prior."""

    kind: Literal["resampled"] = "resampled"

    base: Annotated[ComponentConfig, PRIORS] = default("standard_normal")
    """The proposal: a prior with one group of real numbers, which has no parameters or is learned along."""

    truncation: PositiveInt = Field(100, ge=2)
    """T: the T-th proposal is accepted in any case."""

    hidden: tuple[PositiveInt, ...] = (100, 100)
    """Widths of the acceptance network."""

    activation: Activation = "tanh"
    """Between its layers."""

    samples: PositiveInt = 1024
    """S, proposals a training step that estimate the acceptance rate Z."""

    decay: float = Field(0.99, ge=0, lt=1)
    """Decay of the running mean of Z."""

    evaluation_samples: PositiveInt = 2**16
    """Proposals from which evaluation estimates Z."""

    @classmethod
    def example(cls) -> ResampledConfig:
        return cls.model_validate(
            {"base": {"kind": "standard_normal", "dim": 4}, "hidden": [6], "samples": 16, "evaluation_samples": 64}
        )


@PRIORS.register(ResampledConfig)
class ResampledPrior(Prior[ResampledConfig]):
    r"""A simple prior reshaped by learned accept/reject sampling, $p(z) \propto \pi(z)\,a(z)$ up to the truncation.

    LARS (Bauer & Mnih 2019); see `Resampled` for the density. In training Z is a running mean in the forward pass with
    the gradient of the current estimate (their section 3.2 and appendix); their use of posterior samples in it is left
    out. In evaluation Z comes from many proposals drawn with a seed of their own, so that it is the same at each
    call: its relative standard error is below $\sqrt{(1-Z)/(ZS)}$, about 1 % at Z = 0.1, and enters log p(z) as such.

    *Cost*: one small network at each draw and at the draws that estimate its normaliser; sampling repeats until a
    draw is accepted.

    Use it to see how far a fixed simple prior is from the aggregate posterior, at little cost in parameters; drawing
    rejects many proposals, and its normaliser is an estimate.
    """

    def __init__(self, config: ResampledConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        self.base: Prior[Any] = PRIORS.build(config.base, context)
        if self.base.latent.depth != 1 or self.base.latent.groups[0].support != "real":
            raise BuildError(
                f"prior 'resampled' takes a prior with one group of real numbers as its base, and '{config.base.kind}' has "
                f"{self.base.latent.depth} of {self.base.latent.groups[0].support}. Choose one such as 'standard_normal'."
            )
        self.latent = self.base.latent
        self.readout_shape = self.base.readout_shape
        size = numel(self.latent.groups[0].shape)
        self.accept = mlp((size, *config.hidden, 1), config.activation, last=False)
        self.mean_z: Tensor
        # of an untrained network, whose logit is about 0
        self.register_buffer("mean_z", torch.tensor(0.5))
        self._known: tuple[object, Tensor] | None = None

    def group(self, i: int, state: State) -> Resampled:
        base = self.base.group(0, state)
        if base.batch_shape:
            raise BuildError(
                f"prior 'resampled' has one acceptance rate for all data, and its base '{self.config.base.kind}' is another "
                "distribution for each. Choose a base such as 'standard_normal'."
            )
        return Resampled(base, self.accept, self._log_z(base), self.config.truncation)

    def _log_z(self, base: Distribution) -> Tensor:
        if not self.training:
            return self._evaluated(base)
        estimate = mean_of_processes(self._estimate(base, self.config.samples))
        with torch.no_grad():
            self.mean_z.lerp_(estimate.to(self.mean_z.dtype), 1 - self.config.decay)
        # the value is the running mean's, the gradient that of the estimate
        return self.mean_z.log().detach() + (estimate.log() - estimate.log().detach())

    def _estimate(self, base: Distribution, samples: int) -> Tensor:
        z = base.sample(torch.Size((samples,)))
        accepted = Resampled(base, self.accept, z.new_zeros(()), self.config.truncation).log_accept(z).exp()
        if torch.is_grad_enabled() and next(self.base.parameters(), None) is not None:
            # Z depends on a learned base as well, and draws of a mixture have no pathwise gradient: its score has
            log_base = base.log_prob(z)
            accepted = accepted * (log_base - log_base.detach()).exp()
        return accepted.mean().clamp_min(_SMALLEST)

    def _evaluated(self, base: Distribution) -> Tensor:
        """log Z, estimated once for these weights."""
        key = tuple((weight.data_ptr(), weight._version, weight.dtype) for weight in self.parameters())
        if self._known is None or self._known[0] != key:
            device = self.mean_z.device
            with torch.no_grad(), torch.random.fork_rng([device] if device.type == "cuda" else []):
                torch.manual_seed(0)
                self._known = (key, self._estimate(base, self.config.evaluation_samples).log())
        return self._known[1]

    def train(self, mode: bool = True) -> Self:
        self._known = None  # a base made of the model's posteriors changes without a weight of this prior
        return super().train(mode)
