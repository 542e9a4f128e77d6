"""Samplers: new data from a trained model."""

from vaelab.samplers.base import Sampler

__all__ = ["Sampler"]
