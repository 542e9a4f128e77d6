r"""Normal distributions on the Poincare ball, with densities by the ball's own volume.

The ball of curvature -c is $\{z \in \mathbb{R}^d : c\lVert z\rVert^2 < 1\}$ with the metric
$\lambda_z^2\,dz^2$, $\lambda_z = \frac{2}{1-c\lVert z\rVert^2}$. A density by Lebesgue's measure is $\lambda_z^d$ times one
by the ball's volume $\lambda_z^d\,dz$; the factor cancels wherever two densities are compared.
"""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor
from torch.nn import functional as F

from vaelab.distributions.base import Distribution, SampleShape, TensorMap
from vaelab.distributions.special import implicit_slope, quadrature
from vaelab.distributions.sphere import log_area

# how far the normaliser's integral reaches from the mode, in scales: 40 nats of a normal's tail
_REACH = 9.0
_PROPOSALS = 16


def mobius_add(x: Tensor, y: Tensor, c: float) -> Tensor:
    r"""$x \oplus_c y$, the ball's addition: an isometry in y that moves the origin to x (Ungar 2008; Ganea et al. 2018)."""
    xy = (x * y).sum(-1, keepdim=True)
    xx = x.square().sum(-1, keepdim=True)
    yy = y.square().sum(-1, keepdim=True)
    above = (1 + 2 * c * xy + c * yy) * x + (1 - c * xx) * y
    return above / (1 + 2 * c * xy + c**2 * xx * yy).clamp_min(torch.finfo(x.dtype).tiny)


def into_ball(z: Tensor, c: float) -> Tensor:
    """The nearest point at which the metric can still be computed."""
    margin = 1e-5 if z.dtype == torch.float32 else 1e-10
    largest = (1 - margin) / math.sqrt(c)
    return z * (largest / _norm(z)).clamp_max(1.0)


def from_tangent(loc: Tensor, u: Tensor, c: float) -> Tensor:
    r"""$\exp_\mu(u/\lambda_\mu)$: the point that lies $\lVert u\rVert$ from $\mu$ in the direction of u."""
    norm = _norm(u)
    step = torch.tanh(0.5 * math.sqrt(c) * norm) / (math.sqrt(c) * norm)
    return into_ball(mobius_add(loc, step * u, c), c)


def to_tangent(loc: Tensor, z: Tensor, c: float) -> Tensor:
    r"""$\lambda_\mu\log_\mu(z)$, the inverse of `from_tangent`; its length is the distance of z from $\mu$."""
    y = into_ball(mobius_add(-loc, z, c), c)
    norm = _norm(y)
    return 2 / math.sqrt(c) * torch.atanh(math.sqrt(c) * norm) / norm * y


def _norm(x: Tensor) -> Tensor:
    # the gradient of a norm at zero is not a number
    return x.square().sum(-1, keepdim=True).clamp_min(1e-30).sqrt()


def log_sinh_ratio(x: Tensor) -> Tensor:
    r"""$\log\frac{\sinh x}{x}$ for $x \ge 0$, by its series near zero."""
    small = x < 1e-2
    far = torch.where(small, torch.ones_like(x), x)
    exact = far + torch.log1p(-(-2 * far).exp()) - math.log(2) - far.log()
    square = torch.where(small, x, torch.zeros_like(x)).square()
    return torch.where(small, square / 6 - square.square() / 180, exact)


