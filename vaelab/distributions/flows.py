"""Normal variables pushed through an invertible map."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call

from vaelab.distributions.base import Distribution, Draw, SampleShape, TensorMap
from vaelab.distributions.normal import DiagonalNormal


class NormalFlow(Distribution):
    r"""$z = f(z_0)$ with $z_0 \sim \mathcal{N}(\mu, \operatorname{diag}\sigma^2)$ and an invertible f.

    $$\log p(z) = \log \mathcal{N}(z_0) - \log\lvert\det\frac{\partial f}{\partial z_0}\rvert$$

    (Rezende & Mohamed 2015, equation 13). `draw` scores its sample on the way; `log_prob` of another point inverts f.
    `detached` stops the gradients of the map's own weights as well as those of its parameters.

    Args:
        base: distribution of $z_0$, `[*batch, *event]`.
        flow: f, called as `flow(z, parameters, inverse)` on `[*, D]`; see `vaelab.nets.flows`.
        parameters: what f depends on besides, `[*batch, P]`; P may be 0.
        frozen: use the weights of f without their gradients.
    """

    def __init__(self, base: DiagonalNormal, flow: nn.Module, parameters: Tensor, *, frozen: bool = False) -> None:
        super().__init__(base.batch_shape, base.event_shape)
        self.base = base
        self.flow = flow
        self.parameters = parameters
        self.frozen = frozen

    def map(self, function: TensorMap) -> NormalFlow:
        return NormalFlow(self.base.map(function), self.flow, function(self.parameters, 1), frozen=self.frozen)

    def detached(self) -> NormalFlow:
        stopped = super().detached()
        stopped.frozen = True
        return stopped

    @property
    def centre(self) -> Tensor:
        """The image of the base's mean; the mean has no closed form."""
        return self._apply(self.base.loc)[0]

    def _apply(self, z: Tensor, inverse: bool = False) -> tuple[Tensor, Tensor]:
        n = len(self._event_shape)
        flat = z.flatten(-n)
        arguments = (flat, self.parameters.expand(*flat.shape[:-1], -1), inverse)
        if self.frozen:
            stopped = {name: weight.detach() for name, weight in self.flow.named_parameters()}
            image, log_det = functional_call(self.flow, stopped, arguments)
        else:
            image, log_det = self.flow(*arguments)
        return image.reshape(z.shape), log_det

    def _draw(self, sample_shape: SampleShape = ()) -> tuple[Tensor, Tensor]:
        start = self.base.rsample(sample_shape)
        z, log_det = self._apply(start)
        return z, self.base.log_prob(start) - log_det

    def draw(self) -> Draw:
        z, log_q = self._draw()
        return Draw(z, log_q)

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        return self._draw(torch.Size(sample_shape))[0]

    def log_prob(self, value: Tensor) -> Tensor:
        shape = torch.broadcast_shapes(value.shape, (*self._batch_shape, *self._event_shape))
        start, log_det = self._apply(value.expand(shape), inverse=True)
        return self.base.log_prob(start) + log_det

    def tempered(self, temperature: float) -> NormalFlow:
        """The base at the temperature, as in Kingma & Dhariwal (2018), section 6."""
        return NormalFlow(self.base.tempered(temperature), self.flow, self.parameters, frozen=self.frozen)
