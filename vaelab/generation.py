"""Pictures from a run: from a sampler, or around an example of a label."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional as F

from vaelab.errors import ConfigError, DataError
from vaelab.evaluation.images import grid, save_png
from vaelab.evaluation.tables import written
from vaelab.metrics import Value, seeded
from vaelab.reading import apply_overrides
from vaelab.registry import SAMPLERS, ComponentConfig
from vaelab.runs import Run
from vaelab.samplers import Sampler
from vaelab.slots import describe
from vaelab.types import Batch, Split


def sampler_config(kind: str, settings: Iterable[str] = ()) -> ComponentConfig:
    """The config of a sampler from the command line.

    Args:
        kind: such as `gmm`.
        settings: `"components=20"`, read as `--set` reads those of an experiment.

    Raises:
        ConfigError: there is no such sampler, or a setting is wrong; the message names the key.
    """
    config = SAMPLERS[kind].config
    content = apply_overrides({"kind": kind}, settings)
    try:
        return config.model_validate(content)
    except ValidationError as error:
        raise ConfigError(describe(error, f"--sampler {kind}", content, config)) from error


def fitted(run: Run, config: ComponentConfig, report: Callable[[str], None] | None = None) -> Sampler[Any]:
    """A sampler of a run, fitted to its training data where it learns anything.

    Args:
        run: whose model is sampled from.
        config: of the sampler.
        report: told what was fitted.

    Raises:
        BuildError: the model's latents are not what the sampler is for.
    """
    source: Sampler[Any] = SAMPLERS.build(config)
    source.fit(run.model, lambda: run.data)
    if report and source.values:
        report(f"fitted '{config.kind}': " + ", ".join(_said(*item) for item in source.values.items()))
    return source


def from_sampler(
    run: Run,
    number: int,
    folder: Path,
    *,
    sampler: ComponentConfig | str = "prior",
    temperature: float = 1.0,
    condition: str | None = None,
    seed: int = 0,
    report: Callable[[str], None] | None = None,
) -> list[Path]:
    """Draw z from a sampler, write E[x | z] as `sample_0.png`, ... and `sample_grid.png` (last in the list).

    Args:
        run: whose model is used.
        number: how many.
        folder: where they go.
        sampler: its config, or its kind; `prior` is the model's own.
        temperature: of the latents.
        condition: the label that a conditional model is given; drawn for each picture where None.
        seed: of the draws. What is fitted depends on the sampler's own seed alone.
        report: told what was fitted.

    Raises:
        ConfigError: there is no such sampler, label or temperature.
        BuildError: the model's latents are not what the sampler is for.
        DataError: the data are no images.
    """
    _require_images(run)
    if not temperature > 0:
        raise ConfigError(f"--temperature must be positive, not {temperature}")
    given = _one_hot(run, condition) if condition is not None else None
    config = sampler_config(sampler) if isinstance(sampler, str) else sampler
    with seeded(seed), torch.no_grad():
        source = fitted(run, config, report)

        def draw(count: int) -> Tensor:
            rows = None if given is None else given.expand(count, -1)
            return source.sample(count, temperature, rows).mean

        try:
            chunks = [draw(min(1000, number - done)) for done in range(0, number, 1000)]
        except ValueError as error:
            raise ConfigError(f"--temperature {temperature}: {error}") from error
        pictures = torch.cat(chunks).cpu()
    return _write(pictures, folder, [f"sample_{i}" for i in range(number)], "sample_grid")


def _said(name: str, value: Value) -> str:
    return " ".join([name.replace("_", " "), written(value), value.unit]).rstrip()


def _one_hot(run: Run, label: str) -> Tensor:
    """A label as the condition of one datum, `[1, C]`.

    Raises:
        ConfigError: the model is not conditioned on labels, or there is no such label.
    """
    shape = run.model.data.condition_shape
    if shape is None or run.model.data.condition_values != "one_hot":
        raise ConfigError(
            '--condition needs a model that is conditioned on labels, and this one is not. Train it with "condition": '
            '"label" in the data, or leave --condition out.'
        )
    classes = shape[0]
    if label not in map(str, range(classes)):
        raise ConfigError(f"--condition {label}: the labels are 0 to {classes - 1}")
    return F.one_hot(torch.tensor([int(label)]), classes).float().to(run.model.device)


def around_examples(run: Run, label: str, number: int, folder: Path, *, seed: int = 0) -> list[Path]:
    """Encode the first training example of a label, draw z from its posterior, write E[x | z].

    The files are `generated_digit-3_0.png`, ..., and `generated_digit-3_grid.png` (last in the list).

    Args:
        run: whose model is used.
        label: a number, or `all`.
        number: how many a label.
        folder: where they go.
        seed: of the draws.

    Raises:
        ConfigError: there is no such label.
        DataError: the data have no labels, or are no images.
    """
    _require_images(run)
    classes = run.model.data.num_classes
    if classes is None:
        raise DataError("--digit needs labels, and these data have none. Leave it out to draw from the prior.")
    if label != "all" and label not in map(str, range(classes)):
        raise ConfigError(f"--digit {label}: the labels are 0 to {classes - 1}, or 'all'")
    labels = range(classes) if label == "all" else (int(label),)
    names, pictures = [], []
    with seeded(seed):
        for wanted in labels:
            example = _first_example(run.data.train, wanted)
            condition = None if example.condition is None else example.condition.expand(number, -1)
            zs = run.model.encode(example.x.expand(number, *example.x.shape[1:]), condition=condition)
            pictures.append(run.model.decode(zs, condition=condition).cpu())
            names += [f"generated_digit-{wanted}_{i}" for i in range(number)]
    return _write(torch.cat(pictures), folder, names, f"generated_digit-{label}_grid", columns=number)


def _first_example(split: Split, label: int) -> Batch:
    for batch in split.batches(torch.arange(len(split)), 1000):
        assert batch.y is not None
        found = (batch.y == label).nonzero()
        if len(found):
            row = found[0]
            condition = None if batch.condition is None else batch.condition[row]
            return Batch(batch.x[row], batch.y[row], condition=condition)
    raise DataError(f"the training data have no example of label {label}")


def _write(pictures: Tensor, folder: Path, names: list[str], together: str, columns: int | None = None) -> list[Path]:
    paths = []
    for name, picture in zip(names, pictures, strict=True):
        paths.append(folder / f"{name}.png")
        save_png(picture, paths[-1])
    paths.append(folder / f"{together}.png")
    save_png(grid(pictures[:1024], columns), paths[-1])
    return paths


def _require_images(run: Run) -> None:
    shape = run.model.data.shape
    if len(shape) != 3:
        raise DataError(f"pictures can be drawn of images (C, H, W) only, and these data have shape {shape}")
