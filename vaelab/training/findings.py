"""What is NaN or infinite in a step: words for it, and a folder to study."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from vaelab.errors import NonFiniteError, StorageError
from vaelab.inference import infer
from vaelab.model import VAE
from vaelab.processes import ALONE, Processes
from vaelab.training.checkpoint import save_checkpoint
from vaelab.training.guard import Trouble
from vaelab.training.update import Update
from vaelab.types import Batch, Split
from vaelab.wording import some

_log = logging.getLogger("vaelab")
_TOLD = 3
"""Warnings after which steps are only counted."""


class Findings:
    """Tells of steps that are not finite, as `training.on_nonfinite` says.

    Args:
        update: what takes the steps.
        data: that they see.
        folder: where the state goes when the training stops.
        processes: who train together; all of them find the same.
    """

    def __init__(self, update: Update, data: Split, folder: Path, processes: Processes = ALONE) -> None:
        self.processes = processes
        self.update = update
        self.data = data
        self.folder = folder
        self.number = 0

    def report(self, trouble: Trouble, rows: Tensor) -> None:
        """A step was not finite.

        Args:
            trouble: what the guard found.
            rows: positions of the data that the step saw.

        Raises:
            NonFiniteError: `training.on_nonfinite` is "stop"; the state was written for study.
        """
        policy = self.update.config.on_nonfinite
        words = f"step {trouble.step + 1}: {self._what(trouble)}"
        seen = f"training data {some([str(row) for row in rows.tolist()])}"
        self.number += 1
        if policy == "stop":
            with suppress(StorageError):  # what was found is the more important news
                self._save(trouble, rows)
            groups = _bad_groups(self.update.model, self.data.fetch(rows))
            raise NonFiniteError(
                f"{words}{groups}; the batch was {seen}. The weights are those before the step; they, the gradients and the "
                f"batch are in {self.folder}. Lower the learning rate, set training.gradient_clip, look at the scales "
                'that the posterior and the likelihood predict, or leave such steps out with training.on_nonfinite "skip".'
            )
        if self.number <= _TOLD:
            taken = "it was left out" if policy == "skip" else "it was taken nevertheless"
            last = ". Further ones are not told" if self.number == _TOLD else ""
            _log.warning("%s; the batch was %s; %s%s", words, seen, taken, last)

    def _what(self, trouble: Trouble) -> str:
        """Terms, weights and gradients that are not finite."""
        named = self.update.forward.named_parameters()
        weights = [name for name, parameter in named if not parameter.detach().isfinite().all()]
        kinds = (("", trouble.terms), ("the weights ", weights), ("the gradients of ", trouble.gradients))
        return ", ".join(f"{kind}{these_are(names)} NaN or infinite" for kind, names in kinds if names)

    def _save(self, trouble: Trouble, rows: Tensor) -> None:
        tensors, state = self.update.state()
        if not self.processes.main:
            return
        named = self.update.forward.named_parameters()
        tensors |= {f"gradient/{name}": p.grad for name, p in named if p.grad is not None}
        tensors["batch/x"] = self.data.fetch(rows).x
        found = {"terms": trouble.terms, "gradients": trouble.gradients, "rows": rows.tolist()}
        save_checkpoint(self.folder, trouble.step, tensors, {**state, **found})


def these_are(names: Sequence[str]) -> str:
    """The first names of many, with the verb."""
    return f"{some(names, 3)} {'is' if len(names) == 1 else 'are'}"


@torch.no_grad()
def _bad_groups(model: VAE, batch: Batch) -> str:
    """The latent groups whose rates are not finite on a batch, with new draws."""
    with model.evaluating():
        trace = infer(model, batch)
        bad = [str(i) for i in range(len(trace.groups)) if not trace.rate(i).isfinite().all()]
    return f" (so is the rate of latent group {', '.join(bad)})" if bad else ""
