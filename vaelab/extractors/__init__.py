"""Extractors: features of pictures, by which generated data are compared with real ones."""

from vaelab.extractors.base import Extracted, Extractor

__all__ = ["Extracted", "Extractor"]
