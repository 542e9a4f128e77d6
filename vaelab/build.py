"""From a validated config to a model and an objective, refusing what cannot work together."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from vaelab.config import ModelConfig
from vaelab.decoders import Decoder
from vaelab.divergences import Divergence
from vaelab.encoders import Encoder
from vaelab.errors import BuildError, NoDensityError
from vaelab.inference import generate
from vaelab.likelihoods import Likelihood
from vaelab.limits import BuildBudget
from vaelab.model import VAE
from vaelab.objectives import Objective
from vaelab.posteriors import Posterior
from vaelab.priors import Prior
from vaelab.registry import (
    DECODERS,
    ENCODERS,
    LIKELIHOODS,
    OBJECTIVES,
    POSTERIORS,
    PRIORS,
    ComponentConfig,
)
from vaelab.types import Batch, BuildContext, DataSpec, StepContext


def build_model(config: ModelConfig, data: DataSpec) -> VAE:
    """Build the five components for one another and try them on made-up data.

    Args:
        config: which components.
        data: what the data will look like; none is read.

    Raises:
        BuildError: two components cannot work together; the message names both and a remedy.
    """
    with _budget() as budget:
        return _build(config, data, budget)[0]


def build(config: ModelConfig, objective: ComponentConfig, data: DataSpec) -> tuple[VAE, Objective[Any]]:
    """A model and what it is trained with. Raises as `build_model` does."""
    with _budget() as budget:
        model, context = _build(config, data, budget)
        budget.of(f"objective '{objective.kind}'")
        trained: Objective[Any] = OBJECTIVES.build(objective, context)
        with budget.trial(), _Probe(model):
            _check_objective(model, trained, context)
    return model, trained


@contextmanager
def _budget() -> Iterator[BuildBudget]:
    """What is too large for the machine is refused with a `BuildError`."""
    budget = BuildBudget()
    try:
        with budget:
            yield budget
    except (MemoryError, RuntimeError) as error:
        # the result of a computation, whose size is not known beforehand
        if isinstance(error, RuntimeError) and "allocate memory" not in str(error):
            raise
        raise BuildError(
            f"{budget.what} needs more memory than there is ({str(error).splitlines()[0] if str(error) else 'none left'}). Lower "
            "its widths, layers or steps, or the size of the latents or of the data."
        ) from error


def _build(config: ModelConfig, data: DataSpec, budget: BuildBudget) -> tuple[VAE, BuildContext]:
    names = {axis: f"{axis} '{getattr(config, axis).kind}'" for axis in ModelConfig.model_fields}
    context = BuildContext(data, names=names)
    budget.of(names["prior"])
    prior: Prior[Any] = PRIORS.build(config.prior, context)
    context.latent = prior.latent
    context.readout_shape = prior.readout_shape
    budget.of(names["encoder"])
    encoder: Encoder[Any] = ENCODERS.build(config.encoder, context)
    context.feature_shapes = encoder.feature_shapes
    budget.of(names["posterior"])
    posterior: Posterior[Any] = POSTERIORS.build(config.posterior, context)
    budget.of(names["likelihood"])
    likelihood: Likelihood[Any] = LIKELIHOODS.build(config.likelihood, context)
    context.parameter_shape = likelihood.parameter_shape
    budget.of(names["decoder"])
    decoder: Decoder[Any] = DECODERS.build(config.decoder, context)
    model = VAE(encoder, posterior, prior, decoder, likelihood, data)
    context._model = weakref.ref(model)
    budget.of(f"a pass of {', '.join(names.values())}")
    try:
        with budget.trial():
            _check(model, context)
    except NotImplementedError as error:
        if not data.masked:
            raise
        raise BuildError(
            f"{names['decoder']} with {names['likelihood']} cannot score the observed pixels alone, and the data hide some "
            f"({error}). Use a decoder such as 'conv' with a likelihood of independent pixels such as 'bernoulli', or data "
            "without hidden pixels."
        ) from error
    return model, context


def _check_objective(model: VAE, objective: Objective[Any], context: BuildContext) -> None:
    """Its own check, and a trial where the model lacks some log-density: whether that is needed, only a trial tells."""
    batch = _made_up(context.data)
    # a component may be made of others, so that those inside are asked too
    untrained = any(isinstance(part, Posterior) and part.trained_by_penalty for part in model.modules())
    if untrained and not any(isinstance(term, Divergence) and term.takes_penalty for term in objective.modules()):
        raise BuildError(
            f"{context.names['posterior']} has code vectors that only the penalty of its draws trains, and objective "
            f"'{objective.config.kind}' has no term that takes it. Add the divergence 'commitment', or set \"codebook\": "
            '"ema".'
        )
    try:
        objective.check(model, batch)
        groups = model.infer(batch).groups
        if not all(group.has_density and (group.q is None or group.q.has_log_prob) for group in groups):
            with torch.enable_grad():  # an objective may differentiate inside
                objective(model, batch, StepContext())
    except NoDensityError as error:
        raise BuildError(
            f"objective '{objective.config.kind}' needs a log-density that {context.names['posterior']} with "
            f"{context.names['prior']} does not have: {error}. Use another objective, or a posterior with a density."
        ) from error


class _Probe:
    """Evaluation mode, no gradients, and the random state as it was, around a trial pass."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __enter__(self) -> None:
        self.training = self.model.training
        self.state = torch.get_rng_state()
        self.grad = torch.no_grad()
        self.grad.__enter__()
        self.model.eval()

    def __exit__(self, *error: Any) -> None:
        self.model.train(self.training)
        self.grad.__exit__(None, None, None)
        torch.set_rng_state(self.state)


