"""The latents of a trace as vectors, for terms that compare whole distributions of z."""

from __future__ import annotations

import torch
from torch import Tensor

from vaelab.inference import Trace


def flat_latents(trace: Trace) -> Tensor:
    """All groups of the first sample side by side, `[B, D]`."""
    return torch.cat([group.z[0].flatten(1) for group in trace.groups], 1)


def prior_latents(trace: Trace) -> Tensor:
    """A draw of the prior as large as the batch, `[B, D]`, without a gradient.

    A later group is drawn given the posterior's draws of the groups before it.
    """
    shape = trace.groups[0].z.shape[:2]
    draws = [group.p.expand(shape).sample() for group in trace.groups]
    return torch.cat([draw[0].flatten(1) for draw in draws], 1)
