"""Comparison: finished runs side by side, by configuration and over seeds."""

from vaelab.comparison.measure import evaluate_more, metric_configs
from vaelab.comparison.result import Comparison, compare
from vaelab.comparison.statistics import Difference

__all__ = ["Comparison", "Difference", "compare", "evaluate_more", "metric_configs"]
