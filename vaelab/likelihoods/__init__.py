"""Likelihoods: parameters to p(x | z)."""

from vaelab.likelihoods.base import Likelihood, require_unit_interval

__all__ = ["Likelihood", "require_unit_interval"]
