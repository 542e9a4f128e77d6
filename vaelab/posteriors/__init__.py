"""Posteriors: features (and top-down state) to q(z_i | z_<i, x)."""

from vaelab.posteriors.base import Posterior, PosteriorConfig

__all__ = ["Posterior", "PosteriorConfig"]
