"""Evaluation: all metrics and figures of a trained model."""

from vaelab.evaluation.suite import Evaluation, draw, evaluate

__all__ = ["Evaluation", "draw", "evaluate"]
