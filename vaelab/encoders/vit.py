"""Vision transformer encoder."""

from __future__ import annotations

import math
from typing import Literal

import torch
from einops import rearrange, repeat
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from vaelab.encoders.base import Encoder
from vaelab.nets.transformer import TransformerConfig, transformer
from vaelab.registry import ENCODERS
from vaelab.types import BuildContext, require_image


class ViTConfig(TransformerConfig):
    """Arguments of the vision transformer."""

    kind: Literal["vit"] = "vit"

    patch: PositiveInt = 4
    """Height and width of a patch. Images whose sides are no multiples are padded with zeros, below and to the right."""

    pooling: Literal["class_token", "mean"] = "class_token"
    """The feature: what a token of its own has gathered, or the mean over the patches."""

    @classmethod
    def example(cls) -> ViTConfig:
        return cls(width=8, depth=1, heads=2)


@ENCODERS.register(ViTConfig)
class ViT(Encoder[ViTConfig]):
    r"""A transformer over patches with learned positions (Dosovitskiy et al. 2021, equations 1 to 4). Yields one vector.

    $h' = h + \mathrm{MSA}(\mathrm{LN}\,h)$ and then $h' + \mathrm{MLP}(\mathrm{LN}\,h')$, block by block, with
    $\mathrm{MSA}$ the attention over all tokens, $\operatorname{softmax}(Q K^\top / \sqrt d)\,V$ for each head.

    Pre-normalised blocks with GELUs and no dropout; a layer normalisation at the end.

    *Cost*: attention is quadratic in the number of patches, all else is linear in it.

    Use it for large images and much data, where relations between distant patches count; on small data sets such as
    MNIST a `conv` of the same cost usually learns faster.
    """

    def __init__(self, config: ViTConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        require_image("encoder", config.kind, context.data)
        channels, height, width = context.data.shape
        rows, columns = math.ceil(height / config.patch), math.ceil(width / config.patch)
        # below and to the right only, in the order that F.pad wants
        self.padding = (0, columns * config.patch - width, 0, rows * config.patch - height)
        token = config.pooling == "class_token"
        self.embed = nn.Linear(channels * config.patch**2, config.width)
        self.class_token = nn.Parameter(0.02 * torch.randn(config.width)) if token else None
        self.position = nn.Parameter(0.02 * torch.randn(rows * columns + token, config.width))
        self.blocks = transformer("encoder", config)
        self.feature_shapes = ((config.width,),)

    def patches(self, x: Tensor) -> Tensor:
        """`[B, C, H, W]` to `[B, patches, C * patch * patch]`, row by row."""
        p = self.config.patch
        return rearrange(F.pad(x, self.padding), "b c (h p) (w q) -> b (h w) (c p q)", p=p, q=p)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(self.patches(x))
        if self.class_token is not None:
            tokens = torch.cat([repeat(self.class_token, "d -> b 1 d", b=len(x)), tokens], 1)
        tokens = self.blocks(tokens + self.position)
        return tokens[:, 0] if self.class_token is not None else tokens.mean(1)