def _made_up(data: DataSpec) -> Batch:
    x = torch.rand(2, *data.shape)
    y = None if data.num_classes is None else torch.arange(2) % data.num_classes
    condition = None if data.condition_shape is None else torch.rand(2, *data.condition_shape)
    batch = Batch(x.round() if data.values == "binary" else x, y, condition=condition)
    if data.masked:
        observed = torch.rand_like(x) < 0.5
        batch = replace(batch, x=batch.x * observed, observed=observed)
    return batch if data.companion is None else replace(batch, companion=batch)


def _check(model: VAE, context: BuildContext) -> None:
    """Run the model once each way and compare shapes, so that no mismatch is met later."""
    names, samples = context.names, 3
    with _Probe(model):
        batch = _made_up(context.data)
        features = model.encoder.features(batch)
        for feature, shape in zip(features, context.feature_shapes, strict=True):
            if feature.shape != (2, *shape):
                raise BuildError(
                    f"{names['encoder']} announced a feature of shape {shape} and yields {tuple(feature.shape[1:])}."
                )
        state = model.prior.initial((samples, 2), batch.condition, batch)
        for i, spec in enumerate(context.latent.groups):
            q = model.posterior.group(i, features, state, model.prior.group(i, state))
            z = q.draw().z
            if z.shape != (samples, 2, *spec.shape):
                raise BuildError(
                    f"{names['posterior']} yields latents of shape {tuple(z.shape[2:])} for group {i}, and "
                    f"{names['prior']} has {spec.shape}."
                )
            state = model.prior.advance(i, state, z)
        code = model.prior.readout(state)
        if code.shape[2:] != context.readout_shape:
            raise BuildError(
                f"{names['prior']} announced a readout of shape {context.readout_shape} and yields "
                f"{tuple(code.shape[2:])}."
            )
        # a decoder that makes its own distribution need not yield parameters at once
        if type(model.decoder).distribution is Decoder.distribution:
            parameters = model.decoder(code)
            if parameters.shape != (samples, 2, *context.parameter_shape):
                raise BuildError(
                    f"{names['decoder']} yields parameters of shape {tuple(parameters.shape[2:])}, and "
                    f"{names['likelihood']} takes {context.parameter_shape}."
                )
        trace = model.infer(batch, samples)
        if trace.likelihood.event_shape != context.data.shape:
            raise BuildError(
                f"{names['decoder']} and {names['likelihood']} yield data of shape "
                f"{tuple(trace.likelihood.event_shape)}, and the data have {context.data.shape}."
            )
        scores = [("log p(x | z)", trace.log_px)]
        if trace.has_density:
            scores.append(("the rate", trace.total_rate()))
        for what, value in scores:
            if value.shape != (samples, 2):
                raise BuildError(
                    f"{what} has shape {tuple(value.shape)} where ({samples}, 2) is due: samples by batch. One of "
                    f"{', '.join(names.values())} sums over the wrong axes."
                )
        generate(model, 2)
