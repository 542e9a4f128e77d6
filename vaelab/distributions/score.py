"""Scores that stand in the place of a likelihood and are none."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vaelab.distributions.base import Distribution, SampleShape, TensorMap


class PictureScore(Distribution):
    """What a picture is worth as a reconstruction of the datum: a score in the place of a log-density.

    Nothing integrates to one, so that `log_prob`, and every bound made of it, can be trained on and not compared with
    those of a likelihood. A draw is the picture itself.

    Args:
        picture: `[*batch, *event]`.
        score: `[N, *event]` data and pictures to `[N]`; the larger, the more alike.
        event_ndim: number of event axes.
    """

    has_density = False

    def __init__(self, picture: Tensor, score: Callable[[Tensor, Tensor], Tensor], event_ndim: int = 3) -> None:
        split = picture.ndim - event_ndim
        super().__init__(picture.shape[:split], picture.shape[split:])
        self.picture = picture
        self.score = score
        self.event_ndim = event_ndim

    def map(self, function: TensorMap) -> PictureScore:
        return PictureScore(function(self.picture, self.event_ndim), self.score, self.event_ndim)

    @property
    def mean(self) -> Tensor:
        return self.picture

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        return self.picture.expand(self._shape(sample_shape)).clone()

    def log_prob(self, value: Tensor) -> Tensor:
        """The score `[*batch]`, in what its maker calls nats."""
        n = self.event_ndim
        batch = torch.broadcast_shapes(value.shape[:-n], self.picture.shape[:-n])
        both = [tensor.expand(*batch, *self._event_shape) for tensor in (value, self.picture)]
        data, pictures = (tensor.reshape(-1, *self._event_shape) for tensor in both)
        return self.score(data, pictures).reshape(batch)
