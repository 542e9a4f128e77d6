"""A diagonal normal posterior fitted to each datum by itself: what an encoder is measured against."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from vaelab.distributions import DiagonalNormal
from vaelab.inference import Group, Trace, infer_latents
from vaelab.model import VAE
from vaelab.types import Batch, numel


def has_diagonal_normal(model: VAE, batches: Iterable[Batch]) -> bool:
    """Whether the model has one latent group, a diagonal normal posterior, and log-densities of latents and data."""
    if model.depth != 1 or model.prior.latent.groups[0].support != "real":
        return False
    [group], state = infer_latents(model, next(iter(batches)).rows(slice(0, 1)))
    likelihood = model.decoder.distribution(model.prior.readout(state), model.likelihood)
    return isinstance(group.q, DiagonalNormal) and group.has_density and likelihood.has_density


@dataclass(frozen=True)
class Fit:
    """How a posterior is fitted.

    Attributes:
        steps: of Adam, whose learning rate falls linearly to 0.
        rate: learning rate of the first step.
        draws: of z a datum and step.
    """

    steps: int
    rate: float
    draws: int


def posterior_of(model: VAE, batch: Batch) -> DiagonalNormal:
    """What the encoder says, batch shape `(1, B)`, cut from the graph."""
    q = infer_latents(model, batch)[0][0].q
    assert isinstance(q, DiagonalNormal)
    return q.detached()


def pass_with(model: VAE, batch: Batch, q: DiagonalNormal, noise: Tensor) -> Trace:
    """A pass in which $z = \\mu + \\sigma\\epsilon$ has another posterior; features of the encoder are not computed.

    Args:
        model: with one latent group.
        batch: B data.
        q: batch shape `(1, B)`.
        noise: epsilon, `[K, B, *event]`.
    """
    shape = (noise.shape[0], noise.shape[1])
    q = q.expand(shape)
    state = model.prior.initial(shape, batch.condition, batch)
    z = torch.addcmul(q.loc, q.scale, noise)
    group = Group(z, model.prior.group(0, state), q)
    state = model.prior.advance(0, state, z)
    return Trace(batch, [group], model.decoder.distribution(model.prior.readout(state), model.likelihood))


def fitted(model: VAE, batch: Batch, fit: Fit) -> DiagonalNormal:
    r"""$\arg\max_{\mu, \sigma} \mathbb{E}_q \log p(x \mid z) - \mathrm{KL}(q \,\|\, p)$ of each datum, from the encoder's start.

    By Adam on $(\mu, \log\sigma)$; the last iterate, of batch shape `(1, B)`. Data do not share anything, so the sum of their
    bounds is maximised.
    """
    start = posterior_of(model, batch)
    with torch.enable_grad():
        loc, log_scale = (part.clone().requires_grad_() for part in (start.loc, start.log_scale))
        adam = torch.optim.Adam([loc, log_scale], lr=fit.rate)
        for step in range(fit.steps):
            adam.param_groups[0]["lr"] = fit.rate * (1 - step / fit.steps)
            q = DiagonalNormal.from_log_scale(loc, log_scale, start.event_ndim)
            noise = torch.randn(fit.draws, *loc.shape[1:], dtype=loc.dtype, device=loc.device)
            trace = pass_with(model, batch, q, noise)
            loss = (trace.total_rate() - trace.log_px).mean(0).sum()
            # no gradient reaches the model's own parameters
            loc.grad, log_scale.grad = torch.autograd.grad(loss, [loc, log_scale])
            adam.step()
    return DiagonalNormal.from_log_scale(loc.detach(), log_scale.detach(), start.event_ndim)


@dataclass(frozen=True)
class Bounds:
    """Estimates of each datum, `[B]`, float64, on the CPU, in nats.

    Attributes:
        elbo: of the posterior.
        log_px: importance-sampled log p(x) with the posterior as the proposal.
    """

    elbo: Tensor
    log_px: Tensor


def bounds(model: VAE, batch: Batch, q: DiagonalNormal, noise: Iterable[Tensor]) -> Bounds:
    """ELBO and importance-sampled likelihood of a posterior of batch shape `(1, B)`.

    Args:
        model: with one latent group.
        batch: B data.
        q: the posterior.
        noise: pieces `[K_i, B, *event]`; two posteriors compare best with the same ones.
    """
    weights, elbos = [], []
    for piece in noise:
        trace = pass_with(model, batch, q, piece)
        weights.append(trace.log_weight.cpu().double())
        elbos.append((trace.log_px - trace.total_rate()).cpu().double())
    log_weight = torch.cat(weights)
    return Bounds(torch.cat(elbos).mean(0), log_weight.logsumexp(0) - math.log(len(log_weight)))


def before_and_after(
    model: VAE, whole: Batch, fit: Fit, samples: int, max_elements: int
) -> Iterator[tuple[Bounds, Bounds]]:
    """The bounds of the encoder's posterior and of the fitted one, with the same fresh draws, of parts of a batch.

    Args:
        model: with one latent group and a diagonal normal posterior.
        whole: the data.
        fit: how to fit.
        samples: K, draws that measure the bounds.
        max_elements: numbers a pass may hold in its widest visible tensor. Data are kept together before draws are, since a
            part takes all steps of the fit.
    """
    size = max(numel(model.data.shape), numel(model.prior.latent.groups[0].shape))
    rows = max(1, max_elements // (size * fit.draws))
    for start in range(0, len(whole), rows):
        batch = whole.rows(slice(start, start + rows))
        encoder, best = posterior_of(model, batch), fitted(model, batch, fit)
        most = max(1, max_elements // (size * len(batch)))
        noise = torch.randn(samples, *encoder.loc.shape[1:], dtype=encoder.loc.dtype).to(encoder.loc.device)
        pieces = noise.split(most)
        yield bounds(model, batch, encoder, pieces), bounds(model, batch, best, pieces)
