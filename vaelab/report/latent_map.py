"""Where test data lie among the latents, as numbers and thumbnails that a page can show."""

from __future__ import annotations

import base64
import io
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vaelab.figures.planes import neighbour_plane, principal_plane
from vaelab.figures.sheets import pick_batches
from vaelab.figures.tiles import as_picture
from vaelab.metrics import posterior_means, seeded
from vaelab.model import VAE
from vaelab.types import Batch, DataSpec, DataSplits
from vaelab.wording import some

FORMAT = 1
#: Test data, at most; t-SNE of so many takes seconds.
NUMBER = 1000
#: Pixels of the longer side of a thumbnail, at most.
SIDE = 32
#: Thumbnails a row of the sheet.
COLUMNS = 32
#: Numbers of a datum that is no picture, which are written out.
_WRITTEN = 12


def latent_map(model: VAE, data: DataSplits, seed: int = 0, batch_size: int = 500) -> dict[str, Any]:
    """The content of latent_map.json: places of up to 1,000 test data in the first and the last latent group.

    Each group has the places `pca` and `tsne` in [0, 1], or says in words why it has none.
    """
    with model.evaluating(), torch.no_grad(), seeded(seed):
        batches = list(pick_batches(model, data.test, NUMBER, batch_size))
        depth = model.depth
        groups = [_group_or_why_not(model, batches, i, seed) for i in dict.fromkeys((0, depth - 1))]
    x = torch.cat([batch.x.cpu() for batch in batches])
    labels = [batch.y.cpu() for batch in batches if batch.y is not None and batch.y.ndim == 1]
    return {
        "format": FORMAT,
        "number": len(x),
        "depth": depth,
        "labels": torch.cat(labels).tolist() if labels else None,
        "groups": groups,
        **(_pictures(x, data.test.spec) if any("pca" in group for group in groups) else {}),
    }


def _group_or_why_not(model: VAE, batches: list[Batch], i: int, seed: int) -> dict[str, Any]:
    try:
        return _group(model, batches, i, seed)
    except Exception as error:  # whatever it is, the run has succeeded and its values are worth more than a map
        return {"group": i, "omitted": f"The map could not be made ({type(error).__name__}: {error})."}


def _group(model: VAE, batches: list[Batch], i: int, seed: int) -> dict[str, Any]:
    spec = model.prior.latent.groups[i]
    if spec.support == "codes":
        return {"group": i, "omitted": "This group is made of codes, which have no places in a plane."}
    means = posterior_means(model, batches, i)
    if not means.isfinite().all():
        return {"group": i, "omitted": "Some posterior means are not finite."}
    if float(means.std(0, correction=0).max()) < 1e-6:
        return {"group": i, "omitted": "The posterior means of all data are the same: the group has collapsed."}
    if len(means) < 4:
        return {"group": i, "omitted": "There are too few test data for a map."}
    if means.shape[1] == 1:  # one number: spread it out along its rank, so that points do not hide each other
        rank = means[:, 0].argsort().argsort().double().unsqueeze(1)
        return {"group": i, "size": 1, "pca": _unit(torch.cat([means, rank], 1)), "shares": None}
    plane, shares = principal_plane(means)
    return {
        "group": i,
        "size": means.shape[1],
        "pca": _unit(plane),
        "shares": shares,
        "tsne": _unit(neighbour_plane(means, seed)),
    }


def _unit(points: Tensor) -> list[list[float]]:
    """Scaled into [0, 1], both axes alike where they are comparable."""
    low, high = points.min(0).values, points.max(0).values
    scaled = (points - low) / (high - low).clamp_min(1e-12)
    return [[round(x, 4), round(y, 4)] for x, y in scaled.tolist()]


def _pictures(x: Tensor, spec: DataSpec) -> dict[str, Any]:
    """A sheet of thumbnails for images and sequences; for vectors their numbers in words."""
    if len(spec.shape) == 1:
        return {"texts": [_words(row) for row in x.tolist()]}
    images = x if len(spec.shape) == 3 else x.transpose(1, 2).unsqueeze(1)  # time runs to the right
    images = torch.stack([as_picture(image.float()) for image in images])
    if spec.values == "real":
        low, high = images.flatten(1).min(1).values, images.flatten(1).max(1).values
        shape = (-1, 1, 1, 1)
        images = (images - low.view(shape)) / (high - low).clamp_min(1e-12).view(shape)
    longer = max(images.shape[-2:])
    if longer > SIDE:
        size = [max(1, round(side * SIDE / longer)) for side in images.shape[-2:]]
        images = F.interpolate(images, size=size, mode="area")
    return {"sheet": _sheet(images.clamp(0, 1))}


def _sheet(images: Tensor) -> dict[str, Any]:
    from PIL import Image

    number, channels, height, width = images.shape
    columns = min(COLUMNS, number)
    rows = math.ceil(number / columns)
    filled = torch.zeros(rows * columns, channels, height, width)
    filled[:number] = images
    whole = filled.view(rows, columns, channels, height, width).permute(2, 0, 3, 1, 4)
    levels = (whole.reshape(channels, rows * height, columns * width) * 255).round().to(torch.uint8)
    array = levels[0] if channels == 1 else levels.permute(1, 2, 0)
    out = io.BytesIO()
    picture = Image.fromarray(array.contiguous().numpy())
    # photographs are a tenth of the size as JPEG, and thumbnails show no difference
    kind = "png" if channels == 1 else "jpeg"
    picture.save(out, kind, **({"optimize": True} if kind == "png" else {"quality": 85}))
    return {
        "data": f"data:image/{kind};base64,{base64.b64encode(out.getvalue()).decode()}",
        "size": [width, height],
        "columns": columns,
        "rows": rows,
    }


def _words(row: list[float]) -> str:
    return some([f"{value:.3g}" for value in row], _WRITTEN)
