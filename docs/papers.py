"""The pages of papers and of the leaderboard, made of experiments/papers and of the runs stored below docs/results."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vaelab.config import load_experiment
from vaelab.evaluation.tables import written
from vaelab.metrics import Value
from vaelab.reading import leaves
from vaelab.reproduce import Figure, Paper, Verdict, over_seeds, verdicts

#: Wide tables need the room of the table of contents.
_WIDE = """---
hide:
  - toc
---

"""

_PAPERS = """# Figures of papers

What papers state, and what one command gives here:

```bash
python -m vaelab reproduce burda_vae_1
python -m vaelab reproduce --judge
```

The first trains one experiment, or goes on with it where it was stopped; without a name, all. The second trains nothing. Both say
what is reached: a figure where ours is better, or worse by no more than what is allowed; a difference where ours is no further off on
either side. Anything else ends with exit code 7. Of an order, the difference is the least one between
neighbours with its standard error: below two of these, chance may have decided. `--short` trains a minute's version of each
experiment that has one, and compares with what earlier runs gave: a mistake in the mathematics shows there, long before anybody
trains for hours. It is meant for every night.

Below is every figure with the run that is stored for it. A row without a run has not been trained yet. Configs, seeds,
curves and values are below `docs/results/papers/`. Times are of one processor core, of machines that did other work too."""

_LEADERBOARD = """# Leaderboard

All stored runs with an importance-sampled likelihood, ranked by it, for each data set and binarisation. It says which compositions
reach what within which time, of those that were run here with the budgets that their configs state. Values of fewer data than
the test set say so, and values of different K are not of one kind: the smaller K, the further the value lies above
$-\\log p(x)$."""

#: Minutes that a budget ends at, with its name.
_BUDGETS = ((15.0, "up to 15 minutes"), (120.0, "up to 2 hours"), (float("inf"), "longer"))


def papers_page(papers: list[Paper], results: Path) -> str:
    """Published and ours, for each paper.

    Args:
        papers: what is published.
        results: stored runs: those of papers below `papers`, and of experiments with several seeds below `studies`.
    """
    return _WIDE + "\n\n".join([_PAPERS, *(_paper(paper, results) for paper in papers)]) + "\n"


def _stored(results: Path, paper: str, name: str, seeds: int) -> list[Path]:
    """The folders of an experiment's runs, one a seed; none where some are missing."""
    if seeds == 1:
        one = results / "papers" / paper / name
        return [one] if (one / "evaluation.json").exists() else []
    found = sorted(path.parent for path in results.glob(f"studies/*/{name}/seed-*/evaluation.json"))
    return found if len(found) == seeds else []


def _paper(paper: Paper, results: Path) -> str:
    folders = {
        name: _stored(results, paper.name, figure.experiment or name, figure.seeds)
        for name, figure in paper.figures.items()
    }
    runs = {name: [load(folder) for folder in found] for name, found in folders.items() if found}
    values = {name: over_seeds([run["evaluation"]["values"] for run in found]) for name, found in runs.items()}
    lines = [
        "| what | published | ours | difference | allowed | reached | minutes |",
        "| --- | ---: | ---: | ---: | ---: | --- | ---: |",
    ]
    lines += [_row(verdict, runs) for verdict in verdicts(paper, values)]
    # what counts in an order only, or is here for the leaderboard
    lines += [
        _row(_unpublished(paper.name, name, figure, values[name][figure.value]), runs)
        for name, figure in paper.figures.items()
        if figure.published is None and name in runs
    ]
    departures = [
        f"- `{name}`: {'; '.join(figure.departs)}." for name, figure in paper.figures.items() if figure.departs
    ]
    pictures = [
        f"![Curves of {name}](results/{found[0].relative_to(results).as_posix()}/figures/curves.png){{ .figure loading=lazy }}"
        for name, found in folders.items()
        if found and (found[0] / "figures" / "curves.png").exists()
    ]
    parts = [f"## {paper.title}", f"<{paper.source}>", "\n".join(lines)]
    if departures:
        parts += ["What departs from the paper:", "\n".join(departures)]
    earlier = {name: _changed(paper, name, found[0]) for name, found in folders.items() if found}
    if any(earlier.values()):
        parts += [
            "Stored runs of earlier versions of an experiment, with the keys that it has changed since:",
            "\n".join(
                f"- `{name}`: {', '.join(f'`{key}`' for key in keys)}." for name, keys in earlier.items() if keys
            ),
        ]
    return "\n\n".join([*parts, *pictures])


def _changed(paper: Paper, name: str, folder: Path) -> list[str]:
    """The keys in which an experiment is another than that of the stored run, whose seed does not count."""
    now, then = (
        dict(leaves(json.loads(experiment.to_json())))
        for experiment in (paper.experiment(name), load_experiment(folder / "config.json"))
    )
    return [key for key in now | then if key != "seed" and now.get(key) != then.get(key)]


def _unpublished(paper: str, name: str, figure: Figure, ours: dict[str, Any]) -> Verdict:
    return Verdict(
        paper, (name,), figure.what, figure.value, "", None, float(ours["value"]), ours["stderr"], reached=None
    )


