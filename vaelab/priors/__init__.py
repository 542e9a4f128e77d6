"""Priors: p(z_i | z_<i), and the shape of the latents."""

from vaelab.priors.base import FlatPrior, LatentShape, Prior

__all__ = ["FlatPrior", "LatentShape", "Prior"]
