"""Metrics: numbers about a trained model."""

from vaelab.metrics.base import EvaluationContext, Metric, Value, measure, seeded

__all__ = ["EvaluationContext", "Metric", "Value", "measure", "seeded"]
