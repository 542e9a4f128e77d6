"""A run as it is explored: its model, its test data, and what is known of its latents."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from vaelab.errors import ConfigError, DataError
from vaelab.explorer.items import Column, Items, columns_of
from vaelab.explorer.moves import codes_of
from vaelab.explorer.requests import Datum, Drawn, Noise
from vaelab.explorer.units import Units, levels, radius, survey
from vaelab.inference import Generation, infer_latents
from vaelab.metrics import seeded
from vaelab.runs import Run
from vaelab.samplers import Sampler
from vaelab.types import Batch

#: Test data from which information and ranges of units are taken.
SURVEYED = 500
#: Data a pass.
_PASS = 100
#: Test data whose labels are looked up.
_LABELLED = 10_000
#: Latents that are remembered.
_REMEMBERED = 16

Latents = tuple[Tensor, ...]


class Subject:
    """One run. Not safe for several threads at once: every draw comes from the global random state.

    Args:
        run: with its weights and data.
        sampler: where whole new latents come from; fitted.

    Raises:
        RunError: the run has no weights.
        DataError: its data are not here, or there are none to test on.
    """

    def __init__(self, run: Run, sampler: Sampler[Any]) -> None:
        self.run = run
        self.model = run.model
        self.test = run.data.test
        if len(self.test) == 0:
            raise DataError(f"{run.path}: there are no test data to explore with")
        self.sampler = sampler
        self._remembered: OrderedDict[Any, Latents] = OrderedDict()
        with torch.no_grad(), seeded(0):
            order = torch.randperm(len(self.test))[:SURVEYED]
            batches = [batch.to(self.model.device) for batch in self.test.batches(order, _PASS)]
            self.units = survey(self.model, batches)
            groups = infer_latents(self.model, batches[0].rows(slice(0, 1)))[0]
        self.radii = [radius(group) for group in groups]
        self.tempered = self._why_not_tempered()
        self.items = Items(self.model.data, [batch.x for batch in batches], self._columns())

    def _columns(self) -> list[Column]:
        shape = self.model.data.shape
        if len(shape) != 1:
            return []
        # a likelihood that tells categories from numbers says which columns these are
        known = getattr(self.model.likelihood, "columns", None)
        counts = {} if known is None else dict(zip(known.categorical.tolist(), known.levels, strict=True))
        return columns_of(shape[0], self.run.data.provenance, counts)

    def _why_not_tempered(self) -> str:
        """Why the latents have no temperature, or empty."""
        try:
            with torch.no_grad(), seeded(0):
                self.draw(1, 0.9)
        except ConfigError as error:
            return str(error)
        return ""

    def draw(
        self,
        number: int,
        temperature: float = 1.0,
        condition: Tensor | None = None,
        fixed: Mapping[int, Tensor] | None = None,
    ) -> Generation:
        """New data: of the sampler, or of the prior where some groups are fixed.

        Raises:
            ConfigError: the prior or the sampler has no temperature.
        """
        try:
            if fixed:
                return self.model.generate(number, temperature, fixed, condition)
            return self.sampler.sample(number, temperature, condition)
        except ValueError as error:
            raise ConfigError(str(error)) from error

    @property
    def labels(self) -> int | None:
        """Number of labels that the model can be conditioned on, or None where it is not."""
        spec = self.model.data
        if spec.condition_shape is None or spec.condition_values != "one_hot":
            return None
        return spec.condition_shape[0]

    def condition(self, label: int | None) -> Tensor | None:
        """A label as the condition of one datum, `[1, C]`.

        Raises:
            ConfigError: the model is not conditioned on labels, or has no such one.
        """
        if label is None:
            return None
        if self.labels is None:
            raise ConfigError("this model is not conditioned on labels")
        if label >= self.labels:
            raise ConfigError(f"the labels are 0 to {self.labels - 1}, and {label} is none of them")
        return F.one_hot(torch.tensor([label]), self.labels).float().to(self.model.device)

    def datum(self, index: int, condition: int | None = None) -> Batch:
        """A datum of the test split, the same at each call, with another condition where one is given."""
        if index >= len(self.test):
            raise ConfigError(f"the test data are numbered from 0 to {len(self.test) - 1}, and there is no {index}")
        with seeded(index):  # data that are binarised anew draw while they are read
            batch = self.test.fetch(torch.tensor([index])).to(self.model.device).rows(slice(0, 1))
        given = self.condition(condition)
        return batch if given is None else replace(batch, condition=given)

    def source(self, source: Datum | Drawn, condition: int | None = None) -> Batch:
        """The datum that a request names or holds.

        Raises:
            ConfigError: it has another number of values, or the model needs a condition.
        """
        if isinstance(source, Datum):
            return self.datum(source.index, condition)
        why_not = self.items.why_not_by_hand()
        if why_not:
            raise ConfigError(why_not)
        spec = self.model.data
        size = torch.Size(spec.shape).numel()
        if len(source.values) != size:
            raise ConfigError(f"a datum of this run has {size} numbers, and {len(source.values)} were given")
        x = self.items.from_hand(source.values).unsqueeze(0).to(self.model.device)
        if spec.condition_shape is not None and condition is None:
            raise ConfigError(
                "this model is conditioned on more than the picture. Choose a label."
                if self.labels
                else "this model is conditioned on numbers that a drawing does not have. Choose one of the test data."
            )
        seen = torch.ones_like(x, dtype=torch.bool) if spec.masked else None
        return Batch(x, observed=seen, condition=self.condition(condition))

    def latents(self, base: Datum | Noise, seed: int, condition: int | None) -> tuple[Latents, Tensor | None]:
        """The latents `[1, *event]` that a request begins with, and the condition `[1, ...]` that goes with them."""
        given = self.condition(condition)
        if isinstance(base, Datum) and given is None:
            given = self.datum(base.index).condition
        if isinstance(base, Noise) and given is None and self.labels:
            # drawn here, since latents do not tell for which label they were drawn
            with seeded(seed):
                given = self.condition(int(torch.randint(self.labels, ())))
        key = (base, seed, condition)
        if key not in self._remembered:
            if isinstance(base, Datum):
                groups, _ = infer_latents(self.model, self.datum(base.index, condition), mean=True)
                zs = tuple(group.z[0] for group in groups)
            else:
                with seeded(seed):
                    zs = self.draw(1, base.temperature, given).zs
            self._remembered[key] = zs
            while len(self._remembered) > _REMEMBERED:
                self._remembered.popitem(last=False)
        return self._remembered[key], given

    def group(self, number: int) -> Units:
        """The units of a group.

        Raises:
            ConfigError: there is no such group.
        """
        if number >= len(self.units):
            raise ConfigError(
                f"the model has {len(self.units)} latent groups, counted from 0, and there is no {number}"
            )
        return self.units[number]

    def values(self, z: Tensor, group: int) -> list[float]:
        """The value of each unit of a latent `[1, *event]`, in the order of their numbers."""
        if self.units[group].control == "code":
            found = codes_of(self.model, z, group)[0].flatten()
        else:
            found = levels(z, self.model.prior.latent.groups[group])[0]
        return [round(value, 5) for value in found.cpu().double().tolist()]

    def chosen(self, seed: int, number: int, label: int | None) -> list[int]:
        """Test data chosen at random, of a label where one is given.

        Raises:
            ConfigError: there are no such data.
        """
        among = min(len(self.test), _LABELLED)
        with seeded(seed):
            order = torch.randperm(among)
        if label is None:
            return order[:number].tolist()
        found = []
        for batch, rows in zip(self.test.batches(order, 1000), order.split(1000), strict=True):
            if batch.y is None or batch.y.ndim != 1:
                raise ConfigError("these data have no labels to choose by")
            found += rows[(batch.y.cpu() == label)].tolist()
            if len(found) >= number:
                break
        if not found:
            raise ConfigError(f"there are no test data of label {label}")
        return found[:number]
