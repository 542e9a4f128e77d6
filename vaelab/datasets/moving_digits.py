"""Sequences of frames in which the pictures of another data set move."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, Self

import torch
from einops import rearrange
from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn import functional as F

from vaelab.datasets.hashing import uniform as hashed
from vaelab.datasets.wrapped import WrappedSplit, WrappingConfig, WrappingDataset
from vaelab.errors import BuildError
from vaelab.registry import DATASETS
from vaelab.types import Batch, DataSpec, Split

#: Random numbers a datum takes: place (2), direction, sense of the rotation.
_NUMBERS = 4


class MovingConfig(WrappingConfig):
    """Arguments of the moving pictures."""

    kind: Literal["moving"] = "moving"

    steps: PositiveInt = Field(8, ge=2)
    """T, frames of a sequence."""

    size: PositiveInt = 32
    """Height and width of a frame."""

    picture: PositiveInt | None = None
    """Height and width to which a picture is brought before it moves; its own where null."""

    motion: Literal["bounce", "rotate", "both"] = "bounce"
    """What a picture does: it flies straight on and off the edges, turns about its middle, or both at once."""

    speed: PositiveFloat = 2.0
    """Of a bounce, in pixels a step; the direction is drawn."""

    turn: FiniteFloat = 20.0
    """Of a rotation, in degrees a step; whether to the left or to the right is drawn."""

    threshold: bool = False
    """Turn the frames of grey pictures into bits, by x > 1/2 after the motion."""

    seed: NonNegativeInt = 0
    """Of the places, directions and senses."""

    new_each_epoch: bool = False
    """Draw them anew each time a training datum is read, in place of once a datum. Other splits never change."""

    @classmethod
    def example(cls) -> Self:
        return cls.model_validate(
            {"data": {"kind": "digits", "train_limit": 64, "test_limit": 32}, "steps": 4, "size": 12, "motion": "both"}
        )


@dataclass(frozen=True)
class Motion:
    """Where pictures are at each step, from uniform numbers in [0, 1).

    Attributes:
        config: of the data set.
        room: pixels that a picture can move along each axis.
    """

    config: MovingConfig
    room: int

    def places(self, uniform: Tensor) -> Tensor:
        r"""Offsets $(x, y)$ of the pictures' upper left corners `[B, T, 2]` in pixels, from numbers `[B, 4]`.

        A start that is uniform on $[0, R]^2$, a velocity of the config's speed, and reflection at both ends: the triangle
        wave $R - |R - (p_0 + vt) \bmod 2R|$.
        """
        steps = torch.arange(self.config.steps, device=uniform.device)
        if self.config.motion == "rotate":
            return uniform.new_full((len(uniform), len(steps), 2), self.room / 2)
        angle = 2 * math.pi * uniform[:, 2]
        velocity = self.config.speed * torch.stack([angle.cos(), angle.sin()], -1)
        straight = self.room * uniform[:, None, :2] + velocity[:, None] * steps[:, None]
        return self.room - (self.room - straight.remainder(2 * self.room)).abs()

    def angles(self, uniform: Tensor) -> Tensor:
        """Angles `[B, T]` in degrees, positive to the left; pictures start upright."""
        steps = torch.arange(self.config.steps, device=uniform.device)
        if self.config.motion == "bounce":
            return uniform.new_zeros(len(uniform), len(steps))
        sense = torch.where(uniform[:, 3:] < 0.5, 1.0, -1.0).to(uniform.dtype)
        return sense * self.config.turn * steps


def moved(x: Tensor, places: Tensor, angles: Tensor, size: int) -> Tensor:
    """Pictures in square frames, turned about their middle and set at a place, by bilinear interpolation.

    What a turned picture has outside its own square is kept where the frame reaches; outside the picture all is 0.

    Args:
        x: `[B, C, S, S]`.
        places: `[B, T, 2]` offsets (x, y) of the upper left corner in pixels.
        angles: `[B, T]` in degrees, positive to the left.
        size: of the frame.

    Returns:
        `[B, T, C, size, size]`.
    """
    steps, side = places.shape[1], x.shape[-1]
    # the frame's pixels, from the middle of the picture, turned back, in the units of grid_sample: [-1, 1] is the picture
    centre = places + (side - 1) / 2
    pixels = torch.arange(size, device=x.device, dtype=x.dtype)
    dx = pixels - centre[..., 0, None]
    dy = pixels - centre[..., 1, None]
    radians = angles.deg2rad()[..., None, None]
    cos, sin = radians.cos(), radians.sin()
    across, down = dx[..., None, :], dy[..., :, None]
    grid = torch.stack([cos * across - sin * down, sin * across + cos * down], -1) * (2 / side)
    repeated = x.repeat_interleave(steps, 0)
    frames = F.grid_sample(repeated, grid.flatten(0, 1), mode="bilinear", padding_mode="zeros", align_corners=False)
    return rearrange(frames, "(b t) c h w -> b t c h w", t=steps)


class MovingSplit(WrappedSplit):
    """A split of moving pictures.

    Args:
        inner: the pictures.
        spec: of a sequence.
        motion: how they move.
        side: height and width of a picture that moves.
        name: of the split, which with the seed and the position decides the motion of a datum; None to draw it at each
            fetch.
    """

    def __init__(self, inner: Split, spec: DataSpec, motion: Motion, side: int, name: str | None) -> None:
        super().__init__(inner, spec)
        self.motion = motion
        self.side = side
        self.name = name

    def change(self, batch: Batch, index: Tensor) -> Batch:
        x = batch.x
        if x.shape[-1] != self.side:
            x = F.interpolate(x, size=(self.side, self.side), mode="bilinear", antialias=True)
        motion = self.motion
        if self.name is None:
            uniform = torch.rand(len(x), _NUMBERS, device=x.device)
        else:
            uniform = hashed(motion.config.seed, f"moving/{self.name}", index.to(x.device), _NUMBERS)
        frames = moved(x, motion.places(uniform), motion.angles(uniform), motion.config.size)
        if self.spec.values == "binary":
            frames = (frames > 0.5).to(frames.dtype)
        elif self.spec.values == "unit":
            frames = frames.clamp(0, 1)  # interpolation rounds
        return replace(batch, x=rearrange(frames, "b t c h w -> b t (c h w)"))


@DATASETS.register(MovingConfig)
class Moving(WrappingDataset):
    """Sequences in which a picture of another data set flies about the frame and bounces off its edges, turns, or both.

    As in Moving MNIST (Srivastava et al. 2015), with one picture a sequence and motion by fractions of a pixel. A datum is
    `(T, C * H * W)`, a frame a step. Labels are those of the pictures. The motion of a datum follows from the seed, the split
    and the datum's position there. The picture's square stays in the frame, but for the corners that a rotation turns
    out. Bits stay bits: frames of binarised pictures are binarised again, by x > 1/2, after the motion.

    *Cost*: one resampling of the picture a frame and batch, T times the pixels of a picture.
    """

    def describe(self, inner: DataSpec) -> DataSpec:
        config: MovingConfig = self.config
        if len(inner.shape) != 3 or inner.shape[1] != inner.shape[2]:
            raise BuildError(
                f"dataset 'moving' moves square pictures (C, H, H), and the data of '{config.data.kind}' have shape "
                f"{inner.shape}. Name a data set of such pictures."
            )
        if inner.masked or inner.companion is not None:
            raise BuildError(
                f"dataset 'moving' moves complete pictures one by one, and '{config.data.kind}' hides pixels or brings "
                "companions. Put 'moving' inside: let that data set wrap this one."
            )
        if config.threshold and inner.values == "real":
            raise BuildError(
                f"dataset 'moving': \"threshold\" makes bits of grey levels in [0, 1], and the data of "
                f"'{config.data.kind}' are real numbers. Set \"threshold\": false."
            )
        side = self._side(inner)
        if side > config.size or (side == config.size and config.motion != "rotate"):
            raise BuildError(
                f"dataset 'moving': a picture of {side} x {side} pixels cannot move in a frame of {config.size} x "
                f'{config.size}. Raise "size", or bring the picture to fewer pixels with "picture".'
            )
        frame = inner.shape[0] * config.size**2
        return replace(inner, shape=(config.steps, frame), values="binary" if config.threshold else inner.values)

    def wrap(self, inner: Split, name: str) -> Split:
        side = self._side(inner.spec)
        motion = Motion(self.config, self.config.size - side)
        anew = self.config.new_each_epoch and name == "train"
        return MovingSplit(inner, self.describe(inner.spec), motion, side, None if anew else name)

    def _side(self, inner: DataSpec) -> int:
        config: MovingConfig = self.config
        return config.picture or inner.shape[1]
