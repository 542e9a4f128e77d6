"""Figures: pictures of a trained model."""

from vaelab.figures.base import Figure, FigureContext

__all__ = ["Figure", "FigureContext"]
