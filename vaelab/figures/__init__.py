"""Figures: pictures of a trained model."""

from vaelab.figures.base import Figure, FigureContext
from vaelab.figures.tiles import as_picture, mosaic

__all__ = ["Figure", "FigureContext", "as_picture", "mosaic"]
