"""Names for the parts of a step, put on for the steps that are profiled and taken off afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any
from weakref import WeakSet

from torch.profiler import record_function

from vaelab.distributions import Distribution
from vaelab.objectives.terms import WithTerms
from vaelab.training import Trainer

#: Of the names of marks, so that they can be told from operations.
PREFIX = "vaelab:"
#: What a distribution does for its owner.
_OF_DISTRIBUTIONS = ("draw", "rsample", "sample", "log_prob", "log_prob_where", "log_prob_terms")
_ABSENT = object()


class Marks:
    """Replaces methods of single objects by ones that are recorded under a name; `remove` puts all back.

    Classes stay as they are, so a step costs nothing before and after.
    """

    def __init__(self) -> None:
        self._before: list[tuple[object, str, object]] = []
        self._distributions: WeakSet[Distribution] = WeakSet()

    def mark(self, owner: object, method: str, name: str, *, result: str | None = None) -> None:
        """Record a method under a name; where it makes a distribution, that one's work under the name `result`."""
        inner: Callable[..., Any] = getattr(owner, method)
        label = PREFIX + name

        def marked(*args: Any, **kwargs: Any) -> Any:
            with record_function(label):
                made = inner(*args, **kwargs)
            if result is not None and isinstance(made, Distribution):
                self._mark_distribution(made, result)
            return made

        self.put(owner, method, marked)

    def put(self, owner: object, method: str, replacement: object) -> None:
        """Replace a method."""
        self._before.append((owner, method, vars(owner).get(method, _ABSENT)))
        setattr(owner, method, replacement)

    def _mark_distribution(self, distribution: Distribution, name: str) -> None:
        if distribution in self._distributions:  # a prior may return the same one in each step
            return
        self._distributions.add(distribution)
        for method in _OF_DISTRIBUTIONS:
            setattr(distribution, method, _under(getattr(distribution, method), PREFIX + name))

    def remove(self) -> None:
        """Put everything back."""
        for owner, method, before in reversed(self._before):
            if before is _ABSENT:
                delattr(owner, method)
            else:
                setattr(owner, method, before)
        for distribution in self._distributions:
            for method in _OF_DISTRIBUTIONS:
                vars(distribution).pop(method, None)
        self._before, self._distributions = [], WeakSet()


def recorded(iterator: Iterator[Any], name: str, active: Callable[[], bool]) -> Iterator[Any]:
    """The same items, each of which is awaited under a name while `active` says so."""
    end = object()
    while True:
        with record_function(PREFIX + name) if active() else nullcontext():
            item = next(iterator, end)
        if item is end:
            return
        yield item


def _under(function: Callable[..., Any], label: str) -> Callable[..., Any]:
    def marked(*args: Any, **kwargs: Any) -> Any:
        with record_function(label):
            return function(*args, **kwargs)

    return marked


def mark_training(marks: Marks, trainer: Trainer) -> None:
    """Name the parts of a trainer's step.

    A compiled forward pass is one part: names inside it would change what is compiled.
    """
    update = trainer.update
    marks.mark(update, "backward", "backward")
    if trainer.processes.many:
        marks.mark(update, "exchange", "exchange of gradients")
    marks.mark(update.guard, "begin", "guard")
    marks.mark(update.guard, "look", "guard")
    marks.mark(update.sums, "add", "sums of terms")
    for optimiser in update.optimisers.values():
        marks.mark(optimiser, "clear", "optimiser")
        marks.mark(optimiser, "step", "optimiser")
    if update.average is not None:
        marks.mark(update.average, "update", "averaging")
    marks.mark(trainer.reporter, "advance", "progress")
    marks.mark(update, "run", "compiled forward pass" if trainer.config.compile else "objective")
    if not trainer.config.compile:
        _mark_model(marks, trainer)


def _mark_model(marks: Marks, trainer: Trainer) -> None:
    model, objective = trainer.model, trainer.objective
    marks.mark(model.encoder, "features", "encoder")
    marks.mark(model.posterior, "group", "posterior", result="posterior")
    for method in ("initial", "advance", "readout"):
        marks.mark(model.prior, method, "prior")
    marks.mark(model.prior, "group", "prior", result="prior")
    marks.mark(model.decoder, "distribution", "decoder", result="likelihood")
    # a decoder that feeds data back runs when its distribution is asked
    marks.mark(model.decoder, "forward", "decoder")
    marks.mark(model.likelihood, "forward", "likelihood")
    if isinstance(objective, WithTerms):
        for divergence in objective.terms():
            marks.mark(divergence, "forward", f"divergence {divergence.name}")
            if divergence.adversary is not None:
                marks.mark(divergence.adversary, "loss", f"adversary of {divergence.name}")
