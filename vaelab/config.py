"""The experiment: what a JSON file says, validated."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from vaelab.errors import ConfigError
from vaelab.plugins import load_plugins
from vaelab.reading import apply_overrides, read_json, require_plain
from vaelab.registry import (
    DATASETS,
    DECODERS,
    ENCODERS,
    FIGURES,
    LIKELIHOODS,
    METRICS,
    OBJECTIVES,
    OPTIMISERS,
    POSTERIORS,
    PRIORS,
    TRACKERS,
    ComponentConfig,
    default,
)
from vaelab.section import Section
from vaelab.slots import describe, schema_of

#: What a device may be called.
DEVICE = r"(auto|cpu|cuda(:[0-9]{1,3})?|mps)"


class ModelConfig(Section):
    """The five axes that make a model; the sixth, the divergences, is part of the objective."""

    encoder: Annotated[ComponentConfig, ENCODERS]
    """x to features."""

    posterior: Annotated[ComponentConfig, POSTERIORS]
    """Features to q(z | x)."""

    prior: Annotated[ComponentConfig, PRIORS]
    """p(z), and the shape of the latents."""

    decoder: Annotated[ComponentConfig, DECODERS]
    """z to the likelihood's parameters."""

    likelihood: Annotated[ComponentConfig, LIKELIHOODS]
    """p(x | z)."""


class EarlyStoppingConfig(Section):
    """Stop where a validation metric no longer improves."""

    metric: str = "negative_elbo"
    """Name of the watched value, as it is logged without the prefix `validation/`. Lower is better."""

    patience: PositiveInt = 10
    """Validations without a gain after which training stops."""

    min_delta: float = Field(0.0, ge=0)
    """The least gain that counts."""


class TrainingConfig(Section):
    """How the model is trained."""

    epochs: PositiveInt | None = None
    """Passes through the training data."""

    steps: PositiveInt | None = None
    """Optimiser steps, in place of `epochs`."""

    batch_size: PositiveInt = 64
    """Data a step."""

    optimiser: Annotated[ComponentConfig, OPTIMISERS] = default("adam")
    """Of the model; a second player brings its own."""

    gradient_clip: PositiveFloat | None = None
    """Greatest norm of each player's gradient."""

    on_nonfinite: Literal["stop", "skip", "warn"] = "stop"
    """Where a term or a gradient is NaN or infinite: stop before the step is taken, leave the step out, or only say so."""

    skip_gradient_above: PositiveFloat | None = None
    """Leave out a step where the norm of a player's gradient, before clipping, is above this; `skipped` counts them."""

    accumulate: PositiveInt = 1
    """Batches whose gradients are averaged into one step."""

    drop_last: bool = False
    """Leave out an epoch's last batch where it is smaller than the others."""

    ema: float | None = Field(None, gt=0, lt=1)
    """Decay of the running mean of the weights with which the model is evaluated."""

    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the layers (autocast); weights, draws, densities and sums stay in float32."""

    compile: bool = False
    """Compile the forward pass with torch.compile."""

    compile_mode: Literal["default", "reduce-overhead", "max-autotune"] = "default"
    """Of torch.compile: `reduce-overhead` replays CUDA graphs, `max-autotune` also tries out kernels; a CPU gains nothing by them."""

    memory_format: Literal["contiguous", "channels_last"] = "contiguous"
    """Order in which pictures and the weights of convolutions lie in memory."""

    gradient_checkpointing: bool = False
    """Keep no activations inside the blocks of the model, and compute them again in the backward pass: deep hierarchies then fit
    into less memory, and a step takes about a third longer."""

    log_every: PositiveInt = 100
    """Steps between two lines of metrics.jsonl, and one at each epoch's end; each line is the mean since the last."""

    validate_every: PositiveInt = 1
    """Epochs between two validations, where there are validation data."""

    validation: tuple[Annotated[ComponentConfig, METRICS], ...] = default(("negative_elbo",))
    """Metrics of the validation data."""

    checkpoint_every: PositiveInt | None = None
    """Steps between two checkpoints; by default one each epoch."""

    early_stopping: EarlyStoppingConfig | None = None
    """Stop on a validation metric, and evaluate the best weights."""

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give exactly one of 'epochs' and 'steps'")
        if self.compile and self.gradient_checkpointing:
            raise ValueError(
                "'compile' decides itself what to compute again; set either it or 'gradient_checkpointing' to false"
            )
        if self.compile_mode != "default" and not self.compile:
            raise ValueError("'compile_mode' has no effect without 'compile'; set it to true, or leave the mode out")
        return self


