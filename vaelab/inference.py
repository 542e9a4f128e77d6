"""The one loop over latent groups: `infer` with the posterior, `generate` without it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vaelab.distributions import Distribution, Draw, closed_kl
from vaelab.errors import NoDensityError
from vaelab.types import Batch, State

if TYPE_CHECKING:
    from vaelab.model import VAE


#: Maps the number of a group and its posterior to the posterior that takes its place.
Adjustment = Callable[[int, Distribution], Distribution]


@dataclass(slots=True)
class Group:
    """One latent group of a pass.

    Attributes:
        z: `[K, B, *event]`.
        p: its prior given the groups before it.
        q: its posterior; None where the latent was given or generated.
        penalty: `[K, B]` nats that its sampling asks for, or None.
    """

    z: Tensor
    p: Distribution
    q: Distribution | None = None
    penalty: Tensor | None = None
    _log_q: Tensor | None = None

    @property
    def has_density(self) -> bool:
        """Whether there are a log q and a log p of z, and with them a rate."""
        return self.p.has_density and (self.q is None or self.q.has_density)

    @property
    def log_q(self) -> Tensor:
        """log q(z | ...) `[K, B]`; 0 where the latent was given.

        Raises:
            NoDensityError: the posterior is a point mass.
        """
        if self._log_q is None:
            if self.q is not None and not self.q.has_density:
                raise NoDensityError(f"{type(self.q).__name__} has no density, so there is no log q and no rate")
            shape = self.z.shape[:2]
            self._log_q = self.z.new_zeros(shape) if self.q is None else self.q.log_prob(self.z)
        return self._log_q

    @property
    def log_p(self) -> Tensor:
        """log p(z | ...) `[K, B]`.

        Raises:
            NoDensityError: the prior is made of point masses.
        """
        if not self.p.has_density:
            raise NoDensityError(f"{type(self.p).__name__} has no density, so there is no log p and no rate")
        return self.p.log_prob(self.z)

    def closed_rate(self) -> Tensor | None:
        """KL(q || p) `[K, B]` in closed form, or None where there is none."""
        return None if self.q is None else closed_kl(self.q, self.p)

    def rate(self) -> Tensor:
        """KL(q || p) `[K, B]`: in closed form where one exists, else log q - log p at the sample."""
        closed = self.closed_rate()
        return self.log_q - self.log_p if closed is None else closed


@dataclass(slots=True)
class Trace:
    """What one pass through the model yields.

    Attributes:
        batch: the data.
        groups: the latent groups, in order.
        likelihood: p(x | z), batch shape `(K, B)`.
    """

    batch: Batch
    groups: list[Group]
    likelihood: Distribution
    _log_px: Tensor | None = None
    _rates: dict[int, Tensor] = field(default_factory=dict)

    @property
    def x(self) -> Tensor:
        """The data `[B, *shape]`."""
        return self.batch.x

    @property
    def samples(self) -> int:
        """K."""
        return self.groups[0].z.shape[0]

    @property
    def has_density(self) -> bool:
        """Whether every group has one; without, there are no rates and no weights."""
        return all(group.has_density for group in self.groups)

    @property
    def log_px(self) -> Tensor:
        """log p(x | z) `[K, B]`, of the observed pixels only where the batch says which those are."""
        if self._log_px is None:
            self._log_px = score(self.likelihood, self.batch)
        return self._log_px

    def rate(self, i: int) -> Tensor:
        """KL of group i `[K, B]`, see `Group.rate`."""
        if i not in self._rates:
            self._rates[i] = self.groups[i].rate()
        return self._rates[i]

    def total_rate(self) -> Tensor:
        """The KL of all groups together `[K, B]`."""
        total = self.rate(0)
        for i in range(1, len(self.groups)):
            total = total + self.rate(i)
        return total

    @property
    def log_weight(self) -> Tensor:
        r"""$\log p(x, z) - \log q(z \mid x)$ `[K, B]`: the log importance weight of each sample."""
        weight = self.log_px
        for group in self.groups:
            weight = weight + group.log_p - group.log_q
        return weight


def sample_mean(values: Tensor) -> Tensor:
    """The mean over the importance samples, `[K, ...]` to `[...]`; of one sample it is that sample, at no cost."""
    return values.squeeze(0) if values.shape[0] == 1 else values.mean(0)


def score(likelihood: Distribution, batch: Batch) -> Tensor:
    """log p(x | z) `[K, B]` of the observed pixels."""
    x = batch.x.unsqueeze(0)
    if batch.observed is None:
        return likelihood.log_prob(x)
    return likelihood.log_prob_where(x, batch.observed.unsqueeze(0))


def infer_latents(
    model: VAE,
    batch: Batch,
    samples: int = 1,
    fixed: Mapping[int, Tensor] | None = None,
    *,
    proposed: Mapping[int, Tensor] | None = None,
    adjust: Adjustment | None = None,
    mean: bool = False,
    pathwise: bool = True,
) -> tuple[list[Group], State]:
    """The part of `infer` before the decoder, which costs most of a pass.

    Args:
        model: the model.
        batch: B data.
        samples: K.
        fixed: as in `infer`.
        proposed: as in `infer`.
        adjust: as in `infer`.
        mean: take the centre of each group's posterior in place of a draw: its mean, or the point that stands for it
            where the mean is unknown or no point of the latent space.
        pathwise: let gradients flow through the draws; else they are constants, and log q(z | x) of a constant is scored.

    Returns:
        The groups, and the state after the last one.
    """
    fixed, proposed = fixed or {}, proposed or {}
    shape = (samples, batch.x.shape[0])  # not len(batch), which a graph that is captured would keep as a number
    features = model.encoder.features(batch)
    state = model.prior.initial(shape, batch.condition, batch)
    groups = []
    for i in range(model.prior.latent.depth):
        p = model.prior.group(i, state)
        if i in fixed:
            event = model.prior.latent.groups[i].shape
            group = Group(fixed[i].expand(*shape, *event), p)
        else:
            q = model.posterior.group(i, features, state, p)
            if adjust is not None:
                q = adjust(i, q)
            # a draw that is scored as a constant must be exact, where a pathwise one may be relaxed
            if i in proposed:
                draw = Draw(proposed[i].expand(*shape, *model.prior.latent.groups[i].shape))
            else:
                draw = Draw(q.centre) if mean else q.draw() if pathwise else Draw(q.sample())
            group = Group(draw.z, p, q, draw.penalty, draw.log_q)
        groups.append(group)
        state = model.prior.advance(i, state, group.z)
    return groups, state


def infer(
    model: VAE,
    batch: Batch,
    samples: int = 1,
    fixed: Mapping[int, Tensor] | None = None,
    *,
    proposed: Mapping[int, Tensor] | None = None,
    adjust: Adjustment | None = None,
    pathwise: bool = True,
) -> Trace:
    """Draw the latents of a batch from the posterior and score the data.

    Args:
        model: the model.
        batch: B data.
        samples: K.
        fixed: latents that are observed, by group: `[B, *event]` or `[K, B, *event]`. They add log p(z) and no log q.
        proposed: latents to take in place of draws, by group and of the same shapes; q scores them as it would a draw.
        adjust: changes the posterior of each group before it is drawn from.
        pathwise: as in `infer_latents`.
    """
    groups, state = infer_latents(model, batch, samples, fixed, proposed=proposed, adjust=adjust, pathwise=pathwise)
    likelihood = model.decoder.distribution(model.prior.readout(state), model.likelihood)
    return Trace(batch, groups, likelihood)


def posterior_log_prob(model: VAE, batch: Batch, zs: Sequence[Tensor]) -> Tensor:
    """log q(z | x) `[B]` of given latents, each `[B, *event]`, all groups together."""
    groups, _ = infer_latents(model, batch, proposed=dict(enumerate(zs)))
    return torch.stack([group.log_q for group in groups]).sum(0)[0]


def log_joint(model: VAE, state: State, z: Tensor) -> Tensor:
    """log p(x, z) `[K, B]` of a model with one latent group, for posteriors that follow its gradient.

    Args:
        model: the model.
        state: what the prior started from, with the data.
        z: `[K, B, *event]`.
    """
    assert state.data is not None
    log_p = model.prior.group(0, state).log_prob(z)
    code = model.prior.readout(model.prior.advance(0, state, z))
    return log_p + score(model.decoder.distribution(code, model.likelihood), state.data)


@dataclass(slots=True)
class Generation:
    """What `generate` yields.

    Attributes:
        zs: the latent groups, each `[N, *event]`.
        likelihood: p(x | z), batch shape `(1, N)`; of a model that feeds data back, p(x_t | z, x_<t) of each step given the
            data drawn before it.
        drawn: the data `[N, *shape]` where the model drew them on its way, or None.
    """

    zs: tuple[Tensor, ...]
    likelihood: Distribution
    drawn: Tensor | None = None

    @property
    def mean(self) -> Tensor:
        """E[x | z] `[N, *shape]`."""
        return self.likelihood.mean[0]

    def sample(self) -> Tensor:
        """A draw from p(x | z) `[N, *shape]`; always the same one where it was drawn on the way."""
        return self.likelihood.sample()[0] if self.drawn is None else self.drawn


def generate(
    model: VAE,
    number: int,
    temperature: float = 1.0,
    fixed: Mapping[int, Tensor] | None = None,
    condition: Tensor | None = None,
) -> Generation:
    """The loop of `infer` with the posterior left out.

    Args:
        model: the model.
        number: N.
        temperature: of each group's prior; 1 is the model itself.
        fixed: latents to keep, by group, each `[N, *event]`.
        condition: what the model is conditioned on, `[N, ...]`.
    """
    if not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature must be a positive number, not {temperature}")
    fixed = fixed or {}
    depth = model.prior.latent.depth
    # given all latents nothing is left to chance, so that decoding is a function
    state = replace(model.prior.initial((1, number), condition), expected=len(fixed) == depth)
    with torch.no_grad():
        for i in range(depth):
            if i in fixed:
                z = fixed[i].unsqueeze(0)
            else:
                p = model.prior.group(i, state).tempered(temperature)
                z = p.expand(torch.Size((1, number))).sample()
            state = model.prior.advance(i, state, z)
        likelihood = model.decoder.distribution(model.prior.readout(state), model.likelihood)
    drawn = None if state.data is None or state.expected else state.data.x
    return Generation(tuple(z[0] for z in state.zs), likelihood, drawn)
