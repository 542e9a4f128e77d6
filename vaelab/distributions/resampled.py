"""A distribution reshaped by learned rejection sampling."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from vaelab.distributions.base import Distribution, SampleShape, TensorMap

#: The largest Z in single precision that leaves a chance of rejection.
_BELOW_ONE = 1 - 1e-6


class Resampled(Distribution):
    r"""Truncated learned accept/reject sampling, LARS (Bauer & Mnih 2019, equation 6).

    A draw of the base $\pi$ is accepted with probability $a(z)$; the T-th is taken in any case. With
    $Z = \mathbb{E}_\pi\,a(z)$ and $r = (1-Z)^{T-1}$, the chance that T - 1 draws were all rejected,

    $$\log p(z) = \log\pi(z) + \log\Bigl(a(z)\frac{1 - r}{Z} + r\Bigr)$$

    Args:
        base: $\pi$.
        accept: network from `[N, numel(event)]` to the logit of $a$, `[N, 1]`.
        log_z: $\log Z$, one number or `[*batch]`.
        truncation: T.
        frozen: whether the network's parameters are cut from the graph.
    """

    has_rsample = False

    def __init__(
        self, base: Distribution, accept: nn.Module, log_z: Tensor, truncation: int, frozen: bool = False
    ) -> None:
        super().__init__(base.batch_shape, base.event_shape)
        self.base = base
        self.accept = accept
        self.log_z = log_z
        self.truncation = truncation
        self.frozen = frozen

    def map(self, function: TensorMap) -> Resampled:
        return Resampled(self.base.map(function), self.accept, function(self.log_z, 0), self.truncation, self.frozen)

    def detached(self) -> Resampled:
        return Resampled(self.base.detached(), self.accept, self.log_z.detach(), self.truncation, True)

    def log_accept(self, value: Tensor) -> Tensor:
        r"""$\log a(z)$, `[*]`."""
        split = value.ndim - len(self._event_shape)
        rows = value.flatten(split) if split < value.ndim else value
        if self.frozen:
            fixed = {name: parameter.detach() for name, parameter in self.accept.named_parameters()}
            logit = functional_call(self.accept, fixed, (rows,))
        else:
            logit = self.accept(rows)
        return F.logsigmoid(logit.squeeze(-1))

    def log_prob(self, value: Tensor) -> Tensor:
        # log r, where Z may round to 1
        log_rejected = (self.truncation - 1) * torch.log1p(-self.log_z.exp().clamp_max(_BELOW_ONE))
        log_scale = torch.log(-torch.expm1(log_rejected)) - self.log_z
        return self.base.log_prob(value) + torch.logaddexp(self.log_accept(value) + log_scale, log_rejected)

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        with torch.no_grad():
            z = self.base.sample(sample_shape)
            waiting = torch.ones(z.shape[: z.ndim - len(self._event_shape)], dtype=torch.bool, device=z.device)
            for _ in range(self.truncation - 1):
                waiting &= torch.rand(waiting.shape, device=z.device) > self.log_accept(z).exp()
                if not waiting.any():
                    break
                again = self.base.sample(sample_shape)
                z = torch.where(waiting.reshape(*waiting.shape, *(1 for _ in self._event_shape)), again, z)
            return z

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        raise NotImplementedError("acceptance has no pathwise gradient; use sample()")
