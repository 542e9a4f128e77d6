"""Data and their reconstructions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from vaelab.figures.base import Few, Figure, FigureContext
from vaelab.figures.sheets import Labels, expected, pick, sheet
from vaelab.figures.tiles import in_rows
from vaelab.model import VAE
from vaelab.registry import FIGURES, ComponentConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture


class ReconstructionsConfig(ComponentConfig):
    """Arguments of the reconstructions."""

    kind: Literal["reconstructions"] = "reconstructions"

    number: Few = 40
    """Data, chosen at random from the test split."""

    columns: Few = 10
    """Data a row."""

    @classmethod
    def example(cls) -> ReconstructionsConfig:
        return cls(number=6, columns=3)


@FIGURES.register(ReconstructionsConfig)
class Reconstructions(Figure[ReconstructionsConfig]):
    """Test data, each above its reconstruction E[x | z] from one draw of the posterior, z ~ q(z | x).

    *Cost*: one pass of the model over the data shown.
    """

    def draw(self, model: VAE, context: FigureContext) -> dict[str, Picture]:
        batch = pick(model, context.data.test, self.config.number)
        means = expected(model.infer(batch).likelihood)[0]
        originals, reconstructions = in_rows(batch.x, self.config.columns), in_rows(means, self.config.columns)
        rows = [row for pair in zip(originals, reconstructions, strict=True) for row in pair]
        names = ["data", "model"] * len(originals)
        labels = Labels("Test data, each above its reconstruction E[x | z]", rows=names)
        picture = sheet(rows, model.data, labels, context)
        return {} if picture is None else {"reconstructions": picture}
