"""Metrics: numbers about a trained model."""

from vaelab.metrics.base import EvaluationContext, Metric, Value, averaged, measure, seeded
from vaelab.metrics.passes import LatentMoments, draw_latents, latent_moments, offered

__all__ = [
    "EvaluationContext",
    "LatentMoments",
    "Metric",
    "Value",
    "averaged",
    "draw_latents",
    "latent_moments",
    "measure",
    "offered",
    "seeded",
]