class OnBall(Distribution):
    """Base of the distributions on the ball.

    Args:
        loc: $\\mu$, points of the ball `[*batch, d]`.
        log_scale: $\\log\\sigma$.
        curvature: c > 0.
    """

    def __init__(self, loc: Tensor, log_scale: Tensor, curvature: float) -> None:
        super().__init__(loc.shape[:-1], loc.shape[-1:])
        self.loc = loc
        self.log_scale = log_scale
        self.curvature = curvature

    @property
    def centre(self) -> Tensor:
        """The middle point, around which the density is symmetric; the mean of the coordinates is another."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @abstractmethod
    def _tangent(self, shape: torch.Size) -> Tensor:
        """Draws as seen from the middle point."""

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        return from_tangent(self.loc, self._tangent(self._shape(sample_shape)), self.curvature)


class WrappedNormal(OnBall):
    r"""A normal of the tangent space wrapped around the ball, $z = \exp_\mu(v/\lambda_\mu)$, $v \sim \mathcal{N}(0, \operatorname{diag}\sigma^2)$.

    $$p(z) = \mathcal{N}(v; 0, \operatorname{diag}\sigma^2)\left(\frac{\sqrt c\, r}{\sinh \sqrt c\, r}\right)^{d-1},
    \qquad r = \lVert v\rVert = d_c(\mu, z)$$

    Mathieu et al. (2019, equation 5; Nagano et al. 2019). `log_scale` is `[*batch, d]`.
    """  # noqa: E501  a summary is one paragraph

    def map(self, function: TensorMap) -> WrappedNormal:
        return WrappedNormal(function(self.loc, 1), function(self.log_scale, 1), self.curvature)

    def _tangent(self, shape: torch.Size) -> Tensor:
        return self.log_scale.exp() * torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)

    def log_prob(self, value: Tensor) -> Tensor:
        v = to_tangent(self.loc, value, self.curvature)
        normal = -0.5 * (v * (-self.log_scale).exp()).square() - self.log_scale - 0.5 * math.log(2 * math.pi)
        spread = log_sinh_ratio(math.sqrt(self.curvature) * _norm(v).squeeze(-1))
        return normal.sum(-1) - (self._event_shape[0] - 1) * spread


class RiemannianNormal(OnBall):
    r"""The normal of the ball's own distance, $p(z) = \frac{1}{Z(\sigma)} e^{-d_c(\mu,z)^2 / 2\sigma^2}$.

    $$Z(\sigma) = \frac{2\pi^{d/2}}{\Gamma(d/2)} \int_0^\infty e^{-r^2/2\sigma^2}
    \left(\frac{\sinh\sqrt c\, r}{\sqrt c}\right)^{d-1} dr$$

    Mathieu et al. (2019, equation 4); of all distributions with this mean and dispersion it has the largest entropy (Pennec
    2006). Where the paper sums the integral in closed form, whose terms cancel in high dimensions, it is computed by
    quadrature here. The radius is drawn by a sampler for log-concave densities (Devroye 1986, section VII.2) and its
    gradient is that of a fixed quantile. `log_scale` is `[*batch]`; internally float64.
    """

    def map(self, function: TensorMap) -> RiemannianNormal:
        return RiemannianNormal(function(self.loc, 1), function(self.log_scale, 0), self.curvature)

    def _log_radius(self, r: Tensor, precision: Tensor) -> Tensor:
        """The unnormalised log-density of the radius."""
        dim = self._event_shape[0]
        return (dim - 1) * (r.log() + log_sinh_ratio(math.sqrt(self.curvature) * r)) - 0.5 * precision * r.square()

    def _mode(self, precision: Tensor) -> Tensor:
        """Of the radius: the root of $r = (d-1)\\sqrt c\\,\\sigma^2\\coth\\sqrt c\\,r$, between two bounds of coth."""
        root = math.sqrt(self.curvature)
        pull = (self._event_shape[0] - 1) / precision
        low = root * pull
        high = 0.5 * (low + (low.square() + 4 * pull).sqrt())
        for _ in range(50):
            middle = 0.5 * (low + high)
            rises = middle < pull * root / torch.tanh(root * middle)
            low, high = torch.where(rises, middle, low), torch.where(rises, high, middle)
        return high

    def _terms(self, precision: Tensor) -> tuple[Tensor, Tensor]:
        """Radii `[64, *]` and the logarithms of their shares in the integral over the radius."""
        with torch.no_grad():
            mode, reach = self._mode(precision), _REACH * precision.rsqrt()
            r, log_width = quadrature((mode - reach).clamp_min(0), mode + reach)
        return r, self._log_radius(r, precision) + log_width

    def _tangent(self, shape: torch.Size) -> Tensor:
        log_scale = self.log_scale.double().expand(shape[:-1])
        precision = (-2 * log_scale).exp()
        fixed = precision.detach()
        with torch.no_grad():
            r = self._draw_radius(fixed)
        if precision.requires_grad:
            nodes, terms = self._terms(fixed)
            mean = (terms.softmax(0) * -0.5 * nodes.square()).sum(0)

            def log_density(s: Tensor) -> Tensor:
                return self._log_radius(s.clamp_min(1e-150), fixed)

            far = torch.maximum(self._mode(fixed), r) + _REACH * fixed.rsqrt()
            slope = implicit_slope(r, log_density, lambda s: -0.5 * s.square(), mean, torch.zeros_like(r), far)
            r = r + slope * (precision - fixed)
        noise = torch.randn(shape, dtype=torch.float64, device=self.loc.device)
        return (r.unsqueeze(-1) * F.normalize(noise, dim=-1)).to(self.loc.dtype)

    def _draw_radius(self, precision: Tensor) -> Tensor:
        mode = self._mode(precision)
        top = self._log_radius(mode, precision)
        height = (top - self._terms(precision)[1].logsumexp(0)).exp()
        radius, waiting = mode.clone(), torch.ones_like(mode, dtype=torch.bool)
        while waiting.any():
            # the density lies below its height times min(1, exp(1 - height |r - mode|)), of which a quarter is its own
            uniform = torch.rand((4, _PROPOSALS, *mode.shape), dtype=mode.dtype, device=mode.device)
            steps = torch.where(uniform[0] < 0.5, uniform[1], 1 - torch.log1p(-uniform[1])) / height
            proposal = mode + torch.where(uniform[2] < 0.5, steps, -steps)
            bound = (1 - height * steps).clamp_max(0)
            score = self._log_radius(proposal.clamp_min(1e-150), precision) - top
            # written so that a scale that is not a number ends the loop; the loss will be none either
            accepted = ~((torch.log1p(-uniform[3]) + bound > score) | (proposal <= 0))
            first = accepted.int().argmax(0, keepdim=True)
            done = waiting & accepted.any(0)
            radius = torch.where(done, proposal.gather(0, first).squeeze(0), radius)
            waiting &= ~done
        return radius

    def log_prob(self, value: Tensor) -> Tensor:
        distance = _norm(to_tangent(self.loc, value, self.curvature)).squeeze(-1)
        precision = (-2 * self.log_scale.double()).exp()
        log_z = log_area(self._event_shape[0]) + self._terms(precision)[1].logsumexp(0)
        return -0.5 * (distance * (-self.log_scale).exp()).square() - log_z.to(value.dtype)
