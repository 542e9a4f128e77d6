"""Points of many dimensions in two."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

#: Dimensions that are left before neighbours are looked for.
_BEFORE_TSNE = 50


def principal_plane(points: Tensor) -> tuple[Tensor, tuple[float, float] | None]:
    """The plane of the two principal components.

    Args:
        points: `[N, D]`, D at least 2.

    Returns:
        `[N, 2]`, and the shares of the variance that lie along the two axes. Two numbers a point are left as they are, and
        points that are all the same are put at 0; then the shares are None.
    """
    if points.shape[1] == 2:
        return points, None
    centred = points - points.mean(0)
    if len(points) < 2 or not centred.any():  # principal components of a point are undefined
        return centred[:, :2], None
    pca = _pca(points, 2)
    found = torch.from_numpy(pca.fit_transform(points.numpy()))
    first, second = pca.explained_variance_ratio_
    return found, (float(first), float(second))


def neighbour_plane(points: Tensor, seed: int = 0) -> Tensor:
    """t-SNE (van der Maaten & Hinton 2008), `[N, 2]`: who is near whom, begun at the principal plane.

    Args:
        points: `[N, D]` with N at least 4, not all the same; 1,000 take seconds.
        seed: of the descent.
    """
    from sklearn.manifold import TSNE

    array = points.numpy()
    if min(points.shape) > _BEFORE_TSNE:
        array = _pca(points, _BEFORE_TSNE).fit_transform(array)
    perplexity = min(30.0, (len(points) - 1) / 3)
    start = "pca" if points.shape[1] > 1 else "random"
    found = TSNE(2, init=start, perplexity=perplexity, max_iter=500, random_state=seed).fit_transform(array)
    return torch.from_numpy(found).double()


def _pca(points: Tensor, dimensions: int) -> Any:
    from sklearn.decomposition import PCA

    return PCA(dimensions, svd_solver="full" if min(points.shape) < 50 else "randomized", random_state=0)
