"""What each latent unit does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from vaelab.errors import ConfigError
from vaelab.figures.base import Few, Figure, FigureContext
from vaelab.figures.sheets import Labels, expected, pick, pick_batches, sheet
from vaelab.inference import infer_latents
from vaelab.latents import unit_levels
from vaelab.metrics import latent_moments, offered, seeded
from vaelab.model import VAE
from vaelab.registry import FIGURES, ComponentConfig
from vaelab.types import Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture


class TraversalsConfig(ComponentConfig):
    """Arguments of the traversals."""

    kind: Literal["traversals"] = "traversals"

    group: NonNegativeInt = 0
    """Which latent group, in the order in which they are drawn."""

    units: Few = 10
    """Rows, at most."""

    steps: Few = Field(9, ge=2)
    """Columns."""

    span: PositiveFloat = 3.0
    """The first and the last column, in standard deviations of the unit."""

    data: PositiveInt = 1000
    """Test data from which the units' moments are taken."""

    batch_size: PositiveInt = 250
    """Data a pass."""

    @classmethod
    def example(cls) -> TraversalsConfig:
        return cls(units=2, steps=3, data=20)


@FIGURES.register(TraversalsConfig)
class Traversals(Figure[TraversalsConfig]):
    r"""One latent unit a row, moved over its range with all else as for one datum of the test split.

    The unit takes the values $\mu_u + t\sigma_u$ with t from -3 to 3, where the moments are those of the aggregate
    posterior, so that the range suits any prior. Units come in the order of the share of their variance that the data
    determine, which their label tells. A unit is a number of a vector, or the mean of a map's channel, which is
    moved by shifting the channel at all positions. Groups before the traversed one stay, those after it are drawn anew
    from the prior with the same noise in each picture. Codes have no such range and yield nothing.

    *Cost*: one pass of the encoder over the chosen data, and one of the decoder for each picture.
    """

    def draw(self, model: VAE, context: FigureContext) -> dict[str, Picture]:
        group = self.config.group
        if group >= model.depth:
            raise ConfigError(f"figure 'traversals': there is no latent group {group}, the model has {model.depth}")
        if model.prior.latent.groups[group].support != "real":
            return {}
        batches = list(pick_batches(model, context.data.test, self.config.data, self.config.batch_size))
        share = unit_levels(latent_moments(model, batches)[group].explained)
        levels = torch.cat([unit_levels(infer_latents(model, batch)[0][group].z[0], 1) for batch in batches])
        loc, scale = levels.mean(0), levels.std(0, correction=0)
        units = share.argsort(descending=True, stable=True)[: self.config.units].tolist()
        steps = torch.linspace(-self.config.span, self.config.span, self.config.steps).tolist()
        example = pick(model, context.data.test, 1)
        base = [
            g.z[0] if (mean := offered(g.q, "mean")) is None else mean.expand_as(g.z)[0]
            for g in infer_latents(model, example)[0]
        ]
        seed = int(torch.randint(2**31, ()))
        rows = [[self._decode(model, example, base, u, loc[u] + t * scale[u], seed) for t in steps] for u in units]
        labels = Labels(
            f"Traversals{f' of group {group}' if model.depth > 1 else ''}, most informative unit first",
            rows=[f"$z_{{{unit}}}$  {100 * float(share[unit]):.0f} %" for unit in units],
            columns=[f"{step:+.3g}" if step else "0" for step in steps],
            x="value of the unit, in standard deviations of q(z)",
            y="unit, and its variance explained by x",
        )
        picture = sheet(rows, model.data, labels, context)
        name = f"traversals_group_{group}" if model.depth > 1 else "traversals"
        return {} if picture is None else {name: picture}

    def _decode(self, model: VAE, like: Batch, base: list[Tensor], unit: int, level: Tensor, seed: int) -> Tensor:
        group = self.config.group
        z = base[group].clone()
        z[0, unit] += level - z[0, unit].mean()
        with seeded(seed):
            generation = model.generate(1, fixed={**dict(enumerate(base[:group])), group: z}, condition=like.condition)
            return expected(generation.likelihood)[0, 0]
