"""Bounds from importance weights, and what their objectives share."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch
from einops import rearrange
from pydantic import PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from vaelab.errors import BuildError
from vaelab.inference import Trace, infer_latents, sample_mean, score
from vaelab.objectives.base import MODEL, Loss, Objective, ObjectiveConfig
from vaelab.schedules import NonNegativeScalar, schedule
from vaelab.types import Batch, BuildContext, StepContext

if TYPE_CHECKING:
    from typing import Self

    from vaelab.model import VAE

#: Name of the player whose parameters are encoder's and posterior's, where an objective trains them on their own.
INFERENCE = "inference"


@dataclass(frozen=True, slots=True)
class Bound:
    r"""A bound that is a function of the log weights alone.

    Attributes:
        value: $\mathcal{B}$ `[B]` of log weights `[K, B]`.
        shares: $\partial\mathcal{B}/\partial\log w_k$ `[K, B]`, the share of each sample in the gradient: at least 0, and
            1 in sum.
    """

    value: Callable[[Tensor], Tensor]
    shares: Callable[[Tensor], Tensor]


def iwae_bound(log_weight: Tensor) -> Tensor:
    r"""$\log\frac1K\sum_k w_k$ `[..., B]` from log weights `[..., K, B]` (Burda et al. 2016, equation 8)."""
    return torch.logsumexp(log_weight, -2) - math.log(log_weight.shape[-2])


def importance_weighted() -> Bound:
    """The importance-weighted bound of all samples."""
    return Bound(iwae_bound, lambda log_weight: log_weight.softmax(0))


def mean_of_bounds(outer: int) -> Bound:
    """The mean of M bounds with K samples each, from M K weights (Rainforth et al. 2018, equation 8)."""

    def value(log_weight: Tensor) -> Tensor:
        return iwae_bound(rearrange(log_weight, "(m k) b -> m k b", m=outer)).mean(0)

    def shares(log_weight: Tensor) -> Tensor:
        each = rearrange(log_weight, "(m k) b -> m k b", m=outer).softmax(1) / outer
        return rearrange(each, "m k b -> (m k) b")

    return Bound(value, shares)


class ImportanceWeightedConfig(ObjectiveConfig):
    """Arguments of objectives that are functions of importance weights."""

    backward: PositiveInt | None = None
    """Number of samples that the gradient is taken through, drawn in proportion to their shares in it; null for all.
    Unbiased, and the others cost the decoder's forward pass alone, at the price of a noisier gradient."""

    kl_weight: NonNegativeScalar = 1.0
    r"""Beta of the weights $p(x \mid z)\,(p(z) / q(z \mid x))^\beta$: a number or a schedule, which makes a warm-up
    (Sønderby et al. 2016). Where it is not 1, the objective is no bound."""

    @property
    def draws(self) -> int:
        """All samples a datum."""
        return self.samples

    @model_validator(mode="after")
    def _fewer_than_all(self) -> Self:
        if self.backward is not None and self.backward >= self.draws:
            raise ValueError(
                f'"backward" is {self.backward}, and there are {self.draws} samples to draw from. Lower it, or leave it out '
                "to take the gradient through all of them."
            )
        return self


C = TypeVar("C", bound=ImportanceWeightedConfig)


