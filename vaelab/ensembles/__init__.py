"""Ensembles: several trained runs evaluated as one density."""

from vaelab.ensembles.mixture import Ensemble, ensemble
from vaelab.ensembles.scores import Scores, fit_weights, mixture_log_prob, score

__all__ = ["Ensemble", "Scores", "ensemble", "fit_weights", "mixture_log_prob", "score"]
