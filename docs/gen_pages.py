"""Pages made when the documentation is built: one a component family, the model zoo, results, studies, papers, the leaderboard.

Nothing of it is committed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

from curves import curve
from drawing.canvas import described
from hooks import field_table, title
from layers import diagram
from papers import leaderboard_page, load, papers_page
from studies import studies_page
from zoo import example_of, figure_of, files, picture, zoo_page

from vaelab.catalogue import arguments, docstring, example
from vaelab.decoders import Decoder
from vaelab.encoders import Encoder
from vaelab.evaluation.tables import written
from vaelab.figures import Figure
from vaelab.metrics import Value
from vaelab.registry import FAMILIES, Entry, Registry
from vaelab.reproduce import read_papers
from vaelab.schedules import Schedule

#: What a family is, and where it stands in an experiment. A family that is not here has a page all the same.
FAMILY = {
    "encoder": ("Data to features, once a datum whatever the number of samples.", "`model.encoder`"),
    "posterior": (
        r"Features, and top-down state where there is some, to $q(z_i \mid z_{<i}, x)$.",
        "`model.posterior`",
    ),
    "prior": (r"The latent groups, their order and shapes, and $p(z_i \mid z_{<i})$ of each.", "`model.prior`"),
    "decoder": ("What the prior reads out of the latents to the parameters of the likelihood.", "`model.decoder`"),
    "likelihood": (r"Parameters to $p(x \mid z)$.", "`model.likelihood`"),
    "divergence": (
        "Terms that the objective `elbo` adds to the distortion, nats a datum. Each has a `weight`, a number or a "
        "schedule.",
        "`objective.divergences`",
    ),
    "objective": ("What training minimises: one loss a player.", "`objective`"),
    "dataset": ("Where data come from, how they are split, and how grey levels become bits.", "`data`"),
    "schedule": (
        "A number that depends on the step. It stands wherever a key has the type `schedule`: weights, learning "
        "rates, capacities. A bare number is the schedule `constant`.",
        "",
    ),
    "optimiser": ("What takes the steps. The model has one, and each adversary has its own.", "`training.optimiser`"),
    "metric": (
        "Numbers measured on a split. The name of a value states the estimator's choices.",
        "`evaluation.metrics` and `training.validation`",
    ),
    "figure": ("Pictures that are drawn after training.", "`evaluation.figures`"),
    "extractor": (
        "Features of pictures, by which generated data are compared with real ones.",
        "the key `extractor` of metrics and figures of generation",
    ),
    "sampler": ("Where the latents of new data come from.", "the option `--sampler` of the command `sample`"),
    "tracker": ("Where metrics and figures go besides the run directory.", "`trackers`"),
}


#: Who searches for the name of a component wants its own section before the pages that mention it.
_FOUND_FIRST = "---\nsearch:\n  boost: 4\n---"


def component_page(registry: Registry) -> str:
    """All kinds of a family."""
    words, place = FAMILY.get(registry.family, ("", ""))
    parts = [_FOUND_FIRST, f"# {title(registry.family)}", words]
    if place:
        parts.append(f"Where it stands: {place}.")
    parts += [component(registry.family, entry, example_of(registry, entry.kind)) for entry in registry]
    return "\n\n".join(part for part in parts if part) + "\n"


def component(family: str, entry: Entry, shown: str | None = None) -> str:
    """One kind: docstring, what it does as a picture, keys, example, and the picture of a model that uses it."""
    content = json.dumps({key: _short(value) for key, value in json.loads(example(entry)).items()}, indent=2)
    parts = [
        f"## `{entry.kind}`",
        docstring(entry),
        drawing(family, entry) or "",
        field_table(arguments(entry.config)),
        f"```json\n{content}\n```",
    ]
    if shown:
        link = f"[`{shown}`](../gallery.md#{shown})"
        parts += [
            picture(shown, up="../"),
            f"In the experiment {link}: test data, reconstructions and new data, after a short run.",
        ]
    return "\n\n".join(part for part in [*parts, f"Defined in `{entry.module}`."] if part)


def drawing(family: str, entry: Entry) -> str | None:
    """What a kind does as a picture with its description: drawn now, stored, or of a stored run; None where there is none."""
    if issubclass(entry.component, Schedule):
        return curve(entry.component(entry.config()))
    if issubclass(entry.component, Encoder | Decoder):
        return diagram(family, entry)
    found = described(family, entry.kind) or (figure_of(entry.kind) if issubclass(entry.component, Figure) else None)
    if found is None:
        return None
    path, words = found
    return f"![{family} {entry.kind}](../{path}){{ .figure loading=lazy }}\n\n{words}"


def _short(content: Any) -> Any:
    """Constants as bare numbers, which is how one writes them."""
    if isinstance(content, dict):
        if content.keys() == {"kind", "value"} and content["kind"] == "constant":
            return content["value"]
        return {key: _short(value) for key, value in content.items()}
    return content


def overview() -> str:
    """The list of all kinds."""
    lines = [
        "# Components",
        "These pages are generated from what is registered. `python -m vaelab list` and "
        "`python -m vaelab show FAMILY KIND` print the same.",
        "| family | kinds |\n| --- | --- |",
    ]
    rows = [
        f"| [{title(name)}]({name}.md) | {', '.join(f'[`{e.kind}`]({name}.md#{e.kind})' for e in registry)} |"
        for name, registry in FAMILIES.items()
    ]
    return "\n\n".join(lines) + "\n" + "\n".join(rows) + "\n"


# Results


def results_page(folder: Path) -> str:
    """Every run directory below `folder`."""
    runs = {path.parent.name: _load(path.parent) for path in sorted(folder.glob("*/evaluation.json"))}
    parts = [
        "# Results",
        "Each section is one run, as its run directory holds it: `config.json` is the resolved experiment, and "
        "running it again with the same versions on the same machine gives the same numbers. Values are means over "
        "the split ± their standard error over the data; the spread over seeds is not in it. NLL values can be "
        "compared only where data and binarisation are the same. A Bernoulli likelihood on grey levels is a "
        "cross-entropy and no density, so its values stand beside nothing but themselves.",
    ]
    if not runs:
        parts.append("No run is stored in this copy of the documentation.")
    if "notebook" in runs and "baseline" in runs:
        parts.append(side_by_side(runs["notebook"], runs["baseline"]))
    parts += [section(name, run) for name, run in runs.items()]
    return "\n\n".join(parts) + "\n"


def _load(path: Path) -> dict[str, Any]:
    history = path / "metrics.jsonl"
    lines = history.read_text().splitlines() if history.exists() else []
    return {
        **load(path),
        "history": [json.loads(line) for line in lines],
        "figures": sorted(path.glob("figures/*.png")),
    }


def _values(run: dict[str, Any]) -> dict[str, str]:
    values = {}
    for name, value in run["evaluation"]["values"].items():
        if value["value"] is None:
            values[name] = "not finite"
        else:
            text = written(Value(float(value["value"]), value["stderr"], value["unit"], value["better"]))
            values[name] = f"{text} {value['unit']}".strip()
    return values


def side_by_side(notebook: dict[str, Any], baseline: dict[str, Any]) -> str:
    """The tutorial as published beside the same network with its mistakes mended."""
    one, two = _values(notebook), _values(baseline)
    rows = [f"| `{name}` | {one.get(name, '')} | {two.get(name, '')} |" for name in {**one, **two}]
    return "\n\n".join(
        [
            "## The notebook and the baseline",
            "The same network on the same data; what differs is listed in the [tutorial](tutorials/one-vae-twice.md#the-mistakes).",
            "\n".join(["| value | notebook | baseline |", "| --- | --- | --- |", *rows]),
        ]
    )


def section(name: str, run: dict[str, Any]) -> str:
    """One run."""
    config, manifest, evaluation = run["config"], run["manifest"], run["evaluation"]
    data = evaluation["data"]
    training = config["training"]
    length = f"{training['epochs']} epochs" if training["epochs"] else f"{training['steps']} steps"
    commit = (manifest.get("git") or {}).get("commit", "")
    facts = [
        ("data", f"`{data['source']}`, binarisation `{data['binarisation']}`"),
        ("evaluated on", f"{evaluation['split']} split, {evaluation['number']:,} data"),
        ("samples K", ", ".join(f"`{m['kind']}` {m['samples']}" for m in evaluation["metrics"] if "samples" in m)),
        ("parameters", f"{manifest['parameters']:,}"),
        ("training", f"{length}, batches of {training['batch_size']}, seed {manifest['seed']}"),
        ("wall time", f"{manifest['wall_seconds'] / 60:.1f} minutes on {manifest['device']}"),
        ("versions", f"vaelab {manifest['versions']['vaelab']}, torch {manifest['versions']['torch']}"),
        ("commit", f"`{commit[:12]}`" if commit else "unknown"),
        ("config", f"[config.json](results/{name}/config.json)"),
    ]
    final = next((line for line in reversed(run["history"]) if line["split"] == "train"), None)
    if final:
        terms = {k: v for k, v in final.items() if k not in ("split", "step", "epoch", "lr") and "/" not in k}
        facts.append(("last logged terms", ", ".join(f"`{k}` {v:.2f}" for k, v in terms.items())))
    values = "\n".join(f"| `{key}` | {text} |" for key, text in _values(run).items())
    pictures = "\n\n".join(
        f"![{path.stem} of {name}](results/{name}/figures/{path.name}){{ .figure loading=lazy }}"
        for path in run["figures"]
    )
    return "\n\n".join(
        [
            f"## {name}",
            config["description"],
            "| of the run | |\n| --- | --- |\n" + "\n".join(f"| {key} | {text} |" for key, text in facts),
            f"| value | mean ± standard error |\n| --- | --- |\n{values}",
            pictures,
        ]
    )


def main() -> None:
    """Write all pages into the build."""
    import mkdocs_gen_files

    pages = {f"components/{name}.md": component_page(registry) for name, registry in FAMILIES.items()}
    pages |= {"components/index.md": overview(), "results.md": results_page(DOCS / "results"), "gallery.md": zoo_page()}
    pages["studies.md"] = studies_page(DOCS / "results" / "studies")
    pages["papers.md"] = papers_page(read_papers(DOCS.parent / "experiments" / "papers"), DOCS / "results")
    pages["leaderboard.md"] = leaderboard_page(DOCS / "results")
    # the experiments themselves, which the zoo links to
    pages |= {path.relative_to(DOCS.parent).as_posix(): path.read_text() for path in files().values()}
    for path, text in pages.items():
        with mkdocs_gen_files.open(path, "w") as file:
            file.write(text)


if __name__ in ("__main__", "<run_path>"):
    main()
