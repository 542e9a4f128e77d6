"""Images whose pixels depend on the pixels before them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from vaelab.distributions.base import Distribution, SampleShape, TensorMap

#: `[N, C, h, w]` pixels and `[N, F, h, w]` features to `[N, P, h, w]` parameters, each pixel from those before it.
Network = Callable[[Tensor, Tensor], Tensor]


class AutoregressivePixels(Distribution):
    r"""$p(x \mid z) = \prod_{i} p(x_i \mid x_{<i}, z)$ over pixels i, row by row from the top left.

    Scoring takes one pass of the network; a draw takes one pass a pixel, each over the pixels in reach only.

    Args:
        features: what is known of z at each pixel, `[*batch, F, H, W]`.
        channels: C of the image.
        network: parameters of each pixel from the pixels before it and the features there.
        reach: how many rows up and columns to the side the network looks.
        likelihood: p of pixels from parameters `[*batch, P, h, w]`, independent given these.
        bits: whether pixels are bits; see `mean`.
    """

    has_rsample = False
    mean_is_expectation = False

    def __init__(
        self,
        features: Tensor,
        channels: int,
        network: Network,
        reach: int,
        likelihood: Callable[[Tensor], Distribution],
        *,
        bits: bool = False,
    ) -> None:
        super().__init__(features.shape[:-3], (channels, *features.shape[-2:]))
        self.features = features
        self.channels = channels
        self.network = network
        self.reach = reach
        self.likelihood = likelihood
        self.bits = bits

    def map(self, function: TensorMap) -> AutoregressivePixels:
        """Features are the only parameters; the network's weights are not mapped."""
        features = function(self.features, 3)
        return AutoregressivePixels(features, self.channels, self.network, self.reach, self.likelihood, bits=self.bits)

    def _conditionals(self, x: Tensor, features: Tensor) -> Tensor:
        """Parameters `[*batch, P, h, w]` of pixels `[*batch, C, h, w]`."""
        batch = x.shape[:-3]
        y = self.network(x.reshape(-1, *x.shape[-3:]), features.reshape(-1, *features.shape[-3:]))
        return y.reshape(*batch, *y.shape[-3:])

    def log_prob(self, value: Tensor) -> Tensor:
        batch = torch.broadcast_shapes(value.shape[:-3], self.features.shape[:-3])
        value = value.expand(*batch, *value.shape[-3:])
        features = self.features.expand(*batch, *self.features.shape[-3:])
        return self.likelihood(self._conditionals(value, features)).log_prob(value)

    def _walk(self, x: Tensor, features: Tensor) -> Iterator[tuple[int, int, Distribution]]:
        """The pixels in their order, each with its distribution given what x holds by then."""
        height, width = x.shape[-2:]
        for i in range(height):
            for j in range(width):
                # what lies further away has no influence, and what comes later none either
                top, left = max(0, i - self.reach), max(0, j - self.reach)
                window = (..., slice(top, i + 1), slice(left, j + self.reach + 1))
                parameters = self._conditionals(x[window], features[window])
                row, column = i - top, j - left
                yield i, j, self.likelihood(parameters[..., row : row + 1, column : column + 1])

    @property
    def mean(self) -> Tensor:
        """A picture that is no expectation, which has no closed form: each pixel's conditional mean given the most
        likely bits before it, or given the means before it where pixels are no bits. One pass a pixel."""
        x = torch.zeros(*self._batch_shape, *self._event_shape, dtype=self.features.dtype, device=self.features.device)
        means = torch.zeros_like(x)
        with torch.no_grad():
            for i, j, pixel in self._walk(x, self.features):
                mean = pixel.mean[..., 0, 0]
                means[..., i, j] = mean
                x[..., i, j] = mean.round() if self.bits else mean
        return means

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        with torch.no_grad():
            batch = torch.Size((*sample_shape, *self._batch_shape))
            features = self.features.expand(*batch, *self.features.shape[-3:])
            x = torch.zeros(*batch, *self._event_shape, dtype=features.dtype, device=features.device)
            for i, j, pixel in self._walk(x, features):
                x[..., i, j] = pixel.sample()[..., 0, 0]
            return x

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        raise NotImplementedError("pixels that depend on drawn pixels have no pathwise gradient; use sample()")
