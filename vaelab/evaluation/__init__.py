"""Evaluation: all metrics and figures of a trained model."""

from vaelab.evaluation.progress import EvaluationProgress
from vaelab.evaluation.suite import Evaluation, draw, evaluate

__all__ = ["Evaluation", "EvaluationProgress", "draw", "evaluate"]
