"""Invertible maps of vectors with their log-determinants, for flow posteriors and flow priors."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution as TorchDistribution
from torch.nn import functional as F

# of a planar inverse: with one more for the gradient, float64 is resolved for slopes of -1 + 1e-6 to 1e4
_NEWTON_STEPS = 12


class FlowStep(nn.Module):
    """One invertible map of `[*batch, D]`.

    `forward(z, parameters, inverse)` returns the image and $\\log\\lvert\\det \\partial z'/\\partial z\\rvert$ `[*batch]` of
    the direction that was asked for.

    Attributes:
        parameter_size: how many numbers a datum it is given, `[*batch, parameter_size]`.
    """

    parameter_size: int = 0

    def forward(self, z: Tensor, parameters: Tensor, inverse: bool = False) -> tuple[Tensor, Tensor]:
        raise NotImplementedError


class Planar(FlowStep):
    r"""$z' = z + \hat u \tanh(w^\top z + b)$ (Rezende & Mohamed 2015, equation 10).

    $\hat u$ is u moved along w so that $w^\top\hat u > -1$, which makes the map invertible (appendix A.1). Its inverse
    along w is found by Newton's method, and its gradient by one more step at the root.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.parameter_size = 2 * dim + 1

    def forward(self, z: Tensor, parameters: Tensor, inverse: bool = False) -> tuple[Tensor, Tensor]:
        u, w, b = parameters.split([self.dim, self.dim, 1], -1)
        b = b.squeeze(-1)
        dot = (u * w).sum(-1)
        slope = F.softplus(dot) - 1
        # the floor keeps a w of zero from dividing by zero; the map is then the identity plus a constant
        u = u + ((slope - dot) / w.square().sum(-1).clamp_min(1e-12)).unsqueeze(-1) * w
        slope = (u * w).sum(-1)
        inner = (w * z).sum(-1) + b
        if inverse:
            inner = self._solve(inner, slope)
        bend = torch.tanh(inner)
        log_det = torch.log1p(slope * (1 - bend.square()))
        shift = u * bend.unsqueeze(-1)
        return (z - shift, -log_det) if inverse else (z + shift, log_det)

    @staticmethod
    def _solve(image: Tensor, slope: Tensor) -> Tensor:
        """The root y of y + slope tanh(y) = image, with its gradient.

        For y > 0 the left side is concave for a positive slope and convex for a negative one. Newton's method then comes to
        the root from one side, from where tanh is replaced by what bounds it, 1 or y, whichever is nearer.
        """
        eps = torch.finfo(image.dtype).eps

        def from_root(y: Tensor, image: Tensor) -> Tensor:
            bend = torch.tanh(y)
            # the floor is for slopes that are -1 but for rounding, whose root at 0 is a triple one
            derivative = (1 + slope * (1 - bend.square())).clamp_min(eps)
            return (y + slope * bend - image) / derivative.detach()

        with torch.no_grad():
            size = image.abs()
            linear, saturated = size / (1 + slope).clamp_min(eps), size - slope
            y = torch.where(slope > 0, torch.maximum(linear, saturated), torch.minimum(linear, saturated))
            for _ in range(_NEWTON_STEPS):
                y = y - from_root(y, size)
            y = torch.sign(image) * y
        return y - from_root(y, image)


