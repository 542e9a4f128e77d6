"""What data are: sizes, channels, values, and the likelihoods that fit them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from vaelab.errors import ConfigError
from vaelab.registry import DATASETS
from vaelab.scaffold.recognise import Proposal, recognise
from vaelab.slots import describe
from vaelab.types import Batch, DataSpec, DataSplits, numel

#: Data that are looked at.
_SAMPLE = 2000
#: Share of grey levels near black or white above which pictures are taken for drawings in black and white.
_BIMODAL = 0.75


@dataclass(frozen=True)
class Suggestion:
    """A likelihood that fits.

    Attributes:
        likelihood: its JSON.
        data: keys that the data set needs with it.
        reason: in a sentence.
    """

    likelihood: dict[str, Any]
    data: dict[str, Any]
    reason: str


@dataclass(frozen=True)
class Inspection:
    """What was found.

    Attributes:
        data: the JSON of the data set.
        spec: of one datum, before a likelihood was chosen.
        sizes: number of data in each split.
        facts: of the training data, in words.
        notes: what is worth a second look.
        likelihoods: those that fit, the first of them first choice.
        levels: of each column of a table, as in `Proposal`.
        components: principal components that hold 90 % of the variance of the data that were looked at.
    """

    data: dict[str, Any]
    spec: DataSpec
    sizes: dict[str, int]
    facts: dict[str, str]
    notes: tuple[str, ...]
    likelihoods: tuple[Suggestion, ...]
    levels: tuple[int | None, ...]
    components: int

    def to_json(self) -> dict[str, Any]:
        """What `inspect --json` prints."""
        return {
            "data": self.data,
            "shape": list(self.spec.shape),
            "values": self.spec.values,
            "num_classes": self.spec.num_classes,
            "sizes": self.sizes,
            "facts": self.facts,
            "notes": list(self.notes),
            "likelihoods": [asdict(suggestion) for suggestion in self.likelihoods],
            "components": self.components,
        }


def inspect_data(data: str, *, limit: int = _SAMPLE) -> Inspection:
    """Look at data, and say which data set reads them and which likelihoods fit.

    Args:
        data: a file, a folder, the kind of a data set, or its JSON.
        limit: number of data that are looked at.

    Raises:
        ConfigError: there is nothing of that name, or the JSON is not valid.
        DataError: the data cannot be read.
    """
    proposal = recognise(data)
    kind = proposal.data.get("kind")
    if not isinstance(kind, str):
        raise ConfigError("DATA is a JSON object without a 'kind'. Add one, such as \"mnist\".")
    config_type = DATASETS[kind].config
    # pictures are decoded when they are looked at, not all of them at once
    lazily = {name: 0 for name in ("memory_limit", "workers") if name in config_type.model_fields}
    try:
        dataset = DATASETS.build(config_type.model_validate({**proposal.data, **lazily}))
    except ValidationError as error:
        raise ConfigError(describe(error, "DATA", proposal.data, config_type)) from error
    splits: DataSplits = dataset.load()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        rows = torch.randperm(len(splits.train))[:limit]
        batch = splits.train.fetch(rows)
    seen = batch.x.flatten(1)
    components = _components(seen)
    return Inspection(
        proposal.data,
        dataset.spec,
        {name: number for name, number in splits.provenance["sizes"].items() if number},
        _facts(dataset.spec, splits, batch, components),
        (*proposal.notes, *_warnings(dataset.spec, seen, len(splits.train))),
        tuple(_suggestions(dataset.spec, seen, proposal)),
        tuple(proposal.levels),
        components,
    )


def _components(seen: Tensor) -> int:
    """Principal components that hold 90 % of the variance of `[N, D]`; at most 1000 data and 2048 numbers are used."""
    sample = seen[:1000]
    if sample.shape[1] > 2048:
        sample = sample[:, torch.linspace(0, sample.shape[1] - 1, 2048).long()]
    centred = (sample - sample.mean(0)).double()
    gram = centred @ centred.T if len(centred) < centred.shape[1] else centred.T @ centred
    variances = torch.linalg.eigvalsh(gram).clamp_min(0).flip(0)
    if not float(variances.sum()) > 0:
        return 1
    shares = variances.cumsum(0) / variances.sum()
    return int((shares < 0.9).sum()) + 1


def _facts(spec: DataSpec, splits: DataSplits, batch: Batch, components: int) -> dict[str, str]:
    x = batch.x
    facts = {
        "shape": " x ".join(map(str, spec.shape)) + f" ({_axes(spec)})",
        "values": {"binary": "bits", "unit": "grey levels in [0, 1]", "real": "real numbers"}[spec.values],
        "data": ", ".join(f"{name} {number:,}" for name, number in splits.provenance["sizes"].items() if number),
        "range": f"{float(x.min()):.4g} to {float(x.max()):.4g}, mean {float(x.mean()):.4g}, deviation {float(x.std()):.4g}",
        "variance": f"{components} principal components hold 90 % of it ({len(x):,} data looked at)",
    }
    if spec.values == "unit":
        facts["black or white"] = f"{_extreme(x):.0%} of the numbers are below 0.02 or above 0.98"
    if batch.observed is not None:
        facts["missing"] = f"{1 - float(batch.observed.float().mean()):.1%} of the numbers"
    if batch.y is not None:
        counts = batch.y.bincount()
        names = splits.provenance.get("classes") or list(range(len(counts)))
        shares = ", ".join(
            f"{name} {count / len(batch.y):.0%}" for name, count in zip(names, counts.tolist(), strict=False)
        )
        facts["classes"] = f"{spec.num_classes or len(counts)}: {shares}" if len(counts) <= 12 else str(len(counts))
    return facts


def _axes(spec: DataSpec) -> str:
    return {1: "numbers", 2: "steps, numbers a step", 3: "channels, height, width"}.get(len(spec.shape), "axes")


def _extreme(x: Tensor) -> float:
    return float(((x < 0.02) | (x > 0.98)).float().mean())


def _warnings(spec: DataSpec, seen: Tensor, number: int) -> list[str]:
    notes = []
    if len(seen.unique(dim=0)) < 0.9 * len(seen) and numel(spec.shape) > 4:
        notes.append(f"{1 - len(seen.unique(dim=0)) / len(seen):.0%} of the data looked at are copies of others.")
    if spec.values == "real" and not 0.1 < float(seen.std()) < 10:
        notes.append(
            f"The numbers have a standard deviation of {float(seen.std()):.3g}. Networks start at the order of one: scale the "
            "data, or learn the likelihood's scale."
        )
    if number < 500:
        notes.append(
            f"{number} training data are few: expect a gap between training and test, and keep the model small."
        )
    return notes


def _suggestions(spec: DataSpec, seen: Tensor, proposal: Proposal) -> list[Suggestion]:
    """Likelihoods, the first choice first."""
    if any(proposal.levels):
        columns = [[column, levels] for column, levels in enumerate(proposal.levels) if levels]
        return [
            Suggestion(
                {"kind": "mixed_columns", "categorical": columns}, {}, "some columns are categories, which have no mean"
            )
        ]
    if spec.values == "binary":
        return [Suggestion({"kind": "bernoulli"}, {}, "the data are bits")]
    learned = {"kind": "normal", "sigma": "learned"}
    if spec.values == "real":
        robust = Suggestion({"kind": "student_t"}, {}, "for data with outliers")
        return [Suggestion(learned, {}, "any real number can be scored, and the scale is learned"), robust]
    optimal = Suggestion(
        {"kind": "normal", "sigma": "optimal"},
        {},
        "a normal whose scale fits the batch: sharp pictures without tuning a weight",
    )
    logistic = Suggestion(
        {"kind": "discretised_logistic"}, {}, "a probability of 256 levels, for values in bits per dimension"
    )
    continuous = Suggestion({"kind": "continuous_bernoulli"}, {}, "a density on [0, 1] for grey levels as they are")
    if spec.shape[0] == 1 and _extreme(seen) > _BIMODAL:
        bits = Suggestion(
            {"kind": "bernoulli"},
            {"binarisation": "dynamic"},
            f"{_extreme(seen):.0%} of the numbers are nearly black or white, so that pixels are drawn as bits",
        )
        return [bits, continuous, optimal]
    if len(spec.shape) == 3:
        return [optimal, logistic, *([continuous] if spec.shape[0] == 1 else [])]
    return [optimal, continuous]
