"""Passes over data that several metrics and figures share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaelab.distributions import DiagonalNormal, closed_kl
from vaelab.inference import Group, infer_latents, score
from vaelab.model import VAE
from vaelab.types import Batch, numel

#: Numbers in the output of a decoder: a MiB of float32. Fewer fit a smaller cache, and cost more calls than that gains.
_IN_CACHE = 2**18
#: Data a pass below which a decoder's layers are no longer efficient.
_LEAST_PASS = 16


def offered(distribution: Distribution | None, name: str) -> Tensor | None:
    """A moment such as `mean` or `variance`, or None where the distribution has no closed form for it."""
    try:
        value: Tensor | None = getattr(distribution, name, None)
    except NotImplementedError:  # what torch's base class does
        return None
    return value


def has_density(model: VAE, batches: Iterable[Batch]) -> bool:
    """Whether latents and data have log-densities; a plain autoencoder's latents have none, nor has a score of pictures."""
    groups, state = infer_latents(model, next(iter(batches)).rows(slice(0, 1)))
    likelihood = model.decoder.distribution(model.prior.readout(state), model.likelihood)
    return likelihood.has_density and all(group.has_density for group in groups)


def chunks(model: VAE, batch: Batch, samples: int, max_elements: int) -> Iterator[tuple[Batch, list[int]]]:
    """Parts of a batch, each with the numbers of samples to draw for it at a time.

    A pass over one part with one of these numbers holds at most `max_elements` numbers in its widest visible tensor:
    the data or all latents. One datum with one sample is the least. Samples are kept together before data are, since
    each pass runs the encoder.
    """
    size = max(numel(model.data.shape), sum(numel(group.shape) for group in model.prior.latent.groups))
    most = min(samples, max(1, max_elements // size))
    rows = min(len(batch), max(1, max_elements // (size * most)))
    full, rest = divmod(samples, most)
    counts = [most] * full + [rest] * (rest > 0)
    for start in range(0, len(batch), rows):
        yield batch.rows(slice(start, start + rows)), counts


def log_weights(model: VAE, batch: Batch, samples: int) -> Tensor:
    """`Trace.log_weight` `[K, B]` of K new draws, for which the decoder is run on parts that fit into the cache.

    On a CPU that is faster than one long pass, whose every operation would wait for memory.
    """
    groups, state = infer_latents(model, batch, samples)
    code = model.prior.readout(state)
    log_weight = torch.cat(
        [
            score(model.decoder.distribution(part, model.likelihood), batch)
            for part in code.split(_samples_in_cache(model, len(batch), samples))
        ]
    )
    for group in groups:
        log_weight = log_weight + group.log_p - group.log_q
    return log_weight


def _samples_in_cache(model: VAE, rows: int, samples: int) -> int:
    """Samples a decoder's pass over `rows` data, so that its output fits into the second-level cache of a CPU core."""
    if model.device.type != "cpu":
        return samples
    size = numel(model.likelihood.parameter_shape)
    return max(1, _IN_CACHE // (size * rows), _LEAST_PASS // rows)


def log_weight_sums(model: VAE, batch: Batch, counts: Iterable[int]) -> tuple[Tensor, Tensor, Tensor]:
    r"""Sums over importance samples that are never held together.

    Args:
        model: the model.
        batch: B data.
        counts: how many samples to draw at a time; see `chunks`.

    Returns:
        $\log\sum w$, $\log\sum w^2$ and $\sum\log w$, each `[B]`, with the weights of `Trace.log_weight`.
    """
    first = torch.full((len(batch),), -math.inf, dtype=torch.float64)
    second, logs = first.clone(), torch.zeros_like(first)
    for count in counts:
        # float64 on the CPU: thousands of terms are added, and not every accelerator has float64
        log_weight = log_weights(model, batch, count).cpu().double()
        first = torch.logaddexp(first, log_weight.logsumexp(0))
        second = torch.logaddexp(second, (2 * log_weight).logsumexp(0))
        logs += log_weight.sum(0)
    return first, second, logs


def posterior_means(model: VAE, batches: Iterable[Batch], group: int) -> Tensor:
    """$\\mathbb{E}[z \\mid x]$ of one latent group, `[N, size]`, float64, on the CPU.

    Given a draw of the groups before it. Where the posterior has no mean in closed form, a draw stands for it.
    """
    means = []
    for batch in batches:
        drawn = infer_latents(model, batch)[0][group]
        mean = offered(drawn.q, "mean")
        means.append((drawn.z if mean is None else mean.expand_as(drawn.z))[0].flatten(1).cpu().double())
    return torch.cat(means)


def component_rates(group: Group) -> Tensor | None:
    """The KL of each number of a group of a pass, nats, `[K, B, size]`, float64, on the CPU.

    None where posterior and prior are not both diagonal normals, so that it is no sum over numbers in closed form.
    """
    if not (isinstance(group.q, DiagonalNormal) and isinstance(group.p, DiagonalNormal)):
        return None
    rate = closed_kl(_by_component(group.q), _by_component(group.p))
    assert rate is not None
    # a unit's KL is never below 0, and rounding may make it so
    return rate.flatten(2).clamp_min(0)


def unit_rates(model: VAE, batches: Iterable[Batch]) -> dict[int, Tensor]:
    """The KL of each datum and number, `[N, size]`, of each group whose posterior and prior are diagonal normals."""
    found: dict[int, list[Tensor]] = {}
    for batch in batches:
        for i, group in enumerate(infer_latents(model, batch)[0]):
            rate = component_rates(group)
            if rate is not None:
                found.setdefault(i, []).append(rate[0])
    return {i: torch.cat(parts) for i, parts in found.items()}


def _by_component(distribution: DiagonalNormal) -> DiagonalNormal:
    """The same normals, each by itself: the axes of the event become axes of the batch."""
    # not every accelerator has float64
    loc, scale, log_scale = (
        tensor.cpu().double() for tensor in (distribution.loc, distribution.scale, distribution.log_scale)
    )
    return DiagonalNormal(loc, scale, log_scale, event_ndim=0)


@dataclass(frozen=True)
class LatentMoments:
    r"""Moments of one latent group under the aggregate posterior $q(z) = \mathbb{E}_x q(z \mid x)$.

    Attributes:
        mean: $\mathbb{E}[z]$, `[*event]`, float64, on the CPU like the others.
        variance: $\operatorname{Var}[z]$.
        signal: $\operatorname{Var}_x \mathbb{E}[z \mid x]$, the part of the variance that x determines. An estimate,
            which may fall a little below 0 where the posterior has no closed mean or depends on other latents.
    """

    mean: Tensor
    variance: Tensor
    signal: Tensor

    @property
    def noise(self) -> Tensor:
        r"""$\mathbb{E}_x \operatorname{Var}[z \mid x]$, the rest of the variance."""
        return (self.variance - self.signal).clamp_min(0)

    @property
    def explained(self) -> Tensor:
        """The share of the variance that x determines, in [0, 1]; 0 for a constant."""
        share = self.signal / self.variance
        return share.nan_to_num(0.0, 0.0, 0.0).clamp(0, 1)


def latent_moments(
    model: VAE, batches: Iterable[Batch], samples: int = 8, max_elements: int = 2**22
) -> dict[int, LatentMoments]:
    r"""The moments of each group of real numbers, by the group's position.

    $\mathbb{E}[z_i \mid x]$ is an average over the draws of the groups before it, of the posterior's mean where it
    offers one and else of z itself. Two independent averages are taken and `signal` is their covariance over the
    data, so that the noise of the draws does not count as signal. Where the group depends on nothing and its mean is
    known, the two are equal and the covariance is the exact variance over the data.

    Args:
        model: the model.
        batches: the data.
        samples: draws in each of the two averages.
        max_elements: numbers a pass may hold in one tensor.
    """
    real = [i for i, group in enumerate(model.prior.latent.groups) if group.support == "real"]
    shapes = {i: model.prior.latent.groups[i].shape for i in real}
    # sums of: both averages, their product, z, its square; in float64, where the difference of large sums is harmless
    sums = {i: torch.zeros(5, *shapes[i], dtype=torch.float64) for i in real}
    number = 0
    for whole in batches if real else ():
        for batch, counts in chunks(model, whole, samples, max_elements):
            halves = {i: torch.zeros(2, len(batch), *shapes[i], dtype=torch.float64) for i in real}
            for half in (0, 1):
                for count in counts:
                    groups, _ = infer_latents(model, batch, count)
                    for i in real:
                        z = groups[i].z
                        mean = offered(groups[i].q, "mean")
                        halves[i][half] += (z if mean is None else mean.expand_as(z)).cpu().double().sum(0) / samples
                        z = z.cpu().double()
                        sums[i][3] += z.sum((0, 1))
                        sums[i][4] += z.square().sum((0, 1))
            for i, (a, b) in halves.items():
                sums[i][:3] += torch.stack([a.sum(0), b.sum(0), (a * b).sum(0)])
            number += len(batch)
    return {i: _moments(sums[i], number, 2 * samples) for i in real}


def _moments(sums: Tensor, number: int, draws: int) -> LatentMoments:
    a, b, product = sums[:3] / number
    mean, square = sums[3:] / (number * draws)
    unbiased = number / max(number - 1, 1)
    variance = (square - mean.square()).clamp_min(0)
    return LatentMoments(mean, variance, unbiased * (product - a * b))
