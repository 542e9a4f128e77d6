"""Training: one loop over steps and players, with checkpoints from which it goes on bit for bit."""

from vaelab.training.loop import Reporter, StoppedError, Trainer

__all__ = ["Reporter", "StoppedError", "Trainer"]
