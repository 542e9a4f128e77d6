"""Rates of latent groups and units, taken now and then while a model trains."""

from __future__ import annotations

from typing import Any

from vaelab.config import EvaluationConfig
from vaelab.errors import VaelabError
from vaelab.metrics import EvaluationContext, check_metrics, measure
from vaelab.model import VAE
from vaelab.types import DataSplits, numel

Line = dict[str, Any]

#: Data that are looked at; of the validation, or of the training where there is none.
NUMBER = 128
#: Between two probes this many times as many data are trained on, so that probes cost about a hundredth of the time.
APART = 40
#: Probes of a run, at most.
MOST = 50
_KEPT = ("rate", "unit_")
#: Units of all groups, above which only groups are looked at.
MOST_UNITS = 512


class Probe:
    """Measures the rate of each group, and of each unit where that has a closed form, on a few data.

    What it does follows from the step alone, and it changes neither the model nor a random state, so that a training
    with probes is the same as one without.

    Args:
        model: the model.
        data: the data set.
        seed: of the draws.
        batch: data a step.
        total_steps: of the training.
        last: step of the last probe, where the run was resumed.
    """

    def __init__(self, model: VAE, data: DataSplits, seed: int, batch: int, total_steps: int, last: int = 0) -> None:
        self.model = model
        self._split = data.validation if data.validation is not None else data.train
        number = min(NUMBER, len(self._split))
        self._context = EvaluationContext(NUMBER, seed, number, data)
        self._apart = max(-(-APART * number // batch), total_steps // MOST, 1)
        self._last, self._total = last, total_steps
        units = sum(numel(group.shape) for group in model.prior.latent.groups if group.support == "real")
        names: list[Any] = ["negative_elbo"]
        if 0 < units <= MOST_UNITS:
            names.append({"kind": "collapse", "units": True, "samples": 2})
        self._metrics = EvaluationConfig.model_validate({"metrics": names, "figures": []}).metrics
        try:
            check_metrics(self._metrics, self._split.spec)
        except VaelabError:
            self._metrics = ()

    def line(self, step: int, epoch: float) -> Line | None:
        """The values at a step, or None where none are due or the model has none."""
        if not self._metrics or not (step - self._last >= self._apart or step == self._total):
            return None
        self._last = step
        values = measure(self._metrics, self.model, self._split, self._context)
        # six digits are more than so few data are worth
        kept = {name: float(f"{value.value:.6g}") for name, value in values.items() if name.startswith(_KEPT)}
        return {"split": "probe", "step": step, "epoch": epoch, **kept} if kept else None