class Radial(FlowStep):
    r"""$z' = z + \frac{\beta}{\alpha + r}(z - z_0)$ with $r = \lVert z - z_0\rVert$ (Rezende & Mohamed 2015, equation 14).

    $\alpha$ is a softplus and $\beta = \operatorname{softplus}(\hat\beta) - \alpha$, so that the map is invertible (appendix
    A.2); the inverse is the root of a quadratic.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.parameter_size = dim + 2

    def forward(self, z: Tensor, parameters: Tensor, inverse: bool = False) -> tuple[Tensor, Tensor]:
        centre, raw_alpha, raw_beta = parameters.split([self.dim, 1, 1], -1)
        alpha = F.softplus(raw_alpha.squeeze(-1)) + 1e-4
        beta = F.softplus(raw_beta.squeeze(-1)) - alpha
        offset = z - centre
        # the gradient of a norm at zero is not a number
        radius = offset.square().sum(-1).clamp_min(1e-24).sqrt()
        if inverse:
            half = alpha + beta - radius
            root = (half.square() + 4 * alpha * radius).sqrt()
            # the form of the root without cancellation on either side
            radius = torch.where(half > 0, 2 * alpha * radius / (half + root).clamp_min(1e-30), 0.5 * (root - half))
        h = 1 / (alpha + radius)
        stretch = 1 + beta * h
        log_det = (self.dim - 1) * stretch.log() + (stretch - beta * h.square() * radius).log()
        if inverse:
            return centre + offset / stretch.unsqueeze(-1), -log_det
        return z + (beta * h).unsqueeze(-1) * offset, log_det


class Shared(FlowStep):
    """A step whose parameters are weights, the same for every datum."""

    def __init__(self, step: FlowStep) -> None:
        super().__init__()
        self.step = step
        self.weights = nn.Parameter(0.1 * torch.randn(step.parameter_size))

    def forward(self, z: Tensor, parameters: Tensor, inverse: bool = False) -> tuple[Tensor, Tensor]:
        return self.step(z, self.weights, inverse)


class Autoregressive(FlowStep):
    r"""$z'_d = \tau(z_d; h(z_{<d}, c))$ with a masked network h and a context c, by the library zuko.

    The univariate map is affine (Kingma et al. 2016; Papamakarios et al. 2017) or a monotonic rational-quadratic spline on
    [-5, 5] (Durkan et al. 2019). One direction is one pass of h, the other takes D passes.

    Args:
        dim: D.
        context: length of c; 0 for none.
        hidden: widths of h.
        bins: of the spline; None for an affine map.
        descending: take the components in descending order.
        inverted: make `forward` the direction of D passes and the inverse the fast one, as a density wants.
    """

    def __init__(
        self, dim: int, context: int, hidden: Sequence[int], bins: int | None, *, descending: bool, inverted: bool
    ) -> None:
        super().__init__()
        self.parameter_size = context
        self.inverted = inverted
        self.bounded = bins is not None
        order = torch.arange(dim).flip(0) if descending else torch.arange(dim)
        flows, transforms = _zuko()
        arguments: dict[str, Any] = {"order": order} if dim > 1 else {}
        if bins is not None:
            arguments |= {"univariate": transforms.MonotonicRQSTransform, "shapes": [(bins,), (bins,), (bins - 1,)]}
        self.net = flows.MaskedAutoregressiveTransform(dim, context, hidden_features=tuple(hidden), **arguments)

    def forward(self, z: Tensor, parameters: Tensor, inverse: bool = False) -> tuple[Tensor, Tensor]:
        transform = self.net(parameters if self.parameter_size else None)
        if inverse != self.inverted:
            transform = transform.inv
        image, log_det = transform.call_and_ladj(z)
        return image, log_det


class FlowStack(FlowStep):
    """Steps one after the other; each takes its part of the parameters."""

    def __init__(self, steps: Sequence[FlowStep]) -> None:
        super().__init__()
        self.steps = nn.ModuleList(steps)
        self.sizes = [step.parameter_size for step in steps]
        self.parameter_size = sum(self.sizes)

    def forward(self, z: Tensor, parameters: Tensor, inverse: bool = False) -> tuple[Tensor, Tensor]:
        parts = list(zip(self.steps, parameters.split(self.sizes, -1), strict=True))
        total: Tensor | None = None
        for step, part in reversed(parts) if inverse else parts:
            z, log_det = step(z, part, inverse)
            total = log_det if total is None else total + log_det
        assert total is not None
        return z, total


def _zuko() -> tuple[ModuleType, ModuleType]:
    """zuko's flows and transforms, imported when a model wants them.

    Importing it turns argument validation off in all of torch.distributions, which is undone here.
    """
    validate = TorchDistribution._validate_args
    try:
        return import_module("zuko.flows"), import_module("zuko.transforms")
    finally:
        TorchDistribution.set_default_validate_args(validate)
