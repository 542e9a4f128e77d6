"""The area under the ROC curve, with its standard error."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vaelab.metrics.base import Value


def auroc(inside: Tensor, outside: Tensor) -> Value:
    r"""$P(s_{out} > s_{in}) + \frac12 P(s_{out} = s_{in})$ for scores that are to be higher outside.

    The standard error is that of DeLong et al. (1988): with the placements $V_j = \frac1N\sum_i \psi(s^{in}_i, s^{out}_j)$ of each
    of M outside and $U_i$ of each of N inside, $\sqrt{s_V^2/M + s_U^2/N}$.

    Args:
        inside: scores `[N]`.
        outside: scores `[M]`.
    """
    inside, outside = inside.cpu().double(), outside.cpu().double()
    placed = _placements(outside, inside)
    above = 1 - _placements(inside, outside)
    stderr = None
    if min(len(inside), len(outside)) > 1:
        stderr = math.sqrt(float(placed.var()) / len(placed) + float(above.var()) / len(above))
    return Value(float(placed.mean()), stderr, unit="", better="higher")


def _placements(scores: Tensor, among: Tensor) -> Tensor:
    """For each score the share of the others that are lower, those that are equal by half."""
    ordered = among.sort().values
    below = torch.searchsorted(ordered, scores)
    not_above = torch.searchsorted(ordered, scores, right=True)
    return (below + not_above).double() / (2 * len(among))