def _row(verdict: Verdict, runs: dict[str, list[dict[str, Any]]]) -> str:
    ours = ""
    if isinstance(verdict.ours, float):
        ours = written(Value(verdict.ours, verdict.error))
    elif verdict.ours is not None:
        ours = "the same" if verdict.reached else "another"
    times = [minutes(run["manifest"]) for name in verdict.experiments for run in runs.get(name, [])]
    cells = (
        f"{verdict.what} `{verdict.value}`",
        _decimals(verdict.published, verdict.published)
        if isinstance(verdict.published, float)
        else verdict.published and "this order",
        ours,
        _difference(verdict),
        "" if verdict.within is None else f"{verdict.within:g}",
        {True: "yes", False: "no", None: "" if ours else "not run"}[verdict.reached],
        f"{sum(times):.0f}" if times else "",
    )
    return "| " + " | ".join(cells) + " |"


def _decimals(value: float, published: float, sign: str = "") -> str:
    """Two decimals, and four where what is published is less than 1, such as an accuracy."""
    return f"{value:{sign}.{2 if abs(published) >= 1 else 4}f}"


def _difference(verdict: Verdict) -> str:
    if verdict.difference is None:
        return ""
    if verdict.gap is None:
        published = verdict.published if isinstance(verdict.published, float) else 1.0
        return _decimals(verdict.difference, published, "+")
    return f"{'+' if verdict.gap >= 0 else ''}{written(Value(verdict.gap, verdict.error))}"


@dataclass(frozen=True)
class _Entry:
    """One stored run with its likelihood of the largest K."""

    run: Path
    samples: int
    value: Value
    data: str
    number: int
    of: int
    config: dict[str, Any]
    manifest: dict[str, Any]


def leaderboard_page(results: Path) -> str:
    """All runs below a folder, for each data set."""
    boards: dict[str, list[_Entry]] = defaultdict(list)
    for entry in _entries(results):
        boards[entry.data].append(entry)
    parts = [_LEADERBOARD]
    for data, entries in sorted(boards.items(), key=lambda item: -len(item[1])):
        parts.append(f"## {data}")
        for most, words in _BUDGETS:
            least = max((end for end, _ in _BUDGETS if end < most), default=0.0)
            chosen = [e for e in entries if least < minutes(e.manifest) <= most]
            if chosen:
                parts += [
                    f"### Trained and evaluated in {words}" if most < float("inf") else "### Longer",
                    _board(chosen, results),
                ]
    return _WIDE + "\n\n".join(parts) + "\n"


def _entries(results: Path) -> Iterator[_Entry]:
    for path in sorted(results.rglob("evaluation.json")):
        run = load(path.parent)
        evaluation, data = run["evaluation"], run["evaluation"]["data"]
        found = {
            int(match[1]): value
            for name, value in evaluation["values"].items()
            if (match := re.fullmatch(r"nll_is(\d+)", name)) and value["value"] is not None
        }
        # grey levels scored by a Bernoulli are no likelihood, data beside the real ones no benchmark, and the likelihood of
        # what was observed compares with that of nothing else
        if not found or data.get("binarisation") in (None, "none") or run["config"]["data"]["kind"] == "incomplete":
            continue
        samples = max(found)
        value = found[samples]
        yield _Entry(
            path.parent,
            samples,
            Value(value["value"], value["stderr"]),
            f"{data['source']}, {data['binarisation']} binarisation",
            _number(samples, value, evaluation),
            evaluation["number"],
            run["config"],
            run["manifest"],
        )


def _number(samples: int, value: dict[str, Any], evaluation: dict[str, Any]) -> int:
    """Of how many data a likelihood is. Older runs say it in the metric only."""
    limits = [
        m.get("limit") for m in evaluation["metrics"] if m["kind"] == "importance_nll" and m["samples"] == samples
    ]
    return min(number for number in (value.get("number"), *limits, evaluation["number"]) if number)


def _board(entries: list[_Entry], results: Path) -> str:
    lines = [
        "| NLL, nats ↓ | K | run | composition | parameters | length | minutes |",
        "| ---: | ---: | --- | --- | ---: | --- | ---: |",
    ]
    for entry in sorted(entries, key=lambda entry: entry.value.value):
        few = "" if entry.number == entry.of else f" (of {entry.number:,} data)"
        training = entry.config["training"]
        length = f"{training['epochs']} epochs" if training["epochs"] else f"{training['steps']:,} steps"
        link = f"[{entry.config['name']}](results/{entry.run.relative_to(results).as_posix()}/config.json)"
        seed = f", seed {entry.manifest['seed']}"
        cells = (
            f"{written(entry.value)}{few}",
            f"{entry.samples:,}",
            link + seed,
            _composition(entry.config),
            f"{entry.manifest['parameters']:,}",
            length,
            f"{minutes(entry.manifest):.0f}",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _composition(config: dict[str, Any]) -> str:
    kinds = [config["model"][part]["kind"] for part in ("encoder", "posterior", "prior", "decoder")]
    return ", ".join(f"`{kind}`" for kind in [*kinds, config["objective"]["kind"]])


def minutes(manifest: dict[str, Any]) -> float:
    """Of one core where it was recorded, else of the clock."""
    return float(manifest.get("processor_seconds") or manifest["wall_seconds"]) / 60


def load(folder: Path) -> dict[str, Any]:
    """Config, manifest and evaluation of a stored run."""
    return {name: json.loads((folder / f"{name}.json").read_text()) for name in ("config", "manifest", "evaluation")}
