"""The experiments by the limit of VAEs that they answer, with the pictures and values of short runs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from vaelab.config import Experiment, load_experiment
from vaelab.evaluation.tables import written
from vaelab.metrics import Value
from vaelab.registry import FAMILIES, Registry

DOCS = Path(__file__).parent
EXPERIMENTS = DOCS.parent / "experiments"
GALLERY = DOCS / "gallery"
RESULTS = DOCS / "results"
#: What is said of a run beside its picture: values whose names start so.
_SHOWN = ("negative_elbo", "nll_is", "reconstruction_mse", "imputation_mse", "label_accuracy")
#: Figures that stand in the gallery in place of data, reconstructions and draws, where a file asks for them.
OWN = ("sequences", "imputations")
_INTRODUCTION = """# Model zoo

All experiments but those of papers and studies, grouped by the [limit of VAEs](limits.md) that they answer. Each is one
JSON file and can be run as it is: `python -m vaelab run experiments/zoo/iaf_vae.json`.

The pictures are of **short runs**, of seconds to minutes on one processor core and at most as long as the file asks for.
They show that a model learns, and roughly what it yields; they are no ranking. Data, likelihood and length differ, and
values compare only where these are the same. Where nothing else is said, the rows are test data (`data`), their
reconstructions (`model`), and new data from the prior (`prior`) or from a density fitted to the latents after
training (its name). Values are means over the first 2,000 test data; NLL is the importance-weighted estimate with 50
samples on 200 of them. Files without a picture have not been run for this page, or are on the [results](results.md)
page."""


def groups() -> list[dict[str, Any]]:
    """The limits, in the order of the page, each with the names of its experiments."""
    content: list[dict[str, Any]] = json.loads((DOCS / "zoo_groups.json").read_text())
    return content


@cache
def files() -> dict[str, Path]:
    """The experiments of the zoo, by name. Those of papers and studies are on the pages of their results."""
    return {path.stem: path for folder in (EXPERIMENTS, EXPERIMENTS / "zoo") for path in sorted(folder.glob("*.json"))}


def zoo_page() -> str:
    """All experiments."""
    parts = [_INTRODUCTION]
    for group in groups():
        parts += [f"## {group['limit']}", group["words"]]
        parts += [_model(name) for name in group["experiments"]]
    return "\n\n".join(parts) + "\n"


def _model(name: str) -> str:
    experiment = load_experiment(files()[name])
    place = files()[name].relative_to(EXPERIMENTS.parent).as_posix()
    parts = [f"### {name}", experiment.description]
    if (GALLERY / name / "gallery.png").exists():
        parts.append(picture(name))
    facts = [f"[{place}]({place})"]
    if (GALLERY / name / "manifest.json").exists():
        facts = [*_facts(GALLERY / name), *facts, f"[config of this run](gallery/{name}/config.json)"]
    if (RESULTS / name / "evaluation.json").exists():
        facts.append(f"[full run](results.md#{name})")
    return "\n\n".join([*parts, " · ".join(facts)])


def picture(name: str, up: str = "") -> str:
    """The picture of one model, for a page in the folder below which `up` leads to the root."""
    return f"![data, reconstructions and new data of {name}]({up}gallery/{name}/gallery.png){{ .gallery loading=lazy }}"


def _facts(folder: Path) -> list[str]:
    manifest, evaluation = (json.loads((folder / f"{name}.json").read_text()) for name in ("manifest", "evaluation"))
    facts = [f"`{name}` {_text(value)}" for name, value in evaluation["values"].items() if name.startswith(_SHOWN)]
    length = f"{manifest['weights_of_step']:,} steps"
    seconds = manifest.get("cpu_seconds")
    return [*facts, length if seconds is None else f"{length} in {seconds / 60:.1f} minutes of processor time"]


def _text(value: dict[str, Any]) -> str:
    if value["value"] is None:
        return "not finite"
    text = written(Value(float(value["value"]), value["stderr"], value["unit"], value["better"]))
    return f"{text} {value['unit']}".strip()


def figure_of(kind: str) -> tuple[str, str] | None:
    """(path below docs/, whose it is) of the picture of a figure that a stored run has; None where none has it."""
    if (RESULTS / "baseline" / "figures" / f"{kind}.png").exists():
        return f"results/baseline/figures/{kind}.png", "Of the run [`baseline`](../results.md#baseline)."
    for name, path in files().items():
        if (GALLERY / name / "gallery.png").exists() and any(
            figure.kind == kind and kind in OWN for figure in load_experiment(path).evaluation.figures
        ):
            return f"gallery/{name}/gallery.png", f"Of a short run of [`{name}`](../gallery.md#{name})."
    return None


@cache
def parts_of(name: str) -> frozenset[tuple[str, str]]:
    """(family, kind) of every component that an experiment names, also those inside another."""
    return frozenset(_parts(load_experiment(files()[name])))


def _parts(node: Any) -> Iterator[tuple[str, str]]:
    if isinstance(node, BaseModel):
        if type(node) in _families():
            yield _families()[type(node)]
        children = [
            getattr(node, key)
            for key in type(node).model_fields
            if not (isinstance(node, Experiment) and key == "evaluation")
        ]
        for child in children:
            yield from _parts(child)
    elif isinstance(node, tuple | list):
        for child in node:
            yield from _parts(child)


@cache
def _families() -> dict[type, tuple[str, str]]:
    return {entry.config: (family, entry.kind) for family, registry in FAMILIES.items() for entry in registry}


@cache
def _shown() -> dict[str, frozenset[tuple[str, str]]]:
    return {name: parts_of(name) for name in files() if (GALLERY / name / "gallery.png").exists()}


def example_of(registry: Registry, kind: str) -> str | None:
    """The model of the gallery that shows a kind best: the one whose other components are the most usual."""
    part = (registry.family, kind)
    counts = Counter(other for parts in _shown().values() for other in parts)
    users = [
        (sum(1 / counts[other] for other in parts if other != part), name)
        for name, parts in _shown().items()
        if part in parts
    ]
    return min(users)[1] if users else None
