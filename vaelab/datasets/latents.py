"""Latents of a finished run as data."""

from __future__ import annotations

import copy
from functools import cached_property
from typing import Any, Literal, Self

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from vaelab.datasets.base import Dataset
from vaelab.datasets.condition import condition_of
from vaelab.datasets.memory import MemorySplit
from vaelab.datasets.wrapped import WrappedSplit
from vaelab.errors import BuildError, DataError, RunError
from vaelab.inference import infer_latents
from vaelab.latents import LatentVector, checksum
from vaelab.model import VAE
from vaelab.provenance import config_hash
from vaelab.registry import DATASETS, ComponentConfig
from vaelab.runs import Run, load_run
from vaelab.section import PathText
from vaelab.types import Batch, DataSpec, DataSplits, Split

#: Data encoded at a time.
_BATCH = 500


class LatentsConfig(ComponentConfig):
    """Arguments of the latents of a run."""

    kind: Literal["latents"] = "latents"

    run: PathText
    """The run: its directory, or the name of an experiment for its newest run. Relative to where the command runs."""

    draws: Literal["fresh", "fixed", "means"] = "fresh"
    """A new draw of the posterior each time a datum is looked at, one draw for all time, or the posterior's mean."""

    draw_seed: NonNegativeInt = 0
    """Seed of the one draw."""

    groups: PositiveInt | None = None
    """The first so many latent groups, laid end to end; null for all."""

    condition: Literal["none", "label"] = "none"
    """What a conditional model is told of each datum: nothing, or its label as a one-hot vector."""

    @classmethod
    def example(cls) -> Self:
        return cls(run="runs/baseline")


@DATASETS.register(LatentsConfig)
class Latents(Dataset[Any]):
    """The latents that a finished run gives to its own data, as vectors, with the labels of the data.

    What a second model is trained on (Dai & Wipf 2019): any model and objective, as an experiment of its own. The sampler
    `two_stage` then draws latents from that run and decodes them by the first. Training, validation and test data are those
    of the first run.

    The provenance holds the hash of the first run's config and a checksum of its weights, not its place: a second run is
    resumed and evaluated wherever the first one lies, as long as `run` leads to it, and is refused where another run is
    found there.

    *Cost*: one pass of the first run's encoder over all data; with fresh draws one draw a datum and epoch.
    """

    @cached_property
    def _first(self) -> Run:
        try:
            run = load_run(self.config.run, "cpu")
        except RunError as error:
            raise DataError(
                f"dataset 'latents': the run '{self.config.run}' whose latents are wanted is not here ({error}) Bring it back, "
                "or set data.run to where it is."
            ) from error
        _refuse_circle(run)
        return run

    @cached_property
    def _model(self) -> VAE:
        return self._first.model

    @property
    def spec(self) -> DataSpec:
        """A vector of real numbers, with the classes of the first run's data."""
        first = self._model
        classes = first.data.num_classes
        if self.config.condition == "label" and classes is None:
            raise BuildError(
                "dataset 'latents': the data of the run have no labels that could be the condition. Set "
                '"condition": "none".'
            )
        condition = (classes,) if self.config.condition == "label" and classes is not None else None
        return DataSpec((self._vector.size,), "real", classes, condition)

    @property
    def _vector(self) -> LatentVector:
        return LatentVector.of(self._model.prior.latent, "dataset 'latents'", self.config.groups)

    def load(self) -> DataSplits:
        """Read the first run's data; what is drawn once is encoded here."""
        run, data, spec = self._first, self._first.data, self.spec
        splits = {"train": data.train, "validation": data.validation, "test": data.test}
        encoded = {
            name: None if split is None else EncodedSplit(split, spec, self._model, self._vector)
            for name, split in splits.items()
        }
        made: dict[str, Split | None] = dict(encoded)
        if self.config.draws != "fresh":
            # the same latents in every run on these, whatever its own seed
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.config.draw_seed)
                mean = self.config.draws == "means"
                made = {name: None if split is None else split.frozen(mean=mean) for name, split in encoded.items()}
        files = {"config": config_hash(run.experiment), "weights": checksum(self._model)}
        provenance = {
            "source": f"latents of {run.experiment.name}/{run.path.resolve().name}",
            "files": files,
            "binarisation": "none",
            "draws": self.config.draws,
            "sizes": data.provenance.get("sizes"),
            "first": data.provenance,
        }
        train, test = made["train"], made["test"]
        assert train is not None
        assert test is not None
        return DataSplits(train, made["validation"], test, provenance)


def _refuse_circle(run: Run) -> None:
    """Runs on the latents of runs end at a run on data; a damaged or a copied config may lead back.

    Raises:
        DataError: a run is met again.
    """
    seen = {run.path.resolve()}
    while isinstance(config := run.experiment.data, LatentsConfig):
        run = load_run(config.run, "cpu")
        if run.path.resolve() in seen:
            raise DataError(
                f"dataset 'latents': the run {run.path} is made of its own latents. Set data.run to a run on other data."
            )
        seen.add(run.path.resolve())


class EncodedSplit(WrappedSplit):
    """A split that encodes the data of another by a trained model, anew at each fetch.

    Args:
        inner: the data.
        spec: of a latent vector.
        model: encodes them, on the device of the data.
        vector: how latents become a vector.
    """

    def __init__(self, inner: Split, spec: DataSpec, model: VAE, vector: LatentVector) -> None:
        super().__init__(inner, spec)
        self.model = model
        self.vector = vector

    def to(self, device: torch.device) -> Self:
        moved = super().to(device)
        if self.model.device != device:
            moved.model = copy.deepcopy(self.model).to(device)
        return moved

    def change(self, batch: Batch, index: Tensor) -> Batch:
        return self._encoded(batch, mean=False)

    def _encoded(self, batch: Batch, *, mean: bool) -> Batch:
        with self.model.evaluating(), torch.no_grad():
            groups, _ = infer_latents(self.model, batch, mean=mean)
        return Batch(self.vector.drawn(groups), batch.y, condition=condition_of(self.spec, batch.y))

    def frozen(self, *, mean: bool) -> MemorySplit:
        """All data encoded once, in memory."""
        batches = [
            self._encoded(batch, mean=mean) for batch in self.inner.batches(torch.arange(len(self.inner)), _BATCH)
        ]
        labels = [batch.y for batch in batches if batch.y is not None]
        y = torch.cat(labels) if labels else None
        return MemorySplit(self.spec, torch.cat([batch.x for batch in batches]), y)
