"""What was hidden, and what the model makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from pydantic import PositiveInt

from vaelab.figures.base import Few, Figure, FigureContext
from vaelab.figures.sheets import Labels, pick, sheet
from vaelab.imputation import impute
from vaelab.model import VAE
from vaelab.registry import FIGURES, ComponentConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture


class ImputationsConfig(ComponentConfig):
    """Arguments of the imputations."""

    kind: Literal["imputations"] = "imputations"

    number: Few = 10
    """Data, chosen at random from the test split."""

    draws: Few = 3
    """Imputations of each, besides the mean."""

    samples: PositiveInt = 100
    """K, importance samples a datum."""

    @classmethod
    def example(cls) -> ImputationsConfig:
        return cls(number=3, draws=2, samples=4)


@FIGURES.register(ImputationsConfig)
class Imputations(Figure[ImputationsConfig]):
    """Incomplete test data as the model sees them (hidden numbers half grey), imputed by their mean and by draws.

    The first row is the truth where it is known. Nothing where the data are complete, or where the model has no
    importance weights.

    *Cost*: K passes of the decoder over the few data shown.
    """

    def draw(self, model: VAE, context: FigureContext) -> dict[str, Picture]:
        if not context.data.test.spec.masked:
            return {}
        batch = pick(model, context.data.test, self.config.number)
        trace = model.infer(batch)
        if not (trace.has_density and trace.likelihood.has_density):
            return {}
        assert batch.observed is not None
        found = impute(model, batch, self.config.samples, self.config.draws)
        rows, names = [list(torch.where(batch.observed, batch.x, 0.5))], ["seen"]
        if batch.complete is not None:
            rows, names = [list(batch.complete), *rows], ["truth", *names]
        rows += [list(found.mean), *(list(draw) for draw in found.draws)]
        names += ["mean", *["draw"] * self.config.draws]
        labels = Labels(f"Imputation by importance resampling, K = {self.config.samples}", rows=names)
        picture = sheet(rows, model.data, labels, context)
        return {} if picture is None else {"imputations": picture}
