"""Samples beside the training data nearest to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from vaelab.extractors import Extractor
from vaelab.figures.base import Few, Figure, FigureContext
from vaelab.figures.sheets import Labels, pick, sheet
from vaelab.metrics import pictures_of
from vaelab.model import VAE
from vaelab.registry import EXTRACTORS, FIGURES, SAMPLERS, ComponentConfig, default
from vaelab.samplers import Sampler
from vaelab.types import Split

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

#: Training data compared at a time.
_BATCH = 1000


class NeighboursConfig(ComponentConfig):
    """Arguments of the neighbours."""

    kind: Literal["neighbours"] = "neighbours"

    number: Few = 10
    """Samples."""

    neighbours: Few = 5
    """Training data beside each sample."""

    extractor: Annotated[ComponentConfig, EXTRACTORS] = default("pixels")
    """Between whose features distances are."""

    sampler: Annotated[ComponentConfig, SAMPLERS] = default("prior")
    """Where the latents come from."""

    temperature: PositiveFloat = 1.0
    """Of the latents."""

    limit: PositiveInt | None = None
    """Compare with the first so many training data only; null for all."""

    @classmethod
    def example(cls) -> NeighboursConfig:
        return cls(number=3, neighbours=2)


@FIGURES.register(NeighboursConfig)
class Neighbours(Figure[NeighboursConfig]):
    r"""E[x | z] of latents drawn without data, each beside the training data nearest to it, to see whether it is a copy.

    Nearest by $\lVert\phi(x) - \phi(x')\rVert_2$ between the features of an extractor, by default the pixels themselves. The
    number at each row is the distance of the first. The title compares its median with that of test data, whose
    nearest training datum is as far as a picture that is no copy should be: samples that lie much
    nearer are remembered ones. Blurred pictures lie near to everything, so that nearness alone proves nothing.

    Nothing where the data are no images. Use it before saying that a model generates anything.

    *Cost*: distances of the samples to all training data, in the extractor's features.
    """

    def draw(self, model: VAE, context: FigureContext) -> dict[str, Picture]:
        config = self.config
        if len(model.data.shape) != 3:
            return {}
        extractor: Extractor[Any] = EXTRACTORS.build(config.extractor)
        extractor.check(model.data)
        extractor.to(model.device).eval()
        sampler: Sampler[Any] = SAMPLERS.build(config.sampler)
        sampler.fit(model, lambda: context.data)
        samples = pictures_of(sampler.sample(config.number, config.temperature), draws=False)
        test = pick(model, context.data.test, 10 * config.number).x
        train = context.data.train
        number = len(train) if config.limit is None else min(config.limit, len(train))
        distance, _, found = nearest(extractor, torch.cat([samples, test]), train, config.neighbours, number)
        distance, own = distance.cpu(), distance[: len(samples), 0].cpu()
        shown = [[sample, *beside] for sample, beside in zip(samples, found[: len(samples)], strict=True)]
        kind = "" if config.sampler.kind == "prior" else f" ({config.sampler.kind})"
        title = (
            f"Samples{kind} and their nearest training data by {config.extractor.kind}\n"
            f"median distance: samples {float(own.median()):.3g}, test data {float(distance[len(samples) :, 0].median()):.3g}"
        )
        columns = ["sample", *(str(k + 1) for k in range(found.shape[1]))]
        labels = Labels(title, [f"{float(d):.3g}" for d in own], columns, y="distance of the nearest")
        picture = sheet(shown, model.data, labels, context)
        end = [
            "" if config.extractor.kind == "pixels" else f"_{config.extractor.kind}",
            "" if config.sampler.kind == "prior" else f"_{config.sampler.kind}",
            "" if config.temperature == 1 else f"_t{config.temperature:g}",
        ]
        return {} if picture is None else {"neighbours" + "".join(end): picture}


def nearest(
    extractor: Extractor[Any], pictures: Tensor, split: Split, neighbours: int, number: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The data nearest to each of N pictures.

    Args:
        extractor: between whose features distances are.
        pictures: `[N, C, H, W]`.
        split: the data.
        neighbours: how many for each picture; fewer where there are fewer data.
        number: look at the first so many data.

    Returns:
        Distances `[N, neighbours]`, ascending, the positions of the data, and the data as they were compared,
        `[N, neighbours, C, H, W]`: where they are binarised anew at each look, they are not the same twice.
    """
    features = extractor(pictures).features
    each = torch.arange(len(features), device=features.device).unsqueeze(1)
    best = features.new_empty(len(features), 0)
    rows = torch.empty(len(features), 0, dtype=torch.int64, device=features.device)
    kept = pictures.new_empty(len(features), 0, *pictures.shape[1:])
    done = 0
    for batch in split.batches(torch.arange(number), _BATCH):
        x = batch.x.to(features.device)
        # not by a matrix product, whose rounding would make a copy look like none
        distance = torch.cdist(features, extractor(x).features, compute_mode="donot_use_mm_for_euclid_dist")
        before = best.shape[1]
        best, order = torch.cat([best, distance], 1).topk(min(neighbours, before + len(x)), largest=False)
        found, fresh = x[(order - before).clamp_min(0)], order >= before
        here = done + order - before
        if before:
            old = order.clamp_max(before - 1)
            here = torch.where(fresh, here, rows[each, old])
            found = torch.where(fresh[..., None, None, None], found, kept[each, old])
        rows, kept = here, found
        done += len(x)
    return best, rows, kept
