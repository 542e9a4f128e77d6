"""Copy finished runs into docs/gallery, each with one small picture: `python docs/add_gallery.py RUN...`."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.distributions import Distribution

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

from add_result import without_places

from vaelab.config import Experiment
from vaelab.distributions import AutoregressivePixels
from vaelab.figures import Figure, FigureContext
from vaelab.figures.sheets import Labels, expected, pick, sheet
from vaelab.figures.tiles import in_rows
from vaelab.metrics import seeded
from vaelab.model import VAE
from vaelab.registry import FIGURES, SAMPLERS, ComponentConfig
from vaelab.runs import Run, load_run
from vaelab.samplers import Sampler

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

GALLERY = DOCS / "gallery"
COLUMNS = 10
SAMPLE_ROWS = 3
#: Dots an inch, and grey levels or colours, of the stored picture.
RESOLUTION, LEVELS = 62, 48
#: Figures that show data better than a sheet does: by kind, with arguments that keep them small.
OWN = {"sequences": {"number": 3, "swaps": 0}, "imputations": {"number": COLUMNS, "draws": 2, "samples": 50}}


def add(run: Run) -> Path:
    """Copy what the page of the gallery needs of one run, replacing an older one of the same name."""
    manifest = run.directory.read_manifest()
    if manifest["status"] != "finished":
        raise SystemExit(f"{run.path}: its status is {manifest['status']}, and only a finished run is shown")
    target = GALLERY / manifest["name"]
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    shutil.copy(run.directory.config, target / "config.json")
    for name, content in (("manifest", manifest), ("evaluation", run.evaluation)):
        (target / f"{name}.json").write_text(json.dumps(without_places(content), indent=2) + "\n")
    shown = picture(run)
    if shown is not None:
        (target / "gallery.png").write_bytes(stored(shown))
    return target


def picture(run: Run) -> Picture | None:
    """Data, reconstructions and new data in one picture; None where data of this shape cannot be shown."""
    model, seed = run.model, run.experiment.evaluation.seed
    context = FigureContext(run.data, seed=seed)
    with model.evaluating(), torch.no_grad(), seeded(seed):
        for kind, arguments in OWN.items():
            if _figure(run.experiment, kind):
                figure: Figure[Any] = FIGURES.build(FIGURES[kind].config.model_validate(arguments))
                drawn = figure.draw(model, context)
                if drawn:
                    return next(iter(drawn.values()))
        return _sheet(model, run.experiment, context)


def _sheet(model: VAE, experiment: Experiment, context: FigureContext) -> Picture | None:
    batch = pick(model, context.data.test, COLUMNS)
    reconstructions = _seen(model.infer(batch).likelihood)[0]
    source = getattr(_figure(experiment, "samples"), "sampler", None) or SAMPLERS["prior"].config.example()
    sampler: Sampler[Any] = SAMPLERS.build(source)
    sampler.fit(model, lambda: context.data)
    new = _seen(sampler.sample(SAMPLE_ROWS * COLUMNS).likelihood)[0]
    rows = [list(batch.x), list(reconstructions), *in_rows(new, COLUMNS)]
    labels = Labels("", rows=["data", "model", *[source.kind] * SAMPLE_ROWS])
    return sheet(rows, model.data, labels, context)


def _seen(likelihood: Distribution) -> Tensor:
    """E[x | z], or a draw where the likelihood has no such mean and pixels are drawn one after another."""
    return likelihood.sample() if isinstance(likelihood, AutoregressivePixels) else expected(likelihood)


def _figure(experiment: Experiment, kind: str) -> ComponentConfig | None:
    return next((figure for figure in experiment.evaluation.figures if figure.kind == kind), None)


def stored(drawn: Picture) -> bytes:
    """As a PNG of few levels, so that a page of many pictures stays light."""
    from PIL import Image

    drawn.suptitle("")  # the page says what it is
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", dpi=RESOLUTION, bbox_inches="tight", pad_inches=0.04)
    small = io.BytesIO()
    Image.open(buffer).convert("RGB").quantize(LEVELS).save(small, format="PNG", optimize=True)
    return small.getvalue()


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(add(load_run(argument, "cpu")))
