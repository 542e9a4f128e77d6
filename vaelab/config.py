"""The experiment: what a JSON file says, validated."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo

from vaelab.errors import ConfigError
from vaelab.plugins import load_plugins
from vaelab.registry import (
    DATASETS,
    DECODERS,
    ENCODERS,
    FAMILIES,
    FAMILY_MARK,
    FIGURES,
    LIKELIHOODS,
    METRICS,
    OBJECTIVES,
    OPTIMISERS,
    POSTERIORS,
    PRIORS,
    TRACKERS,
    ComponentConfig,
    Registry,
    default,
)


class _Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True, use_attribute_docstrings=True
    )


class ModelConfig(_Section):
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


class EarlyStoppingConfig(_Section):
    """Stop where a validation metric no longer improves."""

    metric: str = "negative_elbo"
    """Name of the watched value, as it is logged without the prefix `validation/`. Lower is better."""

    patience: PositiveInt = 10
    """Validations without a gain after which training stops."""

    min_delta: float = Field(0.0, ge=0)
    """The least gain that counts."""


class TrainingConfig(_Section):
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

    accumulate: PositiveInt = 1
    """Batches whose gradients are averaged into one step."""

    drop_last: bool = False
    """Leave out an epoch's last batch where it is smaller than the others."""

    ema: float | None = Field(None, gt=0, lt=1)
    """Decay of the running mean of the weights with which the model is evaluated."""

    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the forward pass (autocast); the weights stay in float32."""

    compile: bool = False
    """Compile the forward pass with torch.compile."""

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
        return self


class EvaluationConfig(_Section):
    """What is measured and drawn after training, on the test data."""

    metrics: tuple[Annotated[ComponentConfig, METRICS], ...] = default(
        ("negative_elbo", "importance_nll", "reconstruction", "active_units")
    )
    """Metrics of the test data."""

    figures: tuple[Annotated[ComponentConfig, FIGURES], ...] = default(
        ("reconstructions", "samples", "traversals", "latents", "curves")
    )
    """Figures."""

    batch_size: PositiveInt = 500
    """Data a pass."""

    seed: NonNegativeInt = 0
    """Of every draw of the evaluation, apart from the training's."""


class Experiment(_Section):
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

    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$")
    """`auto` takes a GPU where there is one."""

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
    plugins = content.get("plugins", ())
    if isinstance(plugins, list | tuple) and all(isinstance(plugin, str) for plugin in plugins):
        load_plugins(plugins)
    try:
        return Experiment.model_validate(dict(content))
    except ValidationError as error:
        raise ConfigError(describe(error, source, content)) from error


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


def read_json(path: Path) -> Any:
    """Strict JSON: no duplicate keys, no NaN or Infinity.

    Raises:
        ConfigError: naming the file, and the line where there is one.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from error
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}: not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: {error}") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"the key '{key}' stands twice in one object")
        result[key] = value
    return result


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def apply_overrides(content: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Set values by path: `training.epochs=3`, `objective.divergences.0.weight=4`, `name=trial`.

    The value is read as JSON where it is JSON, else as text. A number in the path is a position in a list.

    Raises:
        ConfigError: the path leads nowhere.
    """
    result: dict[str, Any] = json.loads(json.dumps(content))
    for override in overrides:
        path, separator, text = override.partition("=")
        keys = path.strip().split(".")
        if not separator or not all(keys):
            raise ConfigError(f"--set {override}: write a path, '=' and a value, such as training.epochs=3")
        try:
            value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
        except ValueError:
            value = text
        _set(result, keys, value, override)
    return result


def _set(node: Any, keys: list[str], value: Any, override: str) -> None:
    for depth, key in enumerate(keys):
        last = depth == len(keys) - 1
        if isinstance(node, dict):
            if last:
                node[key] = value
                return
            child = node.setdefault(key, {})
            if isinstance(child, str):  # a kind written as a bare name is an object in short
                child = node[key] = {"kind": child}
            node = child
        elif isinstance(node, list) and key.isdecimal() and int(key) < len(node):
            if last:
                node[int(key)] = value
                return
            if isinstance(node[int(key)], str):
                node[int(key)] = {"kind": node[int(key)]}
            node = node[int(key)]
        else:
            place = ".".join(keys[:depth]) or "the experiment"
            what = f"a list of {len(node)}" if isinstance(node, list) else f"no object but {json.dumps(node)}"
            raise ConfigError(f"--set {override}: {place} is {what}, and has no '{key}'")


