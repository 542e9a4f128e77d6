"""Encoders: x to features."""

from vaelab.encoders.base import Encoder

__all__ = ["Encoder"]
