"""The Inception network of FID, in terms of torchvision's."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.inception import (
    BasicConv2d,
    Inception3,
    InceptionA,
    InceptionAux,
    InceptionB,
    InceptionC,
    InceptionD,
    InceptionE,
)

from vaelab.errors import DataError
from vaelab.nets.frozen import freeze


def _average(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def _maximum(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, stride=1, padding=1)


class _OwnPooling:
    """A block whose last branch pools as the network of 2015 does: averages leave out the padding."""

    pooling = staticmethod(_average)

    def _forward(self: Any, x: Tensor) -> list[Tensor]:
        *branches, _ = super()._forward(x)  # type: ignore[misc]
        return [*branches, self.branch_pool(self.pooling(x))]


class _A(_OwnPooling, InceptionA):  # type: ignore[misc]
    pass


class _C(_OwnPooling, InceptionC):  # type: ignore[misc]
    pass


class _E(_OwnPooling, InceptionE):  # type: ignore[misc]
    pass


def inception_2015() -> Any:
    """Inception v3 as Szegedy et al. published it on 2015-12-05, of which FID is a function; without weights.

    It differs from torchvision's in three points: averages of pooling branches leave out the padding, the last block's
    pooling branch takes a maximum, and there are 1008 logits.
    """
    blocks: list[Any] = [BasicConv2d, _A, InceptionB, _C, InceptionD, _E, InceptionAux]
    network = Inception3(1008, aux_logits=False, inception_blocks=blocks, init_weights=False)
    network.Mixed_7c.pooling = _maximum
    network.dropout = nn.Identity()
    return network


class InceptionFeatures(nn.Module):
    """2048 features and 1008 logits of pictures `[N, 3, 299, 299]` in [-1, 1].

    Args:
        weights: state dictionary of `inception_2015`.

    Raises:
        DataError: the file is missing, or is not this network's.
    """

    def __init__(self, weights: Path) -> None:
        super().__init__()
        self.network = inception_2015()
        try:
            # weights_only: a pickle would run its code
            self.network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        except (OSError, RuntimeError, ValueError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
            what = "it is no file of tensors" if isinstance(error, pickle.UnpicklingError) else error
            raise DataError(
                f"the weights of extractor 'inception' cannot be read from {weights}: {what}. Delete the file, so that it is "
                "downloaded again."
            ) from error
        self.head = self.network.fc
        self.network.fc = nn.Identity()
        freeze(self)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features `[N, 2048]`, after the average over positions, and logits `[N, 1008]`."""
        features = self.network(x)
        return features, self.head(features)
