"""Training: one loop over steps and players, with checkpoints from which it goes on bit for bit."""

from vaelab.errors import StoppedError
from vaelab.training.loop import Reporter, Trainer

__all__ = ["Reporter", "StoppedError", "Trainer"]