class ImportanceWeighted(Objective[C]):
    r"""Base of the objectives $-\mathcal{B}(\log w_1, \dots, \log w_K)$, one bound a player.

    The gradient of such a bound is $\sum_k s_k \nabla\log w_k$ with the shares s of `Bound`. With `backward` S it is
    estimated by $\frac1S\sum_{k \in I}\nabla\log w_k$, where I holds sample k on average $S s_k$ times (Burda et al. 2016,
    section 3; Li & Turner 2016, section 4.2): the decoder is run on all samples without a graph, and on I with one. With
    `kl_weight` the log weights are $\log p(x \mid z) + \beta\,(\log p(z) - \log q(z \mid x))$; what is logged as
    `negative_elbo` and `kl` stays without the weight.
    """

    def __init__(self, config: C, context: BuildContext) -> None:
        super().__init__(config, context)
        self.kl_weight = schedule(config.kl_weight)

    @abstractmethod
    def bounds(self) -> dict[str, Bound]:
        """The bound that each player maximises, the model's first."""

    def check(self, model: VAE, batch: Batch) -> None:
        if self.config.backward is None:
            return
        for part in (model.decoder, model.likelihood):
            if any(isinstance(module, _BatchNorm) for module in part.modules()):
                raise BuildError(
                    f"objective '{self.config.kind}' with \"backward\" decodes a part of the samples a second time, and the "
                    f"batch normalisation of '{part.config.kind}' would give them other values than the first time. Leave "
                    '"backward" out, or choose a decoder without batch normalisation.'
                )

    def forward(self, model: VAE, batch: Batch, context: StepContext) -> dict[str, Loss]:
        backward = self.config.backward
        groups, state = infer_latents(model, batch, self.config.draws)
        code = model.prior.readout(state)
        with torch.set_grad_enabled(backward is None and torch.is_grad_enabled()):
            trace = Trace(batch, groups, model.decoder.distribution(code, model.likelihood))
            log_px = trace.log_px
        latent = groups[0].log_p - groups[0].log_q
        for group in groups[1:]:
            latent = latent + group.log_p - group.log_q
        weight = self.kl_weight(context)
        weighted = latent if self.kl_weight.constant and weight == 1.0 else weight * latent
        log_weight = log_px + (weighted if backward is None else weighted.detach())
        losses = {}
        for player, bound in self.bounds().items():
            value = loss = -bound.value(log_weight)
            if backward is not None:
                chosen = systematic(bound.shares(log_weight), backward)
                likelihood = model.decoder.distribution(_take(code, chosen), model.likelihood)
                loss = -(score(likelihood, batch) + _take(weighted, chosen)).mean(0)
            logged = terms(trace, value, log_px + latent) if player == MODEL else {f"{player}/loss": value}
            losses[player] = Loss(loss, logged)
        return losses


def systematic(shares: Tensor, number: int) -> Tensor:
    r"""Draw S indices `[S, B]` with one uniform number a datum, so that k comes $\lfloor S s_k\rfloor$ or one more times.

    On average it comes $S s_k$ times (Carpenter et al. 1999), with less noise than in independent draws.

    Args:
        shares: s `[K, B]`, at least 0 and 1 in sum.
        number: S.
    """
    steps = torch.arange(number, dtype=shares.dtype, device=shares.device)
    at = (steps + torch.rand(shares.shape[1], 1, dtype=shares.dtype, device=shares.device)) / number
    edges = shares.detach().cumsum(0).t().contiguous()
    # the last edge may round to less than 1
    return torch.searchsorted(edges, at, right=True).clamp_max(shares.shape[0] - 1).t()


def _take(values: Tensor, chosen: Tensor) -> Tensor:
    """The chosen samples `[S, B, ...]` of `[K, B, ...]`."""
    index = chosen.reshape(*chosen.shape, *(1 for _ in values.shape[2:])).expand(*chosen.shape, *values.shape[2:])
    return values.gather(0, index)


def terms(trace: Trace, loss: Tensor, log_weight: Tensor) -> dict[str, Tensor]:
    """What the objectives of this family log, each `[B]`."""
    distortion = -sample_mean(trace.log_px)
    negative_elbo = -sample_mean(log_weight)
    return {
        "loss": loss,
        "negative_elbo": negative_elbo,
        "distortion": distortion,
        "kl": negative_elbo - distortion,
    }


def split_players(model: VAE) -> dict[str, list[nn.Parameter]]:
    """The generative model and the inference network as two players."""
    inference = [*model.encoder.parameters(), *model.posterior.parameters()]
    theirs = {id(parameter) for parameter in inference}
    return {MODEL: [p for p in model.parameters() if id(p) not in theirs], INFERENCE: inference}
