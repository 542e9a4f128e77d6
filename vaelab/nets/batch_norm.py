"""Batch normalisation over a batch that several processes may hold together."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vaelab.shared_batch import mine, shared, total


class BatchNorm2d(nn.BatchNorm2d):
    """torch's, whose mean and variance in training are those of the whole batch where each process holds a part.

    torch's SyncBatchNorm would need CUDA.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not (self.training and shared()):
            return super().forward(input)
        x = mine(input).float()
        # not the size of the batch: pseudo-inputs of a prior pass through here as well
        sums = total(torch.cat([x.sum((0, 2, 3)), x.new_tensor([x.numel() / max(x.shape[1], 1)])]))
        mean, number = sums[:-1] / sums[-1], sums[-1].detach()
        variance = total((x - _per_channel(mean)).square().sum((0, 2, 3))) / number
        self._remember(mean.detach(), (variance * number / (number - 1).clamp_min(1)).detach())
        scale = (variance + self.eps).rsqrt() * self.weight
        normalised = (input - _per_channel(mean)) * _per_channel(scale) + _per_channel(self.bias)
        return normalised.to(input.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)


def _per_channel(x: Tensor) -> Tensor:
    return x.view(1, -1, 1, 1)
