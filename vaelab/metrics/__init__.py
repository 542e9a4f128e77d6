"""Metrics: numbers about a trained model."""

from vaelab.metrics.base import EvaluationContext, Metric, Value, averaged, check_metrics, foreseen, measure, seeded
from vaelab.metrics.generated import pictures_of
from vaelab.metrics.passes import (
    LatentMoments,
    chunks,
    component_rates,
    has_density,
    latent_moments,
    log_weight_sums,
    log_weights,
    offered,
    posterior_means,
    unit_rates,
)

__all__ = [
    "EvaluationContext",
    "LatentMoments",
    "Metric",
    "Value",
    "averaged",
    "check_metrics",
    "chunks",
    "component_rates",
    "foreseen",
    "has_density",
    "latent_moments",
    "log_weight_sums",
    "log_weights",
    "measure",
    "offered",
    "pictures_of",
    "posterior_means",
    "seeded",
    "unit_rates",
]
