"""Metrics: numbers about a trained model."""

from vaelab.metrics.base import EvaluationContext, Metric, Value, averaged, measure, seeded
from vaelab.metrics.passes import LatentMoments, latent_moments, offered

__all__ = [
    "EvaluationContext",
    "LatentMoments",
    "Metric",
    "Value",
    "averaged",
    "latent_moments",
    "measure",
    "offered",
    "seeded",
]
