"""Vision transformer decoder."""

from __future__ import annotations

from typing import Literal

import torch
from einops import rearrange
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from vaelab.decoders.base import Decoder
from vaelab.errors import BuildError
from vaelab.nets import fold
from vaelab.nets.transformer import TransformerConfig, transformer
from vaelab.registry import DECODERS
from vaelab.types import BuildContext, numel, require_image


class ViTConfig(TransformerConfig):
    """Arguments of the vision transformer."""

    kind: Literal["vit"] = "vit"

    patch: PositiveInt = 4
    """Height and width of a patch; both sides of the images must be multiples."""

    @classmethod
    def example(cls) -> ViTConfig:
        return cls(patch=2, width=8, depth=1, heads=2)


@DECODERS.register(ViTConfig)
class ViT(Decoder[ViTConfig]):
    r"""A transformer over the patches of the picture to be: the mirror image of the encoder `vit`.

    $h' = h + \mathrm{MSA}(\mathrm{LN}\,h)$ and then $h' + \mathrm{MLP}(\mathrm{LN}\,h')$, block by block.

    A linear layer makes a token of each patch from the code `[K, B, *code]`, a learned position is added, the tokens attend to
    one another in the blocks of Dosovitskiy et al. (2021, equations 2 to 4), and one linear layer for all of them turns each
    into the parameters of its patch (as the decoder of He et al. 2022, which predicts pixels).

    *Cost*: attention is quadratic in the number of patches.

    Use it for large images and much data, with the encoder `vit`; on small images it learns more slowly than `conv`,
    and the borders of its patches may show early in training.
    """

    def __init__(self, config: ViTConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        require_image("decoder", config.kind, context.data)
        channels, height, width = context.parameter_shape
        if height % config.patch or width % config.patch:
            raise BuildError(
                f"decoder 'vit' cuts pictures into patches of {config.patch} x {config.patch}, and {height} x {width} pixels "
                "are no multiple of them. Choose a \"patch\" that divides both sides, or use the decoder 'conv'."
            )
        self.rows, self.columns = height // config.patch, width // config.patch
        patches = self.rows * self.columns
        self.embed = nn.Linear(numel(context.readout_shape), patches * config.width)
        self.position = nn.Parameter(0.02 * torch.randn(patches, config.width))
        self.blocks = transformer("decoder", config)
        self.pixels = nn.Linear(config.width, channels * config.patch**2)

    def _decode(self, code: Tensor) -> Tensor:
        """`[N, *code]` to `[N, *parameters]`."""
        tokens = rearrange(self.embed(code.flatten(1)), "n (t d) -> n t d", t=len(self.position))
        # the fused kernels have no second derivative, which posteriors that follow the decoder's gradient need
        with sdpa_kernel(SDPBackend.MATH):
            tokens = self.blocks(tokens + self.position)
        patch = self.config.patch
        return rearrange(
            self.pixels(tokens), "n (h w) (c p q) -> n c (h p) (w q)", h=self.rows, w=self.columns, p=patch, q=patch
        )

    def forward(self, code: Tensor) -> Tensor:
        return fold(self._decode, code)
