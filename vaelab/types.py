"""What components tell each other: shapes, specifications, batches and contexts.

Notation used in every docstring: `B` batch, `K` importance samples (always the first axis), `*event` the axes of one
datum or one latent group. Log-densities are `[K, B]`, in nats.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from torch import Tensor

from vaelab.errors import BuildError

if TYPE_CHECKING:
    from vaelab.model import VAE

Shape = tuple[int, ...]

#: What the numbers of a datum are: bits, grey levels in [0, 1], or real numbers.
Values = Literal["binary", "unit", "real"]

#: Where a latent group lives; a posterior and a prior must agree on it. Vectors of real numbers, unit vectors, points of
#: the Poincare ball, one-hot vectors (relaxed ones while training), bits (likewise), or vectors of a code book.
Support = Literal["real", "sphere", "ball", "one_hot", "bits", "codes"]


def numel(shape: Shape) -> int:
    """Number of elements of a shape; 1 for the empty shape."""
    return math.prod(shape)


@dataclass(frozen=True)
class DataSpec:
    """What a model must know of its data before any of it is read.

    Attributes:
        shape: of one datum, without the batch: `(C, H, W)` for images, `(T, D)` for sequences, `(D,)` for vectors.
        values: what its numbers are.
        num_classes: number of labels, or None where there are none.
        condition_shape: of one datum's condition (see `Batch`), or None where there is none.
    """

    shape: Shape
    values: Values
    num_classes: int | None = None
    condition_shape: Shape | None = None


@dataclass(frozen=True)
class GroupSpec:
    """One latent group: its event shape, its support and the top-down features that its posterior may see.

    `context_shape` is the shape of `State.hidden` when the group's turn comes, or None where nothing precedes it.
    `codes` is the number of codes of a group whose support is `"codes"`.
    """

    shape: Shape
    support: Support = "real"
    context_shape: Shape | None = None
    codes: int | None = None


@dataclass(frozen=True)
class LatentSpec:
    """All latent groups in the order in which they are drawn.

    `shared` says that the groups are steps of one process, so that a posterior uses one set of weights for all.
    """

    groups: tuple[GroupSpec, ...]
    shared: bool = False

    @property
    def depth(self) -> int:
        """Number of groups."""
        return len(self.groups)


@dataclass(frozen=True, slots=True)
class Batch:
    """Some data.

    Attributes:
        x: `[B, *shape]`, float.
        y: labels `[B]`, or None.
        observed: `[B, *shape]`, True where a pixel was seen, or None when all were.
        condition: `[B, ...]` what the model is conditioned on, or None.
        complete: `[B, *shape]` the data with their hidden pixels, for metrics alone; `x` is 0 where nothing was seen.
        companion: more data that come with these, one each: the other halves of pairs, or examples with a label.
    """

    x: Tensor
    y: Tensor | None = None
    observed: Tensor | None = None
    condition: Tensor | None = None
    complete: Tensor | None = None
    companion: Batch | None = None

    def __len__(self) -> int:
        return self.x.shape[0]

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""

        def move(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.to(device, non_blocking=True)

        return Batch(
            self.x.to(device, non_blocking=True),
            move(self.y),
            move(self.observed),
            move(self.condition),
            move(self.complete),
            None if self.companion is None else self.companion.to(device),
        )


@dataclass(frozen=True, slots=True)
class State:
    """What the loop over latent groups carries from one group to the next. Never changed, only replaced.

    Attributes:
        batch_shape: `(K, B)`.
        zs: the groups drawn so far, each `[K, B, *event]`.
        hidden: top-down features `[K, B, *context_shape]`, or None.
        condition: as in `Batch`.
        data: the data in `infer`, None in `generate`.
    """

    batch_shape: tuple[int, int]
    zs: tuple[Tensor, ...] = ()
    hidden: Tensor | None = None
    condition: Tensor | None = None
    data: Batch | None = None

    def advanced(self, z: Tensor, hidden: Tensor | None = None) -> State:
        """The state after `z` was drawn, with new top-down features."""
        return replace(self, zs=(*self.zs, z), hidden=hidden)


class Split(Protocol):
    """One part (train, validation or test) of a data set."""

    spec: DataSpec

    def __len__(self) -> int: ...

    def fetch(self, index: Tensor) -> Batch:
        """The data at these positions (`[B]`, int64), preprocessed and binarised."""
        ...

    def batches(self, order: Tensor, batch_size: int) -> Iterator[Batch]:
        """The data in this order, in batches; the last one may be smaller."""
        ...

    def to(self, device: torch.device) -> Split:
        """The same split, whose batches arrive on another device."""
        ...


@dataclass(frozen=True)
class DataSplits:
    """A loaded data set with its provenance, which goes into the manifest and into every result."""

    train: Split
    validation: Split | None
    test: Split
    provenance: dict[str, Any]


@dataclass(frozen=True, slots=True)
class StepContext:
    """Where training stands; what schedules and batch statistics depend on.

    Attributes:
        step: optimiser steps done so far.
        steps_per_epoch: optimiser steps an epoch takes.
        total_steps: optimiser steps of the whole run.
        dataset_size: number of training data, for minibatch estimates.
    """

    step: int = 0
    steps_per_epoch: int = 1
    total_steps: int = 1
    dataset_size: int = 1


@dataclass
class BuildContext:
    """What is known while a model is built, filled in the order prior, encoder, posterior, likelihood, decoder.

    A component takes from it what it needs. A component that needs *another component* when it runs (a VampPrior needs
    encoder and posterior) keeps the context and asks for `context.model` then: the context is no module, so
    no tensor is registered or saved twice.
    """

    data: DataSpec
    latent: LatentSpec = field(default_factory=lambda: LatentSpec(()))
    feature_shapes: tuple[Shape, ...] = ()
    readout_shape: Shape = ()
    parameter_shape: Shape = ()
    names: dict[str, str] = field(default_factory=dict)
    _model: Callable[[], VAE | None] = lambda: None

    @property
    def model(self) -> VAE:
        """The finished model; only while it runs, not while it is being built."""
        model = self._model()
        if model is None:
            raise BuildError("a component asked for the whole model while the model was still being built")
        return model


def require_image(family: str, kind: str, data: DataSpec) -> None:
    """Refuse a component that works on images only where the data are none.

    Raises:
        BuildError: the data are not `(C, H, W)`.
    """
    if len(data.shape) != 3:
        raise BuildError(
            f"{family} '{kind}' works on images (C, H, W), and the data have shape {data.shape}. "
            f"Use the {family} 'mlp', or data with a channel axis."
        )
