"""Structural similarity of pictures."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

#: Exponents of the scales, from the finest (Wang et al. 2003, section 3.2).
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def gaussian_window(size: int, sigma: float = 1.5) -> Tensor:
    """A normal density over `size` taps that sums to one, float64."""
    taps = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    window = torch.exp(-0.5 * (taps / sigma) ** 2)
    return window / window.sum()


def _blurred(x: Tensor, window: Tensor) -> Tensor:
    """`[N, C, H, W]` without its borders, by the rows and then by the columns."""
    channels = x.shape[1]
    taps = window.to(x).expand(channels, 1, -1)
    x = F.conv2d(x, taps.unsqueeze(-1), groups=channels)
    return F.conv2d(x, taps.unsqueeze(-2), groups=channels)


def ssim_terms(x: Tensor, y: Tensor, window: Tensor) -> tuple[Tensor, Tensor]:
    r"""Luminance and contrast-structure of each channel, `[N, C]`, means over the picture.

    $l = \frac{2\mu_x\mu_y + c_1}{\mu_x^2 + \mu_y^2 + c_1}$, $cs = \frac{2\sigma_{xy} + c_2}{\sigma_x^2 + \sigma_y^2 + c_2}$
    with $c_1 = 0.01^2$, $c_2 = 0.03^2$ for pictures in [0, 1] (Wang et al. 2004, equations 6, 9 and 10). The first is
    returned times the second, which is the SSIM.
    """
    mean_x, mean_y = _blurred(x, window), _blurred(y, window)
    variance_x = _blurred(x * x, window) - mean_x.square()
    variance_y = _blurred(y * y, window) - mean_y.square()
    covariance = _blurred(x * y, window) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    luminance = (2 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
    return (luminance * structure).mean((2, 3)), structure.mean((2, 3))


def scales_that_fit(height: int, width: int, window: int) -> int:
    """How many of the five scales are no smaller than the window; at least one."""
    number = 1
    while number < len(SCALE_WEIGHTS) and min(height, width) >> number >= window:
        number += 1
    return number


def ms_ssim(x: Tensor, y: Tensor, window_size: int = 11, scales: int | None = None) -> Tensor:
    r"""Multi-scale structural similarity $\prod_j cs_j^{w_j}$, the last factor with the luminance (Wang et al. 2003, equation 7).

    Args:
        x: pictures in [0, 1], `[N, C, H, W]`.
        y: the same shape.
        window_size: of the normal window, odd; a smaller one where the picture is smaller.
        scales: how many of the five; by default as many as fit the window. Their exponents are scaled to sum to one.

    Returns:
        `[N]`, in (0, 1]; 1 for equal pictures.
    """
    height, width = x.shape[-2:]
    shorter = min(height, width)
    size = min(window_size, shorter if shorter % 2 else shorter - 1) if shorter > 1 else 1
    window = gaussian_window(size)
    number = scales or scales_that_fit(height, width, size)
    weights = torch.tensor(SCALE_WEIGHTS[:number], dtype=torch.float64)
    weights = weights / weights.sum()
    result = x.new_ones(x.shape[:2])
    for j, weight in enumerate(weights.tolist()):
        similarity, structure = ssim_terms(x, y, window)
        factor = similarity if j == number - 1 else structure
        # a power of a negative correlation has no value, and one of zero no gradient
        result = result * factor.clamp_min(1e-4) ** weight
        if j < number - 1:
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    return result.mean(1)
