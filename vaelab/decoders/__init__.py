"""Decoders: latents to the parameters of the likelihood."""

from vaelab.decoders.base import Decoder

__all__ = ["Decoder"]
