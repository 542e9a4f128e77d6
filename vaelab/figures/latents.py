"""Where the data lie among the latents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor

from vaelab.errors import ConfigError
from vaelab.figures.base import Figure, FigureContext
from vaelab.figures.planes import principal_plane
from vaelab.figures.sheets import COLOURS, new_picture, pick_batches
from vaelab.metrics import posterior_means
from vaelab.model import VAE
from vaelab.registry import FIGURES, ComponentConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

#: More classes than this cannot be told apart by colour and get a colour bar in place of a legend.
_MOST_NAMED = 20


class LatentsConfig(ComponentConfig):
    """Arguments of the latents."""

    kind: Literal["latents"] = "latents"

    group: NonNegativeInt = 0
    """Which latent group, in the order in which they are drawn."""

    number: PositiveInt = Field(2000, ge=2)
    """Test data, chosen at random."""

    batch_size: PositiveInt = 500
    """Data a pass."""

    @classmethod
    def example(cls) -> LatentsConfig:
        return cls(number=20)


@FIGURES.register(LatentsConfig)
class Latents(Figure[LatentsConfig]):
    """Posterior means of test data in the plane of their two principal components, coloured by label.

    A group of two numbers is shown as it is, one of a single number as a histogram; maps and codes are flattened. Where
    a posterior has no mean in closed form, a draw stands for it.

    *Cost*: one pass of the encoder over the chosen data, and a decomposition of their covariance.
    """

    def draw(self, model: VAE, context: FigureContext) -> dict[str, Picture]:
        group = self.config.group
        if group >= model.depth:
            raise ConfigError(f"figure 'latents': there is no latent group {group}, the model has {model.depth}")
        batches = list(pick_batches(model, context.data.test, self.config.number, self.config.batch_size))
        means = posterior_means(model, batches, group)
        labels = [batch.y.cpu() for batch in batches if batch.y is not None and batch.y.ndim == 1]
        y = torch.cat(labels) if labels else None
        what = f"Latent group {group}" if model.depth > 1 else "Latents"
        picture = new_picture(6.6, 5.2, f"{what}: posterior means of {len(means)} test data", context)
        axes = picture.subplots()
        if means.shape[1] == 1:
            axes.set_xlabel("$z_0$")
            axes.set_ylabel("data")
            classes = [(None, means[:, 0])] if y is None else [(int(c), means[y == c, 0]) for c in y.unique()]
            axes.hist([part.numpy() for _, part in classes], bins=40, stacked=True, color=_colours(len(classes)))
            if y is not None and len(classes) <= _MOST_NAMED:
                axes.legend([str(label) for label, _ in classes], title="label", fontsize=8, frameon=False)
        else:
            points, shares = principal_plane(means)
            names = _named(shares, means.shape[1])
            axes.set_xlabel(names[0])
            axes.set_ylabel(names[1])
            _scatter(picture, axes, points, y)
        axes.spines[["top", "right"]].set_visible(False)
        return {f"latents_group_{group}" if model.depth > 1 else "latents": picture}


def _named(shares: tuple[float, float] | None, size: int) -> tuple[str, str]:
    """What the two axes are."""
    if shares is not None:
        first, second = (f"{100 * share:.0f} % of the variance" for share in shares)
        return f"principal component 1 ({first})", f"principal component 2 ({second})"
    return ("$z_0$", "$z_1$") if size == 2 else ("$z_0$ - mean", "$z_1$ - mean")


def _colours(number: int) -> list[Any]:
    import matplotlib

    if number <= len(COLOURS):
        return list(COLOURS[:number])
    palette = matplotlib.colormaps["tab10" if number <= 10 else "tab20" if number <= 20 else "viridis"]
    return [palette(i if number <= 20 else i / (number - 1)) for i in range(number)]


def _scatter(picture: Picture, axes: Any, points: Tensor, y: Tensor | None) -> None:
    style: dict[str, Any] = {"s": 9, "alpha": 0.75, "linewidths": 0}
    if y is None:
        axes.scatter(*points.T.numpy(), color=COLOURS[0], **style)
        return
    classes = y.unique().tolist()
    if len(classes) > _MOST_NAMED:
        shown = axes.scatter(*points.T.numpy(), c=y.numpy(), cmap="viridis", **style)
        picture.colorbar(shown, ax=axes, label="label")
        return
    from matplotlib.patheffects import withStroke

    for label, colour in zip(classes, _colours(len(classes)), strict=True):
        part = points[y == label]
        axes.scatter(*part.T.numpy(), color=colour, label=str(label), **style)
        # the name in the middle of its class, for those whom the colours do not help
        middle = part.median(0).values.tolist()
        outline = [withStroke(linewidth=2.5, foreground="white")]
        axes.annotate(str(label), middle, fontsize=10, weight="bold", ha="center", va="center", path_effects=outline)
    picture.legend(title="label", loc="outside right center", fontsize=8, frameon=False, markerscale=2.5)
