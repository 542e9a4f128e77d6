"""Sequences of frames as film strips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from vaelab.errors import ConfigError
from vaelab.figures.base import Few, Figure, FigureContext
from vaelab.figures.sheets import Labels, expected, pick, sheet
from vaelab.figures.tiles import square_frame
from vaelab.model import VAE
from vaelab.nets.sequences import static_groups
from vaelab.registry import FIGURES, ComponentConfig
from vaelab.types import Batch, DataSpec, Shape, numel

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture


class SequencesConfig(ComponentConfig):
    """Arguments of the film strips."""

    kind: Literal["sequences"] = "sequences"

    number: Few = 6
    """Sequences of the test split, and as many new ones."""

    swaps: NonNegativeInt = 4
    """Sequences that lend one another their static latent, where the model has one; 0 leaves the picture out."""

    frame: tuple[PositiveInt, PositiveInt, PositiveInt] | None = None
    """(C, H, W) of a frame; where null, a square of one or three channels, if a step has as many numbers."""

    @classmethod
    def example(cls) -> SequencesConfig:
        return cls(number=2, swaps=2)


@FIGURES.register(SequencesConfig)
class Sequences(Figure[SequencesConfig]):
    """Data `(T, C * H * W)` as strips of T frames: test data, their reconstructions E[x | z], and new ones from the prior.

    Where a model feeds data back (`vrnn`), a frame of a new sequence is the mean given the frames drawn before it. Where it
    has a static latent f before the latents of the steps (`static_and_dynamic`), a second picture shows the swap: the
    latents $z_{1:T}$ of one sequence with the f of another, as in Li & Mandt (2018, section 4). Data without
    frames yield nothing.

    *Cost*: one pass of the model over the sequences shown, and as many new ones.
    """

    def draw(self, model: VAE, context: FigureContext) -> dict[str, Picture]:
        frame = self._frame(model.data)
        if frame is None:
            return {}
        number = self.config.number
        batch = pick(model, context.data.test, number)
        reconstructed = expected(model.infer(batch).likelihood)[0]
        generated = expected(model.generate(len(batch), condition=batch.condition).likelihood)[0]
        strips = [strip for pair in zip(batch.x, reconstructed, strict=True) for strip in pair]
        names = ["data", "model"] * len(batch) + ["new"] * len(generated)
        labels = Labels(
            "Test sequences, each above its reconstruction E[x | z], and new ones from the prior", rows=names
        )
        pictures = {"sequences": self._picture([*strips, *generated], model, frame, labels, context)}
        steps = model.data.shape[0]
        if self.config.swaps and static_groups(model.prior.latent, steps):
            lent = pick(model, context.data.test, self.config.swaps)
            pictures["sequences_swapped"] = self._swapped(lent, model, frame, context)
        return pictures

    def _swapped(self, batch: Batch, model: VAE, frame: Shape, context: FigureContext) -> Picture:
        """Each datum, with below it its motion in what every datum looks like."""
        number = len(batch)
        motion, content = (
            side.flatten() for side in torch.meshgrid(torch.arange(number), torch.arange(number), indexing="ij")
        )
        exchanged = swapped(model, _rows(batch, content), _rows(batch, motion))
        strips: list[Tensor] = []
        names: list[str] = []
        for i in range(number):
            strips += [batch.x[i], *exchanged[motion == i]]
            names += [f"data {i}", *(f"$z$ of {i}, $f$ of {j}" for j in range(number))]
        labels = Labels("Motion of one sequence, content of another: z of one, f of the other", rows=names)
        return self._picture(strips, model, frame, labels, context)

    def _picture(
        self, strips: Sequence[Tensor], model: VAE, frame: Shape, labels: Labels, context: FigureContext
    ) -> Picture:
        rows = [[step.reshape(frame) for step in strip] for strip in strips]
        picture = sheet(rows, DataSpec(frame, model.data.values), labels, context)
        assert picture is not None  # frames are images
        return picture

    def _frame(self, data: DataSpec) -> Shape | None:
        if len(data.shape) != 2:
            return None
        size = data.shape[1]
        if self.config.frame is not None:
            if numel(self.config.frame) != size:
                raise ConfigError(
                    f"figure 'sequences': a frame {self.config.frame} has {numel(self.config.frame)} numbers, and a step of "
                    f'the data has {size}. Correct "frame", or leave it out.'
                )
            return self.config.frame
        return square_frame(size)


def swapped(model: VAE, content: Batch, motion: Batch) -> Tensor:
    """E[x | z, f] `[B, *shape]` with the static latents f of `content` and the latents $z_{1:T}$ of `motion`.

    Both are the centres of the posterior. `motion` also gives the condition, where there is one.
    """
    static = static_groups(model.prior.latent, model.data.shape[0])
    of_content = model.encode(content.x, mean=True, condition=content.condition)
    of_motion = model.encode(motion.x, mean=True, condition=motion.condition)
    return model.decode((*of_content[:static], *of_motion[static:]), condition=motion.condition)


def _rows(batch: Batch, index: Tensor) -> Batch:
    index = index.to(batch.x.device)
    return Batch(batch.x[index], condition=None if batch.condition is None else batch.condition[index])
