"""Copy the runs of a study into docs/results/studies and compare them: `python docs/add_study.py STUDY RUN...`.

Each run leaves its config, manifest, values and curve, and the first seed of each configuration its pictures. Beside them lie the
comparison over seeds (`comparison.json`, `.md`, `.csv`) and, for models with diagonal normal latents and several seeds, the
unsupervised ranking (`udr.json`). `study.json`, written by hand beforehand, names the values to compare, and `about.md` says what
they show; see `studies.py`.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections import defaultdict
from contextlib import chdir
from pathlib import Path
from typing import Any

from add_result import RESULTS, copy

import vaelab
from vaelab.comparison import compare
from vaelab.errors import DataError
from vaelab.metrics.udr import rank_models

STUDIES = RESULTS / "studies"


def add(study: str, runs: list[Path]) -> Path:
    """Copy the runs of one study in place of those that were there."""
    folder = STUDIES / study
    for old in folder.glob("*/"):
        shutil.rmtree(old)
    seeds: dict[str, dict[int, Path]] = defaultdict(dict)
    for run in runs:
        manifest = json.loads((run / "manifest.json").read_text())
        seeds[manifest["name"]][manifest["seed"]] = run
    copies = [
        copy(run, folder / name / f"seed-{seed}", figures=seed == min(found)).relative_to(folder)
        for name, found in seeds.items()
        for seed, run in sorted(found.items())
    ]
    with chdir(folder):  # so that no folder of the machine is in the files
        compare(copies, metrics=list(json.loads(Path("study.json").read_text())["values"])).write(".")
    scores = {name: ranked for name, found in seeds.items() if (ranked := _udr(found))}
    if scores:
        (folder / "udr.json").write_text(json.dumps(scores, indent=2) + "\n")
    return folder


def _udr(runs: dict[int, Path]) -> dict[int, float]:
    """UDR of each seed's model among those of the same configuration; empty where it is not defined."""
    loaded = {seed: vaelab.load_run(run, "cpu") for seed, run in sorted(runs.items())}
    if len(loaded) < 2:
        return {}
    split: Any = next(iter(loaded.values())).data.test
    try:
        values = rank_models([run.model for run in loaded.values()], split)
    except DataError:
        return {}
    return {seed: float(value) for seed, value in zip(loaded, values, strict=True)}


if __name__ == "__main__":
    print(add(sys.argv[1], [Path(run) for run in sys.argv[2:]]))
