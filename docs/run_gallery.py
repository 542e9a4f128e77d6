"""Run experiments for a minute of processor time each, and show them: `python docs/run_gallery.py FILE...`.

The number of steps is what the time allows, measured on the first steps, and no more than the file asks for. Schedules
and metrics are shortened with it. The config that results is stored beside the picture.
"""

from __future__ import annotations

import argparse
import copy
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))

from add_gallery import GALLERY, OWN, add

import vaelab
from vaelab.build import build
from vaelab.config import parse_experiment
from vaelab.errors import VaelabError
from vaelab.reading import read_json
from vaelab.registry import DATASETS
from vaelab.runs import load_data, resolve_device
from vaelab.training import Reporter, StoppedError, Trainer

WARM, TIMED, LEAST = 4, 16, 100
TEST = 2000
#: Epochs, at most, of the fit of a sampler.
FIT = 10
SAMPLES, LIMIT = 50, 200

Content = dict[str, Any]


class Clock(Reporter):
    """A reporter that notes the processor time of each step."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def advance(self, step: int) -> None:
        self.times.append(time.process_time())


def measured(content: Content) -> tuple[float, int]:
    """Seconds a step, and the steps that the file asks for."""
    training = {**content["training"], "epochs": None, "steps": WARM + TIMED}
    experiment = parse_experiment({**content, "training": training})
    torch.manual_seed(experiment.seed)
    model, objective = build(experiment.model, experiment.objective, DATASETS.build(experiment.data).spec)
    data = load_data(experiment, resolve_device("cpu"))
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(model, objective, data, experiment.training, seed=0, folder=Path(folder), reporter=clock)
        trainer.train()
    seconds = (clock.times[-1] - clock.times[WARM - 1]) / TIMED
    asked = content["training"]
    return seconds, asked.get("steps") or asked["epochs"] * trainer.steps_per_epoch


def shortened(content: Content, budget: float) -> Content:
    """The experiment in a form that trains for about `budget` seconds and is evaluated quickly."""
    content = copy.deepcopy(content)
    content["data"] = _first_data(parse_experiment(content).model_dump(mode="json")["data"])
    seconds, asked = measured(content)
    steps = max(min(asked, int(budget / seconds)), min(asked, LEAST))
    _scale(content.get("objective"), steps / asked)
    _scale(content["model"], steps / asked)
    content["training"].pop("epochs", None)
    content["training"]["steps"] = steps
    resolved = parse_experiment(content).evaluation.model_dump(mode="json")
    metrics = [_limited(metric) for metric in resolved["metrics"]]
    # one picture: of the kind made for the data, else of samples that the experiment does not draw from the prior
    figures = [_quick(figure) for figure in resolved["figures"] if figure["kind"] in ("samples", *OWN)]
    figures.sort(key=lambda figure: (figure["kind"] not in OWN, figure.get("sampler", {}).get("kind") == "prior"))
    content["evaluation"] = {**content.get("evaluation", {}), "metrics": metrics, "figures": figures[:1]}
    return content


def _first_data(data: Content) -> Content:
    """The data set, or the one that it changes, with a small test part where that can be asked for."""
    if isinstance(data.get("data"), dict):
        return {**data, "data": _first_data(data["data"])}
    return {**data, "test_limit": min(data["test_limit"] or TEST, TEST)} if "test_limit" in data else data


def _scale(node: Any, ratio: float) -> None:
    """Spans of schedules are a part of the training, and stay the same part."""
    if isinstance(node, dict):
        if "kind" in node and ("start" in node or "end" in node):
            if node.get("epochs"):
                node["epochs"] = node["epochs"] * ratio
            if node.get("steps"):
                node["steps"] = max(1, round(node["steps"] * ratio))
        for child in node.values():
            _scale(child, ratio)
    elif isinstance(node, list):
        for child in node:
            _scale(child, ratio)


def _quick(figure: Content) -> Content:
    """A density that is fitted to the latents for it is fitted quickly as well."""
    sampler = dict(figure.get("sampler", {}))
    if sampler.get("epochs"):
        sampler["epochs"] = min(sampler["epochs"], FIT)
    if sampler.get("training", {}).get("epochs"):
        sampler["training"] = {**sampler["training"], "epochs": min(sampler["training"]["epochs"], FIT)}
    return {**figure, "sampler": sampler} if sampler else figure


def _limited(metric: Content) -> Content:
    if metric["kind"] == "importance_nll":
        return {**metric, "samples": SAMPLES, "limit": LIMIT}
    return {**metric, "limit": min(metric["limit"] or TEST, TEST)} if "limit" in metric else metric


def main() -> None:
    """Run the files one after the other; one that fails does not stop the others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--budget", type=float, default=60.0, help="seconds of processor time for the training")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder of the runs")
    parser.add_argument("--again", action="store_true", help="also those that are shown already")
    options = parser.parse_args()
    for file in options.files:
        if (GALLERY / file.stem / "gallery.png").exists() and not options.again:
            continue
        started = time.process_time()
        try:
            content = shortened(read_json(file), options.budget)
            started = time.process_time()  # what the timing took is not part of the run
            run = vaelab.train({**content, "device": "cpu"}, options.out)
        except StoppedError:
            raise
        except VaelabError as error:
            print(f"{file.stem}: {error}", flush=True)
            continue
        run.directory.update_manifest(cpu_seconds=round(time.process_time() - started, 1))
        values = {name: value["value"] for name, value in run.evaluation["values"].items()}
        print(
            add(run).name,
            content["training"]["steps"],
            run.directory.read_manifest()["cpu_seconds"],
            values,
            flush=True,
        )


if __name__ == "__main__":
    main()
