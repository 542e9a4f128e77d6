"""What components tell each other: shapes, specifications, batches and contexts.

Notation used in every docstring: `B` batch, `K` importance samples (always the first axis), `*event` the axes of one
datum or one latent group. Log-densities are `[K, B]`, in nats.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from torch import Tensor

from vaelab.errors import BuildError

if TYPE_CHECKING:
    from vaelab.model import VAE

Shape = tuple[int, ...]

#: What can come with a training datum: a datum like it, or one whose label is known.
Companion = Literal["pair", "labelled"]

#: What the numbers of a datum are: bits, grey levels in [0, 1], or real numbers.
Values = Literal["binary", "unit", "real"]

#: Where a latent group lives; a posterior and a prior must agree on it. Vectors of real numbers, of positive ones, unit vectors, points of
#: the Poincare ball, one-hot vectors (relaxed ones while training), bits (likewise), or vectors of a code book.
Support = Literal["real", "positive", "sphere", "ball", "one_hot", "bits", "codes"]


def numel(shape: Shape) -> int:
    """Number of elements of a shape; 1 for the empty shape."""
    return math.prod(shape)


@dataclass(frozen=True)
class Factor:
    """A known factor of the data, such as a position, with its number of values 0, 1, 2, ..."""

    name: str
    size: int


@dataclass(frozen=True)
class DataSpec:
    """What a model must know of its data before any of it is read.

    Attributes:
        shape: of one datum, without the batch: `(C, H, W)` for images, `(T, D)` for sequences, `(D,)` for vectors.
        values: what its numbers are.
        num_classes: number of labels, or None where there are none.
        condition_shape: of one datum's condition (see `Batch`), or None where there is none.
        condition_values: what a condition is: a label as a one-hot vector, or real numbers.
        masked: whether some pixels are hidden, so that batches say which were observed.
        companion: what comes with each training datum as `Batch.companion`, or None.
        factors: the known factors of each datum, or none; batches carry their values.
    """

    shape: Shape
    values: Values
    num_classes: int | None = None
    condition_shape: Shape | None = None
    condition_values: Literal["one_hot", "real"] = "one_hot"
    masked: bool = False
    companion: Companion | None = None
    factors: tuple[Factor, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """What a manifest says of it."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> DataSpec:
        """The inverse of `to_json`.

        Raises:
            TypeError: a key is unknown, or one is missing.
        """
        condition = content.get("condition_shape")
        changed = {
            "shape": tuple(content["shape"]),
            "condition_shape": None if condition is None else tuple(condition),
            "factors": tuple(Factor(**factor) for factor in content.get("factors", ())),
        }
        return cls(**{**content, **changed})


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

    `shared` says that the groups are steps of one process, so that a posterior uses one set of weights for all. Where only
    some are, `processes` numbers the process of each group in place of it, as `(0, 1, 1, 1)` for one group and three steps.
    """

    groups: tuple[GroupSpec, ...]
    shared: bool = False
    processes: tuple[int, ...] | None = None

    @property
    def depth(self) -> int:
        """Number of groups."""
        return len(self.groups)

    @property
    def weights(self) -> tuple[int, ...]:
        """For each group, which set of weights a posterior uses; sets are counted in the order of the groups."""
        if self.processes is not None:
            order = list(dict.fromkeys(self.processes))
            return tuple(order.index(process) for process in self.processes)
        return (0,) * self.depth if self.shared else tuple(range(self.depth))


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
        factors: `[B, F]`, int64, the values of `DataSpec.factors`, or None; for metrics and for making pairs.
    """

    x: Tensor
    y: Tensor | None = None
    observed: Tensor | None = None
    condition: Tensor | None = None
    complete: Tensor | None = None
    companion: Batch | None = None
    factors: Tensor | None = None

    def __len__(self) -> int:
        return self.x.shape[0]

    def map(self, function: Callable[[Tensor], Tensor]) -> Batch:
        """The batch with every tensor of its own changed by a function; the companion stays as it is."""
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        changed: dict[str, Any] = {name: function(value) for name, value in own.items() if isinstance(value, Tensor)}
        return replace(self, **changed)

    def rows(self, index: slice | Tensor) -> Batch:
        """Some of the data, without a companion."""
        return replace(self.map(lambda tensor: tensor[index]), companion=None)

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        moved = self.map(lambda tensor: tensor.to(device, non_blocking=True))
        return moved if self.companion is None else replace(moved, companion=self.companion.to(device))


@dataclass(frozen=True, slots=True)
class State:
    """What the loop over latent groups carries from one group to the next. Never changed, only replaced.

    Attributes:
        batch_shape: `(K, B)`.
        zs: the groups drawn so far, each `[K, B, *event]`.
        hidden: top-down features `[K, B, *context_shape]`, or None.
        condition: as in `Batch`.
        data: the data in `infer`. None in `generate`, unless a prior that feeds data back has drawn them by the end.
        expected: whether such a prior feeds back the mean in place of a draw, as `generate` does where all latents are given.
    """

    batch_shape: tuple[int, int]
    zs: tuple[Tensor, ...] = ()
    hidden: Tensor | None = None
    condition: Tensor | None = None
    data: Batch | None = None
    expected: bool = False

    def advanced(self, z: Tensor, hidden: Tensor | None = None) -> State:
        """The state after `z` was drawn, with new top-down features."""
        if type(self) is State:  # cheaper than `replace`, which a loop over groups feels
            return State(self.batch_shape, (*self.zs, z), hidden, self.condition, self.data, self.expected)
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
