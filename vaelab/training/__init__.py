"""Training: one loop over steps and players, with checkpoints from which it goes on bit for bit."""

from vaelab.training.loop import StoppedError, Trainer

__all__ = ["StoppedError", "Trainer"]
