"""Objectives: what training minimises, one loss a player."""

from vaelab.objectives.base import MODEL, Loss, Objective, ObjectiveConfig

__all__ = ["MODEL", "Loss", "Objective", "ObjectiveConfig"]
