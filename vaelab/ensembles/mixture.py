"""Several trained runs as one density: their mixture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vaelab.ensembles.scores import Scores, fit_weights, mixture_log_prob, score
from vaelab.errors import BuildError, ConfigError
from vaelab.evaluation.images import grid, save_png
from vaelab.evaluation.tables import written
from vaelab.files import write_json
from vaelab.metrics import Value, averaged, has_density, seeded
from vaelab.runs import Run, load_run
from vaelab.wording import brief_json

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Ensemble:
    r"""The mixture $p(x) = \sum_m w_m p_m(x)$ of trained runs, evaluated on the test data. Made by `ensemble`.

    Attributes:
        runs: the members.
        weights: `[M]`, float64.
        fitted_to: the split that the weights were fitted to, or None where they are equal.
        scores: of the test data.
        samples: K, importance samples a datum and member.
        seed: of every draw.
        limit: how many data of each split were used at most.
    """

    runs: tuple[Run, ...]
    weights: Tensor
    fitted_to: str | None
    scores: Scores
    samples: int
    seed: int
    limit: int | None

    @property
    def nll(self) -> Value:
        r"""Mean of $-\log\sum_m w_m \hat p_m(x)$, an upper bound of the mixture's negative log-likelihood in expectation."""
        return averaged([-mixture_log_prob(self.scores.log_p, self.weights)], better="lower")

    @property
    def negative_elbo(self) -> Value:
        r"""Mean of $-\log\sum_m w_m e^{\mathrm{ELBO}_m(x)}$, a looser bound.

        The ELBO is estimated by the mean of K log-weights, and $e^{\frac1K\sum\log w} \le \frac1K\sum w$ holds sample by
        sample, so the estimate is no less than `nll`.
        """
        return averaged([-mixture_log_prob(self.scores.elbo, self.weights)], better="lower")

    def member_nll(self, member: int) -> Value:
        """The importance-sampled negative log-likelihood of one member."""
        return averaged([-self.scores.log_p[member]], better="lower")

    def member_negative_elbo(self, member: int) -> Value:
        """The negative ELBO of one member."""
        return averaged([-self.scores.elbo[member]], better="lower")

    @property
    def best(self) -> int:
        """The member with the lowest negative log-likelihood on the test data."""
        return int(self.scores.log_p.mean(1).argmax())

    @property
    def gain(self) -> Value:
        """Mean over the data of the mixture's negative log-likelihood less that of the best member; below 0 where mixing
        helps. Its standard error is that of the paired differences."""
        mixture = mixture_log_prob(self.scores.log_p, self.weights)
        return averaged([self.scores.log_p[self.best] - mixture], better="lower")

    def sample(self, number: int, *, seed: int = 0) -> Tensor:
        """E[x | z] `[number, *shape]` for z drawn from the prior of a member that is drawn by the weights."""
        with seeded(seed), torch.no_grad():
            chosen = torch.multinomial(self.weights, number, replacement=True)
            pictures = torch.empty(number, *self.runs[0].model.data.shape)
            for member, run in enumerate(self.runs):
                rows = chosen == member
                if bool(rows.any()):
                    with run.model.evaluating():
                        pictures[rows] = run.model.generate(int(rows.sum())).mean.cpu().float()
        return pictures

    def to_json(self) -> dict[str, Any]:
        """What goes into ensemble.json; values are nats a datum."""
        members = [
            {
                "run": str(run.path),
                "weight": float(weight),
                f"nll_is{self.samples}": _plain(self.member_nll(member)),
                "negative_elbo": _plain(self.member_negative_elbo(member)),
            }
            for member, (run, weight) in enumerate(zip(self.runs, self.weights, strict=True))
        ]
        return {
            "split": "test",
            "number": self.scores.log_p.shape[1],
            "samples": self.samples,
            "limit": self.limit,
            "seed": self.seed,
            "weights_fitted_to": self.fitted_to,
            "members": members,
            "mixture": {f"nll_is{self.samples}": _plain(self.nll), "negative_elbo": _plain(self.negative_elbo)},
            "difference_to_best": {"member": str(self.runs[self.best].path), **_plain(self.gain)},
            "data": _provenance(self.runs[0]),
        }

    def table(self) -> Table:
        """Weight, negative log-likelihood and negative ELBO of each member and of the mixture."""
        from rich.markup import escape
        from rich.table import Table

        how = f"fitted to the {self.fitted_to} data" if self.fitted_to else "equal"
        rows = Table(
            title=f"Ensemble (test split, {self.scores.log_p.shape[1]:,} data, weights {how})",
            title_justify="left",
            caption=f"Mixture less the best member, paired: {written(self.gain)} nats.",
            caption_justify="left",
        )
        rows.add_column("member", overflow="fold")
        for name in ("weight", f"nll_is{self.samples} ↓", "negative_elbo ↓"):
            rows.add_column(name, justify="right", no_wrap=True)
        for member, run in enumerate(self.runs):
            mark = " (best)" if member == self.best else ""
            values = written(self.member_nll(member)), written(self.member_negative_elbo(member))
            rows.add_row(
                escape(f"{run.experiment.name}/{run.path.name}{mark}"), f"{float(self.weights[member]):.3f}", *values
            )
        rows.add_section()
        rows.add_row("mixture", "1.000", written(self.nll), written(self.negative_elbo))
        return rows

    def write(self, folder: str | Path, pictures: int = 64) -> list[Path]:
        """Write ensemble.json, and samples.png where the data are images.

        Args:
            folder: where they go.
            pictures: how many are drawn.
        """
        folder = Path(folder)
        paths = [folder / "ensemble.json"]
        write_json(paths[0], self.to_json())
        if len(self.runs[0].model.data.shape) == 3:
            paths.append(folder / "samples.png")
            save_png(grid(self.sample(pictures, seed=self.seed)), paths[1])
        return paths


