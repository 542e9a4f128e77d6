"""Blocks that the vision transformers share."""

from __future__ import annotations

from pydantic import PositiveInt
from torch import nn

from vaelab.errors import BuildError
from vaelab.registry import ComponentConfig


class TransformerConfig(ComponentConfig):
    """Arguments of the components that are transformers."""

    width: PositiveInt = 64
    """Length of a token."""

    depth: PositiveInt = 4
    """Transformer blocks."""

    heads: PositiveInt = 4
    """Attention heads; they must divide the width."""

    expansion: PositiveInt = 2
    """How many times wider the hidden layer of each block is."""


def transformer(family: str, config: TransformerConfig) -> nn.Sequential:
    """Pre-normalised transformer blocks with GELUs and no dropout, and a layer normalisation at the end.

    Maps tokens `[N, T, width]` to the same (Dosovitskiy et al. 2021, equations 2 and 3).

    Args:
        family: of the component 'vit' that they are for, for the message.
        config: sizes.

    Raises:
        BuildError: the heads do not divide the width.
    """
    width, heads = config.width, config.heads
    if width % heads:
        raise BuildError(
            f"{family} 'vit' splits its width among its heads, and {width} is no multiple of {heads}. Change one of the "
            "two."
        )
    blocks = [
        nn.TransformerEncoderLayer(
            width, heads, config.expansion * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        for _ in range(config.depth)
    ]
    return nn.Sequential(*blocks, nn.LayerNorm(width))
