"""A second model of the latents."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional as F

from vaelab.build import build
from vaelab.config import ModelConfig, TrainingConfig
from vaelab.datasets import MemorySplit
from vaelab.errors import BuildError
from vaelab.inference import Generation
from vaelab.latents import checksum
from vaelab.model import VAE
from vaelab.registry import OBJECTIVES, SAMPLERS, ComponentConfig, default
from vaelab.runs import load_run
from vaelab.samplers.fitted import RealLatentsConfig, RealLatentsSampler, number_of_labels
from vaelab.section import PathText
from vaelab.training import Reporter, Trainer
from vaelab.types import Batch, DataSpec, DataSplits

#: Importance samples of the second model's likelihood.
_SAMPLES = 64
#: Latents scored at a time.
_ROWS = 500


class TwoStageConfig(RealLatentsConfig):
    """Arguments of the two-stage sampler."""

    kind: Literal["two_stage"] = "two_stage"

    model: ModelConfig | None = None
    """The second model, over vectors of real numbers. Null for one of three hidden layers on each side, as many latents as
    the vector has components, and a normal likelihood with a learned scale that starts at 0.3."""

    objective: Annotated[ComponentConfig, OBJECTIVES] = default("elbo")
    """What it is trained with."""

    training: TrainingConfig = Field(
        default_factory=lambda: TrainingConfig.model_validate({"epochs": 100, "batch_size": 100, "validation": []})
    )
    """How it is trained, by the trainer of experiments."""

    run: PathText | None = None
    """A finished run on the data set `latents` of the first model, in place of a second model trained here."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.run is None:
            return self
        plain = type(self)()
        # a key that is written out with its default is no contradiction
        changed = [
            name
            for name in type(self).model_fields
            if name not in ("run", "groups") and getattr(self, name) != getattr(plain, name)
        ]
        if changed:
            raise ValueError(f"'run' names a second model that is trained already, so leave out {', '.join(changed)}")
        return self

    @classmethod
    def example(cls) -> Self:
        return cls.model_validate({"limit": 100, "training": {"steps": 2, "validation": []}})


@SAMPLERS.register(TwoStageConfig)
class TwoStageSampler(RealLatentsSampler[TwoStageConfig]):
    r"""A second VAE fitted to the latents of the first: $u \sim p(u)$, $z \sim p'(z \mid u)$, $x \sim p(x \mid z)$.

    Dai & Wipf (2019, section 3.2). The first posterior's draws need not follow its prior, and the second model, whose data
    have the dimension of its own latents, can match them. The second likelihood is a normal with a learned scale, and z is a
    draw of it. Latents are standardised before, which the original leaves out; it takes new draws each epoch, where here
    each datum has one. A run on the data set `latents` does neither, and any model can be trained there.

    The log-likelihoods in `values` are estimated by importance sampling with 64 samples. The temperature is that of the
    second model's prior.

    *Cost*: one more training, of a small model.

    Use it when the aggregate posterior is far from the prior although reconstructions are good; it trains a second VAE,
    and cannot mend a first one that lost the detail.
    """

    second: VAE | None = None

    def fit(self, model: VAE, data: Callable[[], DataSplits]) -> None:
        if self.config.run is None:
            super().fit(model, data)
            return
        self.model = model
        self.check(model)
        self.labels = number_of_labels(model)
        self.second = _second_run(self.config.run, model, self.vector.size)

    def sample(self, number: int, temperature: float = 1.0, condition: Tensor | None = None) -> Generation:
        if self.second is None:
            return super().sample(number, temperature, condition)
        if self.labels and condition is None:
            # the second run knows no frequencies, so labels are equally likely
            labels = torch.randint(self.labels, (number,), device=self.model.device)
            condition = F.one_hot(labels, self.labels).float()
        z = self.second.generate(number, temperature, condition=condition).sample()
        return self.model.generate(number, temperature, fixed=self.fixed(z), condition=condition)

    def density(self, z: Tensor, held_out: Tensor) -> SecondStage:
        loc, scale = z.mean(0), z.std(0).clamp_min(1e-6)
        spec = DataSpec((z.shape[1],), "real")
        model, objective = build(self.config.model or _default_model(z.shape[1]), self.config.objective, spec)
        train, other = (MemorySplit(spec, (part - loc) / scale, None) for part in (z, held_out))
        with tempfile.TemporaryDirectory() as folder:
            trainer = Trainer(
                model.to(z.device),
                objective.to(z.device),
                DataSplits(train, other if len(held_out) else None, other, {"source": "latents"}),
                self.config.training,
                seed=self.config.seed,
                folder=Path(folder),
                reporter=Reporter(),
            )
            trainer.train()
            trainer.finish()
        return SecondStage(model.eval(), loc, scale)


class SecondStage:
    """The second model as a density of latents.

    Args:
        model: of standardised latents.
        loc: what was subtracted from these, `[D]`.
        scale: what they were divided by, `[D]`.
    """

    def __init__(self, model: VAE, loc: Tensor, scale: Tensor) -> None:
        self.model, self.loc, self.scale = model, loc, scale

    def log_prob(self, z: Tensor) -> Tensor:
        """`[M]` nats of `[M, D]`, estimated from below by importance sampling; NaN where the model has no density."""
        found = []
        for part in ((z - self.loc) / self.scale).split(_ROWS):
            trace = self.model.infer(Batch(part), _SAMPLES)
            if not (trace.has_density and getattr(trace.likelihood, "has_density", True)):
                return z.new_full((len(z),), math.nan)
            found.append(trace.log_weight.logsumexp(0) - math.log(_SAMPLES))
        return torch.cat([*found, z.new_zeros(0)]) - self.scale.log().sum()

    def sample(self, number: int, temperature: float = 1.0) -> Tensor:
        return self.loc + self.scale * self.model.generate(number, temperature).sample()


def _default_model(size: int) -> ModelConfig:
    width = max(64, min(512, 16 * size))
    network = {"kind": "mlp", "hidden": [width] * 3}
    return ModelConfig.model_validate(
        {
            "encoder": network,
            "posterior": "diagonal_normal",
            "prior": {"kind": "standard_normal", "dim": size},
            "decoder": network,
            # from 1, the scale of the latents, it would start without a use for u, and stay there
            "likelihood": {"kind": "normal", "sigma": "learned", "scale": 0.3},
        }
    )


def _second_run(path: str, first: VAE, size: int) -> VAE:
    """The model of a run on the latents of another.

    Raises:
        BuildError: it is no such run, or one of another first model.
    """
    run = load_run(path, str(first.device))
    second = run.model
    files = run.directory.read_manifest().get("data", {}).get("files", {})
    if second.data.shape != (size,) or "weights" not in files:
        raise BuildError(
            f"sampler 'two_stage': the run {run.path} has data of shape {second.data.shape} from "
            f"'{run.experiment.data.kind}', and the latents of this model are {size} numbers. Train the second model on the "
            "data set 'latents'."
        )
    if files["weights"] != checksum(first):
        raise BuildError(
            f"sampler 'two_stage': the run {run.path} was trained on the latents of another model, or of other weights. "
            "Name the run whose latents it has, or train it again."
        )
    if first.data.condition_shape is not None and second.data.condition_shape != first.data.condition_shape:
        raise BuildError(
            f"sampler 'two_stage': the first model is conditioned on a label, and the run {run.path} is not. Train it with "
            '"condition": "label".'
        )
    return second