def ensemble(
    runs: Sequence[Run | str | Path],
    *,
    weights: str = "uniform",
    samples: int = 128,
    limit: int | None = None,
    seed: int = 0,
    device: str = "auto",
) -> Ensemble:
    r"""Evaluate finished runs as one density $p(x) = \sum_m w_m p_m(x)$ on their test data.

    All members score the same data, whose bits are drawn once where the binarisation is dynamic, with K importance samples
    each: $\log\hat p(x) = \log\sum_m w_m \frac1K\sum_k w_{mk}$ is one importance-sampled bound of the mixture.

    Args:
        runs: two or more, by path or name, or loaded.
        weights: `uniform`, or `fitted` by EM to the validation data, or to the training data where there are none.
        samples: K.
        limit: use the first so many data of each split.
        seed: of every draw.
        device: where the models go.

    Raises:
        ConfigError: fewer than two runs, the same one twice, or runs on different data; the message names the difference.
        BuildError: a member has no density.
        RunError: there is no such run.
    """
    if weights not in ("uniform", "fitted"):
        raise ConfigError(f"weights '{weights}': they are 'uniform' or 'fitted'")
    members = tuple(run if isinstance(run, Run) else load_run(run, device) for run in runs)
    _comparable(members)
    data = members[0].data
    for run in members:
        with run.model.evaluating(), torch.no_grad(), seeded(seed):
            first = data.test.to(members[0].device).batches(torch.arange(1), 1)
            if not has_density(run.model, (batch.to(run.device) for batch in first)):
                raise BuildError(
                    f"{run.path}: this model has no density of the data that could be mixed. Leave the run out."
                )
    mixed = torch.full((len(members),), 1 / len(members), dtype=torch.float64)
    fitted_to = None
    if weights == "fitted":
        fitted_to, split = ("training", data.train) if data.validation is None else ("validation", data.validation)
        mixed = fit_weights(score(members, split, samples, limit, seed).log_p)
    scores = score(members, data.test, samples, limit, seed)
    return Ensemble(members, mixed, fitted_to, scores, samples, seed, limit)


def _comparable(runs: Sequence[Run]) -> None:
    if len(runs) < 2:
        raise ConfigError("an ensemble has two or more runs")
    first = runs[0]
    for i, run in enumerate(runs[1:], 1):
        if run.path.resolve() in {other.path.resolve() for other in runs[:i]}:
            raise ConfigError(f"{run.path} is named twice; an ensemble's weights count a member more than once")
        # the provenance last: where shapes differ, that is what to say
        one = {**asdict(first.model.data), **_provenance(first)}
        other = {**asdict(run.model.data), **_provenance(run)}
        for key in {**one, **other}:
            ours, theirs = one.get(key), other.get(key)
            if ours != theirs:
                raise ConfigError(
                    f"{first.path} and {run.path} were trained on different data, so their likelihoods cannot be mixed: the "
                    f"{key} is {brief_json(ours)} and {brief_json(theirs)}. Name runs on the same data."
                )


def _provenance(run: Run) -> dict[str, Any]:
    provenance: dict[str, Any] = run.directory.read_manifest().get("data", {})
    return provenance


def _plain(value: Value) -> dict[str, Any]:
    return {"value": value.value, "stderr": value.stderr}