def describe(error: ValidationError, source: str, content: Any) -> str:
    """All mistakes of a validation, a line each, with JSON paths.

    Args:
        error: of the validation.
        source: name of the file.
        content: what was validated.
    """
    lines = []
    for item in error.errors(include_url=False):
        location = _in_content(item["loc"], content)
        path = "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = "unknown key. " + _nearest_field(location, content)
        elif item["type"] == "missing":
            message = "is required and missing"
        elif "input" in item and isinstance(item["input"], int | float | str | bool | None):
            message += f" (got {json.dumps(item['input'])})"
        lines.append(f"{source}: {path}: {message}")
    return "\n".join(lines)


Location = tuple[int | str, ...]


def _in_content(location: Location, content: Any) -> Location:
    """A location without what pydantic adds for itself, the names of a union's branches."""
    kept: list[int | str] = []
    node = content
    for position, part in enumerate(location):
        if isinstance(node, Mapping) and (part in node or position == len(location) - 1):
            kept.append(part)
            node = node.get(part)
        elif isinstance(node, list | tuple) and isinstance(part, int):
            kept.append(part)
            node = node[part] if part < len(node) else None
    return tuple(kept)


def _nearest_field(location: Location, content: Any) -> str:
    fields = _fields_at(location[:-1], content)
    near = difflib.get_close_matches(str(location[-1]), fields, n=1)
    hint = f"Did you mean '{near[0]}'? " if near else ""
    return f"{hint}Known keys: {', '.join(fields)}." if fields else "Remove it."


def _fields_at(location: Location, content: Any) -> list[str]:
    """The keys that the object at a location may have."""
    section: type[BaseModel] | None = Experiment
    node, field = content, None
    for part in location:
        node = node[part]
        if isinstance(part, str):
            field = section.model_fields.get(part) if section else None
        section = _section_of(field, node) if field else None
    return [field.alias or name for name, field in section.model_fields.items()] if section else []


def _section_of(field: FieldInfo, node: Any) -> type[BaseModel] | None:
    family = slot_family(field)
    if family is not None:
        registry = FAMILIES[family.removeprefix("list of ")]
        kind = node.get("kind") if isinstance(node, Mapping) else None
        return registry[kind].config if isinstance(kind, str) and kind in registry else None
    for annotation in (field.annotation, *get_args(field.annotation)):
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return annotation
    return None


def slot_family(field: FieldInfo) -> str | None:
    """The family of a field that is a slot, such as `prior`, or None."""
    for item in field.metadata:
        if isinstance(item, Registry):
            return item.family
    for inner in get_args(field.annotation):
        for item in getattr(inner, "__metadata__", ()):
            if isinstance(item, Registry):
                return f"list of {item.family}"
    return None


def experiment_schema() -> dict[str, Any]:
    """The JSON Schema of experiments, over what is registered now."""
    root = Experiment.model_json_schema(by_alias=True)
    definitions: dict[str, Any] = root.setdefault("$defs", {})
    for family, registry in FAMILIES.items():
        variants = []
        for entry in registry:
            component = entry.config.model_json_schema()
            definitions |= component.pop("$defs", {})
            component["title"] = f"{family}: {entry.kind}"
            component["required"] = sorted({*component.get("required", []), "kind"})
            component["description"] = entry.summary
            definitions[f"{family}.{entry.kind}"] = component
            variants.append({"$ref": f"#/$defs/{family}.{entry.kind}"})
        names = {"enum": [entry.kind for entry in registry], "title": "with its defaults"}
        numbers = [{"type": "number"}] if family == "schedule" else []
        definitions[family] = {"anyOf": [*variants, names, *numbers]}
    resolved: dict[str, Any] = _resolve(root)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **resolved}


def _resolve(node: Any) -> Any:
    if isinstance(node, dict):
        resolved = {key: _resolve(value) for key, value in node.items() if key != FAMILY_MARK}
        if FAMILY_MARK in node:
            resolved["$ref"] = f"#/$defs/{node[FAMILY_MARK]}"
        return resolved
    return [_resolve(item) for item in node] if isinstance(node, list) else node
