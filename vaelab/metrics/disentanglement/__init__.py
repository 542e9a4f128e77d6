"""Scores of disentanglement on plain arrays: codes `[N, D]` and the factors `[N, F]` that made the data.

Nothing here knows of models; the metrics of the same names encode the data and call these functions.
"""

from vaelab.metrics.disentanglement.agreement import udr
from vaelab.metrics.disentanglement.information import mig, modularity, rmig
from vaelab.metrics.disentanglement.interventions import beta_vae_score, factor_vae_score, irs
from vaelab.metrics.disentanglement.prediction import DCI, dci, explicitness, sap

__all__ = [
    "DCI",
    "beta_vae_score",
    "dci",
    "explicitness",
    "factor_vae_score",
    "irs",
    "mig",
    "modularity",
    "rmig",
    "sap",
    "udr",
]
