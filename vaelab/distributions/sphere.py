"""Distributions of unit vectors, with densities by the area of the sphere."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor
from torch.distributions import register_kl
from torch.nn import functional as F

from vaelab.distributions.base import Distribution, SampleShape, TensorMap
from vaelab.distributions.special import BesselI, implicit_slope


def log_area(dim: int) -> float:
    r"""$\log\frac{2\pi^{d/2}}{\Gamma(d/2)}$, the area of the unit sphere in d dimensions."""
    return math.log(2) + 0.5 * dim * math.log(math.pi) - math.lgamma(0.5 * dim)


def _ends(angle: Tensor) -> tuple[Tensor, Tensor]:
    return torch.zeros_like(angle), torch.full_like(angle, math.pi)


class UniformSphere(Distribution):
    r"""Every unit vector of $\mathbb{R}^d$ alike, $\log p(z) = -\log\frac{2\pi^{d/2}}{\Gamma(d/2)}$.

    Args:
        zeros: `[*batch, d]`, its mean; only shape, dtype and device matter.
    """

    def __init__(self, zeros: Tensor) -> None:
        super().__init__(zeros.shape[:-1], zeros.shape[-1:])
        self.zeros = zeros

    def map(self, function: TensorMap) -> UniformSphere:
        return UniformSphere(function(self.zeros, 1))

    @property
    def mean(self) -> Tensor:
        return self.zeros

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        noise = torch.randn(self._shape(sample_shape), dtype=self.zeros.dtype, device=self.zeros.device)
        return F.normalize(noise, dim=-1)

    def log_prob(self, value: Tensor) -> Tensor:
        return value.new_full(value.shape[:-1], -log_area(value.shape[-1]))


class Spherical(Distribution):
    r"""A distribution that is symmetric around a direction: the angle to it has a density, the rest is uniform.

    A draw is $\cos\theta\,\mu + \sin\theta\,v$, with v uniform among the unit vectors orthogonal to $\mu$. Its gradient by
    $\mu$ is that of this map and its gradient by $\kappa$ the derivative of $\theta$ at a fixed quantile, exact up to
    quadrature (see `implicit_slope`), so that no correction for the rejections is needed. Internally float64.

    Args:
        loc: $\mu$, unit vectors `[*batch, d]`, d >= 2.
        concentration: $\kappa > 0$, `[*batch]`.
    """

    def __init__(self, loc: Tensor, concentration: Tensor) -> None:
        super().__init__(loc.shape[:-1], loc.shape[-1:])
        self.loc = loc
        self.concentration = concentration
        self.dim = loc.shape[-1]

    @property
    def centre(self) -> Tensor:
        """The direction itself: the mean lies inside the sphere."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @abstractmethod
    def _draw_angle(self, concentration: Tensor) -> Tensor:
        """Angles of the shape of the concentrations, float64, without a gradient."""

    @abstractmethod
    def _angle_slope(self, angle: Tensor, concentration: Tensor) -> Tensor:
        """The derivative of these draws by the concentration."""

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        shape = self._shape(sample_shape)
        loc = self.loc.double()
        concentration = self.concentration.double().expand(shape[:-1])
        fixed = concentration.detach()
        with torch.no_grad():
            angle = self._draw_angle(fixed)
        if concentration.requires_grad:
            angle = angle + self._angle_slope(angle, fixed) * (concentration - fixed)
        noise = torch.randn(shape, dtype=torch.float64, device=loc.device)
        tangent = F.normalize(noise - (noise * loc).sum(-1, keepdim=True) * loc, dim=-1)
        angle = angle.unsqueeze(-1)
        return (angle.cos() * loc + angle.sin() * tangent).to(self.loc.dtype)

    def _log_sine(self, angle: Tensor) -> Tensor:
        """The angle's share of the area, $(d-2)\\log\\sin\\theta$, which is 0 on the circle."""
        return (self.dim - 2) * angle.sin().clamp_min(1e-300).log()

    def _half_chord(self, value: Tensor) -> Tensor:
        """$1 - \\mu^\\top z$ without cancellation where the two are near."""
        return 0.5 * (value - self.loc).square().sum(-1)


