"""The model card of a run: README.md with metadata, as model hubs show it."""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vaelab.config import Experiment
from vaelab.evaluation import Evaluation
from vaelab.evaluation.tables import written
from vaelab.files import write_text
from vaelab.metrics import Value
from vaelab.reading import read_json
from vaelab.runs import RunDirectory

#: A figure is shown for each of these beginnings of a name, where the run has one.
_SHOWN = ("samples", "reconstructions", "traversals", "manifold", "imputations")
#: A table of values by latent group is in evaluation.json; a card shows this many values.
_MOST_VALUES = 40


def write_card(directory: RunDirectory, experiment: Experiment) -> Path:
    """Write README.md from what lies in a run's directory.

    Args:
        directory: of an evaluated run.
        experiment: its config.

    Returns:
        The file.
    """
    path = directory.path / "README.md"
    write_text(path, card(directory, experiment))
    return path


def card(directory: RunDirectory, experiment: Experiment) -> str:
    """The text of the card."""
    manifest = directory.read_manifest()
    found = directory.read_evaluation()
    evaluation = Evaluation.from_json(found) if found is not None else None
    values = evaluation.values if evaluation else {}
    values = {name: value for name, value in values.items() if math.isfinite(value.value)}
    parts = [
        _metadata(experiment, manifest, values),
        f"# {_plain(experiment.name)}",
        _plain(experiment.description) or "A variational autoencoder.",
        "A model of [vaelab](https://pypi.org/project/vaelab/), which composes variational autoencoders from JSON. "
        f"{manifest.get('parameters', 0):,} parameters.",
        "## Use it",
        _usage(directory, experiment),
        "## Model",
        _table(("part", "component"), _components(experiment)),
        "## Data",
        _table(("of the data", ""), _data(manifest)),
        "## Evaluation",
        _evaluation(evaluation, values),
        *_figures(directory),
        "## Training",
        _table(("of the run", ""), _training(experiment, manifest)),
        "## Limits",
        "The model was trained on the data above and describes nothing else. Values of likelihoods can be compared only with "
        "values on the same data with the same binarisation and scaling; a standard error is over the data and holds no spread "
        "over seeds. Samples may repeat training data and their biases.",
        "## Configuration",
        f"```json\n{experiment.to_json().strip()}\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _metadata(experiment: Experiment, manifest: Mapping[str, Any], values: Mapping[str, Value]) -> str:
    """YAML in front, written as JSON, which is YAML."""
    source = str(manifest.get("data", {}).get("source", "unknown"))
    metrics = [
        {"type": name, "name": name, "value": value.value} for name, value in list(values.items())[:_MOST_VALUES]
    ]
    entries: dict[str, Any] = {
        "library_name": "vaelab",
        "tags": ["variational-autoencoder", "pytorch", "safetensors", experiment.model.prior.kind],
        "model-index": [
            {
                "name": experiment.name,
                "results": [
                    {
                        "task": {"type": "other", "name": "density estimation"},
                        "dataset": {"name": source, "type": re.sub(r"[^A-Za-z0-9._-]+", "-", source)},
                        "metrics": metrics,
                    }
                ],
            }
        ],
    }
    if not metrics:
        del entries["model-index"]
    return "---\n" + "".join(f"{key}: {json.dumps(value)}\n" for key, value in entries.items()) + "---"


def _usage(directory: RunDirectory, experiment: Experiment) -> str:
    lines = [
        "With this folder on the disk:",
        '```python\nimport vaelab\nrun = vaelab.load_run("path/to/this/folder")\nnew_data = run.sample(16)\n```',
        "`run.encode(x)` gives latents, `run.decode(z)` what they stand for, and `run.model` is the PyTorch module.",
    ]
    if experiment.plugins:
        modules = ", ".join(f"`{_plain(plugin)}`" for plugin in experiment.plugins)
        lines.append(f"The model has components of its own: loading imports {modules}, which runs their code.")
    described = directory.path / "export" / "export.json"
    graphs = read_json(described)["graphs"] if described.exists() else []
    files = {(graph["part"], graph["format"]): graph for graph in graphs if graph["file"]}
    if not files:
        lines.append(
            "`python -m vaelab export path/to/this/folder` writes graphs for ONNX and PyTorch that need no vaelab."
        )
    for part in ("sampler", "decoder", "encoder"):
        if (part, "torch") in files or (part, "onnx") in files:
            lines += _without_vaelab(part, files)
            break
    if files:
        rows = [
            (f"`export/{graph['file']}`", _signature(graph["inputs"]), _signature(graph["outputs"]))
            for graph in files.values()
        ]
        lines += ["`N` is any number of data.", _table(("graph", "inputs", "outputs"), rows)]
    return "\n\n".join(lines)


def _without_vaelab(part: str, files: Mapping[tuple[str, str], Mapping[str, Any]]) -> list[str]:
    lines = []
    graph = files.get((part, "torch"))
    if graph:
        shapes = [
            f"torch.rand({', '.join(str(16 if size == 'N' else size) for size in shape)})"
            for shape in graph["inputs"].values()
        ]
        shapes = [
            text.replace("torch.rand(", "torch.randn(") if name == "normal" or name.startswith("z") else text
            for name, text in zip(graph["inputs"], shapes, strict=True)
        ]
        lines += [
            "With PyTorch alone:",
            f'```python\nimport torch\n{part} = torch.export.load("export/{graph["file"]}").module()\n'
            f"outputs = {part}({', '.join(shapes)})\n```",
        ]
    graph = files.get((part, "onnx"))
    if graph:
        given = ", ".join(
            f'"{name}": numpy.random.{"randn" if name == "normal" or name.startswith("z") else "rand"}'
            f'({", ".join(str(16 if size == "N" else size) for size in shape)}).astype("float32")'
            for name, shape in graph["inputs"].items()
        )
        lines += [
            "With onnxruntime alone:",
            f'```python\nimport numpy, onnxruntime\n{part} = onnxruntime.InferenceSession("export/{graph["file"]}")\n'
            f"outputs = {part}.run(None, {{{given}}})\n```",
        ]
    return lines


def _signature(shapes: Mapping[str, Iterable[int | str]]) -> str:
    return ", ".join(f"`{name}` [{', '.join(map(str, shape))}]" for name, shape in shapes.items())


def _components(experiment: Experiment) -> list[tuple[str, str]]:
    axes = [(axis, getattr(experiment.model, axis).kind) for axis in type(experiment.model).model_fields]
    return [(axis, f"`{_plain(kind)}`") for axis, kind in (*axes, ("objective", experiment.objective.kind))]


def _data(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    data = manifest.get("data", {})
    sizes = ", ".join(f"{name} {number:,}" for name, number in data.get("sizes", {}).items() if number)
    spec = manifest.get("spec", {})
    rows = [
        ("source", _plain(data.get("source", "unknown"))),
        ("shape of a datum", " x ".join(map(str, spec.get("shape", ())))),
        ("values", str(spec.get("values", ""))),
        ("binarisation", str(data.get("binarisation", ""))),
        ("number", sizes),
        ("split", _plain(data.get("split_rule", ""))),
    ]
    scales = data.get("standardised") or {}
    rows += [
        (f"column {_plain(name)}", f"(x - {mean:.6g}) / {deviation:.6g}") for name, (mean, deviation) in scales.items()
    ]
    return [(name, text) for name, text in rows if text]


def _evaluation(evaluation: Evaluation | None, values: Mapping[str, Value]) -> str:
    if evaluation is None or not values:
        return "Not evaluated."
    rows = [(f"`{_plain(name)}`", f"{written(value)} {value.unit}".strip()) for name, value in values.items()]
    more = f"\n\n{len(rows) - _MOST_VALUES} more values are in `evaluation.json`." if len(rows) > _MOST_VALUES else ""
    where = f"On the {evaluation.split} split, {evaluation.number:,} data; mean ± standard error over the data."
    return f"{where}\n\n{_table(('value', ''), rows[:_MOST_VALUES])}{more}"


def _figures(directory: RunDirectory) -> list[str]:
    found = sorted(directory.figures.glob("*.png")) if directory.figures.is_dir() else []
    shown = [next((path for path in found if path.stem.startswith(name)), None) for name in _SHOWN]
    return [f"![{path.stem.replace('_', ' ')}](figures/{path.name})" for path in shown if path]


def _training(experiment: Experiment, manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    training = experiment.training
    length = f"{training.epochs} epochs" if training.epochs else f"{training.steps} steps"
    versions = manifest.get("versions", {})
    commit = (manifest.get("git") or {}).get("commit", "")
    return [
        ("length", f"{length}, batches of {training.batch_size}"),
        ("optimiser", f"`{_plain(training.optimiser.kind)}`"),
        ("seed", str(experiment.seed)),
        ("device", _plain(manifest.get("device", "unknown"))),
        ("wall time", f"{manifest.get('wall_seconds', 0) / 60:.1f} minutes"),
        (
            "versions",
            ", ".join(f"{name} {versions[name]}" for name in ("vaelab", "torch", "python") if name in versions),
        ),
        *([("commit", f"`{commit[:12]}`")] if commit else []),
    ]


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _plain(text: object) -> str:
    """Text that a config or a file gave, so that neither Markdown nor HTML sees more in it."""
    escaped = html.escape(" ".join(str(text).split()), quote=False)
    return re.sub(r"([\\`*\[\]|!])", r"\\\1", escaped)