class EvaluationConfig(Section):
    """What is measured and drawn after training, on the test data."""

    metrics: tuple[Annotated[ComponentConfig, METRICS], ...] = default(
        ("negative_elbo", "importance_nll", "reconstruction", "active_units")
    )
    """Metrics of the test data."""

    figures: tuple[Annotated[ComponentConfig, FIGURES], ...] = default(
        ("reconstructions", "samples", "traversals", "latents", "curves")
    )
    """Figures."""

    report: bool = True
    """Write report.html at the end, with a map of the latents; takes some seconds."""

    batch_size: PositiveInt = 500
    """Data a pass."""

    seed: NonNegativeInt = 0
    """Of every draw of the evaluation, apart from the training's."""


class Experiment(Section):
    """One experiment."""

    schema_url: str | None = Field(None, alias="$schema", exclude=True)
    """Where an editor finds the JSON schema; ignored."""

    name: str = Field("experiment", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    """Name of the folder of its runs: letters, digits, '.', '_' and '-'."""

    description: str = ""
    """In words."""

    plugins: tuple[str, ...] = ()
    """Modules to import before anything else; they register components. Importing them runs their code."""

    seed: NonNegativeInt = Field(0, lt=2**63)
    """Of the weights, the order of the data and every draw."""

    device: str = Field("auto", pattern=f"^{DEVICE}$")
    """`auto` takes a GPU where there is one."""

    deterministic: bool = False
    """Use only operations that give the same bits each time, and refuse what has none; slower on a GPU."""

    data: Annotated[ComponentConfig, DATASETS]
    """The data."""

    model: ModelConfig
    """The model."""

    objective: Annotated[ComponentConfig, OBJECTIVES] = default("elbo")
    """What is minimised."""

    training: TrainingConfig
    """The training."""

    evaluation: EvaluationConfig = Field(default_factory=EvaluationConfig)
    """The evaluation."""

    trackers: tuple[Annotated[ComponentConfig, TRACKERS], ...] = ()
    """Where metrics and figures go besides the run directory."""

    @field_validator("name")
    @classmethod
    def _no_dots(cls, name: str) -> str:
        if ".." in name:
            raise ValueError("must not contain '..'")
        return name

    def to_json(self) -> str:
        """The resolved experiment, all defaults written out."""
        return json.dumps(self.model_dump(mode="json"), indent=2) + "\n"


def parse_experiment(content: Mapping[str, Any], source: str = "experiment") -> Experiment:
    """Validate an experiment given as a mapping, importing its plugins first.

    Raises:
        ConfigError: naming `source`, the JSON path and the remedy for each mistake.
    """
    require_plain(content, source)
    plugins = content.get("plugins", ())
    if isinstance(plugins, list | tuple) and all(isinstance(plugin, str) for plugin in plugins):
        load_plugins(plugins)
    try:
        return Experiment.model_validate(dict(content))
    except ValidationError as error:
        raise ConfigError(describe(error, source, content, Experiment)) from error


def load_experiment(path: str | Path, overrides: Iterable[str] = ()) -> Experiment:
    """Read and validate an experiment file.

    Args:
        path: the JSON file.
        overrides: `"a.b=value"` settings that replace what the file says; see `apply_overrides`.

    Raises:
        ConfigError: the file cannot be read, is no JSON, or is not valid.
    """
    path = Path(path)
    content = read_json(path)
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: an experiment is a JSON object, not {type(content).__name__}")
    return parse_experiment(apply_overrides(content, overrides), str(path))


def experiment_schema() -> dict[str, Any]:
    """The JSON Schema of experiments, over what is registered now."""
    return schema_of(Experiment)