class VonMisesFisher(Spherical):
    r"""$p(z) = C_d(\kappa)\, e^{\kappa\mu^\top z}$ with $C_d(\kappa) = \frac{\kappa^{d/2-1}}{(2\pi)^{d/2} I_{d/2-1}(\kappa)}$.

    Davidson et al. (2018, equation 4). Draws by the rejection sampler of Wood (1994), which Davidson et al. use too; their
    gradient needs a correction for the rejections (appendix D), which the derivative at a fixed quantile does not.
    """

    def __init__(self, loc: Tensor, concentration: Tensor) -> None:
        super().__init__(loc, concentration)
        self._bessel = BesselI(self._order, concentration)

    def map(self, function: TensorMap) -> VonMisesFisher:
        return VonMisesFisher(function(self.loc, 1), function(self.concentration, 0))

    @property
    def _order(self) -> float:
        return 0.5 * self.dim - 1

    @property
    def length(self) -> Tensor:
        r"""Of the mean vector, $A_d(\kappa) = I_{d/2}(\kappa)/I_{d/2-1}(\kappa)$, `[*batch]`, float64."""
        return self._bessel()[1]

    @property
    def mean(self) -> Tensor:
        return self.length.to(self.loc.dtype).unsqueeze(-1) * self.loc

    def log_normaliser(self) -> Tensor:
        r"""$\log C_d(\kappa) + \kappa$ `[*batch]`, the log-density at the mode, float64."""
        concentration = self.concentration.double()
        return self._order * concentration.log() - 0.5 * self.dim * math.log(2 * math.pi) - self._bessel()[0]

    def log_prob(self, value: Tensor) -> Tensor:
        return self.log_normaliser().to(value.dtype) - self.concentration * self._half_chord(value)

    def entropy(self) -> Tensor:
        surprise = self.concentration.double() * (1 - self.length) - self.log_normaliser()
        return surprise.to(self.loc.dtype)

    def _draw_angle(self, concentration: Tensor) -> Tensor:
        m = self.dim - 1
        root = (4 * concentration.square() + m**2).sqrt()
        b = m / (2 * concentration + root)
        a = 0.25 * (m + 2 * concentration + root)
        d = 4 * a * b / (1 + b) - m * math.log(m)
        half_chord = torch.zeros_like(concentration)  # (1 - cos) / 2
        waiting = torch.ones_like(concentration, dtype=torch.bool)
        # about two thirds are accepted a round, whatever the concentration and the dimension
        while waiting.any():
            one, two = torch._standard_gamma(concentration.new_full((2, *concentration.shape), 0.5 * m))
            epsilon = one / (one + two)
            denominator = 1 - (1 - b) * epsilon
            t = 2 * a * b / denominator
            score = m * t.log() - t + d
            # written so that a concentration that is not a number ends the loop; the loss will be none either
            accepted = ~(score < torch.rand_like(score).log())
            half_chord = torch.where(waiting & accepted, b * epsilon / denominator, half_chord)
            waiting &= ~accepted
        return 2 * half_chord.clamp(0, 1).sqrt().asin()

    def _angle_slope(self, angle: Tensor, concentration: Tensor) -> Tensor:
        # a constant is left out of the exponent: cos - 1 stays exact near the mode
        def statistic(theta: Tensor) -> Tensor:
            return -2 * (0.5 * theta).sin().square()

        def log_density(theta: Tensor) -> Tensor:
            return concentration * statistic(theta) + self._log_sine(theta)

        mean = self.length.detach() - 1
        return implicit_slope(angle, log_density, statistic, mean, *_ends(angle))


class PowerSpherical(Spherical):
    r"""$p(z) = N_d(\kappa)\,(1 + \mu^\top z)^\kappa$ (De Cao & Aziz 2020, equation 1).

    $$N_d(\kappa)^{-1} = 2^{\alpha+\beta}\pi^\beta\frac{\Gamma(\alpha)}{\Gamma(\alpha+\beta)},
    \qquad \alpha = \tfrac{d-1}{2} + \kappa, \quad \beta = \tfrac{d-1}{2}$$

    $(1 + \mu^\top z)/2$ has the distribution Beta($\alpha$, $\beta$), so that nothing is rejected.
    """

    def map(self, function: TensorMap) -> PowerSpherical:
        return PowerSpherical(function(self.loc, 1), function(self.concentration, 0))

    @property
    def _beta(self) -> float:
        return 0.5 * (self.dim - 1)

    @property
    def _alpha(self) -> Tensor:
        return self.concentration.double() + self._beta

    @property
    def mean(self) -> Tensor:
        length = self.concentration / (self.concentration + 2 * self._beta)
        return length.unsqueeze(-1) * self.loc

    def log_normaliser(self) -> Tensor:
        r"""$\log N_d(\kappa) + \kappa\log 2$ `[*batch]`, the log-density at the mode, float64."""
        alpha, beta = self._alpha, self._beta
        constant = 2 * beta * math.log(2) + beta * math.log(math.pi)
        return torch.lgamma(alpha + beta) - torch.lgamma(alpha) - constant

    def log_prob(self, value: Tensor) -> Tensor:
        # at the antipode the density is zero
        share = (1 - 0.5 * self._half_chord(value)).clamp_min(torch.finfo(value.dtype).tiny)
        return self.log_normaliser().to(value.dtype) + self.concentration * share.log()

    def entropy(self) -> Tensor:
        alpha = self._alpha
        expected = torch.digamma(alpha) - torch.digamma(alpha + self._beta)
        return -(self.log_normaliser() + self.concentration.double() * expected).to(self.loc.dtype)

    def _draw_angle(self, concentration: Tensor) -> Tensor:
        toward = torch._standard_gamma(concentration + self._beta)
        away = torch._standard_gamma(torch.full_like(concentration, self._beta))
        return 2 * torch.atan2(away.sqrt(), toward.sqrt())

    def _angle_slope(self, angle: Tensor, concentration: Tensor) -> Tensor:
        def statistic(theta: Tensor) -> Tensor:
            return 2 * (0.5 * theta).cos().clamp_min(1e-150).log()

        def log_density(theta: Tensor) -> Tensor:
            return concentration * statistic(theta) + self._log_sine(theta)

        alpha = concentration + self._beta
        mean = torch.digamma(alpha) - torch.digamma(alpha + self._beta)
        return implicit_slope(angle, log_density, statistic, mean, *_ends(angle))


@register_kl(Spherical, UniformSphere)
def kl_spherical_uniform(q: Spherical, p: UniformSphere) -> Tensor:
    """The logarithm of the sphere's area less the entropy of q (Davidson et al. 2018, equation 5; De Cao & Aziz 2020)."""
    return log_area(q.dim) - q.entropy()
