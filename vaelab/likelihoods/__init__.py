"""Likelihoods: parameters to p(x | z)."""

from vaelab.likelihoods.base import Likelihood

__all__ = ["Likelihood"]
