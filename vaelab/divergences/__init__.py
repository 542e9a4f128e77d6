"""Divergences and penalties: what is added to the distortion, per sample, in nats."""

from vaelab.divergences.base import Adversary, Divergence, DivergenceConfig

__all__ = ["Adversary", "Divergence", "DivergenceConfig"]
