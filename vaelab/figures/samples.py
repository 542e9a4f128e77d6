"""New data from the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import PositiveFloat

from vaelab.figures.base import Few, Figure, FigureContext
from vaelab.figures.sheets import Labels, sheet
from vaelab.figures.tiles import in_rows
from vaelab.metrics import offered
from vaelab.model import VAE
from vaelab.registry import FIGURES, SAMPLERS, ComponentConfig, default
from vaelab.samplers import Sampler

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture


class SamplesConfig(ComponentConfig):
    """Arguments of the samples."""

    kind: Literal["samples"] = "samples"

    number: Few = 64
    """Samples."""

    temperature: PositiveFloat = 1.0
    """Of the latents; less than 1 keeps to the modes of the prior."""

    sampler: Annotated[ComponentConfig, SAMPLERS] = default("prior")
    """Where the latents come from."""

    @classmethod
    def example(cls) -> SamplesConfig:
        return cls(number=5)


@FIGURES.register(SamplesConfig)
class Samples(Figure[SamplesConfig]):
    """E[x | z] of latents drawn without data, by default from the prior; draws of p(x | z) where it has no known mean. Not selected.

    *Cost*: one pass of the decoder (one a pixel where pixels depend on one another), and the sampler's fit where it is fitted.
    """

    def draw(self, model: VAE, context: FigureContext) -> dict[str, Picture]:
        temperature, kind = self.config.temperature, self.config.sampler.kind
        sampler: Sampler[Any] = SAMPLERS.build(self.config.sampler)
        sampler.fit(model, lambda: context.data)
        likelihood = sampler.sample(self.config.number, temperature).likelihood
        mean = offered(likelihood, "mean") if likelihood.mean_is_expectation else None
        x, shown = (likelihood.sample(), "x ~ p(x | z)") if mean is None else (mean, "E[x | z]")
        labels = Labels(f"Samples: {shown} with z from the {kind}, temperature {temperature:g}")
        picture = sheet(in_rows(x[0]), model.data, labels, context)
        # two figures that differ in these must not share a file
        name = "samples" + ("" if kind == "prior" else f"_{kind}") + ("" if temperature == 1 else f"_t{temperature:g}")
        return {} if picture is None else {name: picture}
