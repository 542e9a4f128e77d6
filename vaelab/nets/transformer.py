"""Blocks that the vision transformers share."""

from __future__ import annotations

from torch import nn

from vaelab.errors import BuildError


def transformer(family: str, width: int, heads: int, depth: int, expansion: int) -> nn.Sequential:
    """Pre-normalised transformer blocks with GELUs and no dropout, and a layer normalisation at the end.

    Maps tokens `[N, T, width]` to the same (Dosovitskiy et al. 2021, equations 2 and 3).

    Args:
        family: of the component 'vit' that they are for, for the message.
        width: length of a token.
        heads: attention heads; they must divide the width.
        depth: number of blocks.
        expansion: how many times wider the hidden layer of each block is.

    Raises:
        BuildError: the heads do not divide the width.
    """
    if width % heads:
        raise BuildError(
            f"{family} 'vit' splits its width among its heads, and {width} is no multiple of {heads}. Change one of the "
            "two."
        )
    blocks = [
        nn.TransformerEncoderLayer(
            width, heads, expansion * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        for _ in range(depth)
    ]
    return nn.Sequential(*blocks, nn.LayerNorm(width))
