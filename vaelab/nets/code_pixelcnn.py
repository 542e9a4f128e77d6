"""Masked convolutions over maps of discrete codes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vaelab.nets.masked import MaskedStack

#: Logits that are held at a time.
_MOST_LOGITS = 2**24


class CodePixelCNN(nn.Module):
    r"""$\prod_n p(k_n \mid k_{<n})$ over a map of codes in raster order, by masked convolutions (van den Oord et al. 2016).

    Args:
        codes: C.
        positions: height and width of the map.
        hidden: channels of the convolutions and length of the embeddings.
        blocks: masked residual blocks, each of which looks one position further.
        kernel: of the first convolution; odd.
    """

    def __init__(self, codes: int, positions: tuple[int, int], hidden: int, blocks: int = 6, kernel: int = 7) -> None:
        super().__init__()
        self.codes = codes
        self.positions = positions
        self.embedding = nn.Embedding(codes, hidden)
        #: what a position is, since a convolution does not see where it stands
        self.place = nn.Parameter(0.1 * torch.randn(hidden, *positions))
        self.stack = MaskedStack(hidden, hidden, codes, hidden, kernel, blocks, "relu")

    def forward(self, index: Tensor) -> Tensor:
        """Logits `[M, C, H, W]` of each code given those before it, of maps `[M, H, W]`."""
        embedded = self.embedding(index).movedim(-1, 1)
        return self.stack(embedded, self.place.expand(len(index), -1, -1, -1))

    def log_prob(self, index: Tensor, temperature: float = 1.0) -> Tensor:
        """The log-probability `[M]`, nats, of sequences `[M, H W]`."""
        rows = max(1, _MOST_LOGITS // (self.codes * index.shape[1]))
        maps = index.reshape(-1, *self.positions)
        parts = [-F.cross_entropy(self(part) / temperature, part, reduction="none") for part in maps.split(rows)]
        return torch.cat(parts).flatten(1).sum(1)

    def sample(self, number: int, temperature: float = 1.0) -> Tensor:
        """Sequences `[number, H W]`, one position after another."""
        index = torch.zeros(number, *self.positions, dtype=torch.int64, device=self.place.device)
        for row in range(self.positions[0]):
            for column in range(self.positions[1]):
                # rows below have no influence yet
                logits = self._rows(index, row)[:, :, row, column]
                index[:, row, column] = torch.multinomial((logits / temperature).softmax(1), 1)[:, 0]
        return index.flatten(1)

    def _rows(self, index: Tensor, row: int) -> Tensor:
        """The logits of the rows down to one."""
        embedded = self.embedding(index[:, : row + 1]).movedim(-1, 1)
        return self.stack(embedded, self.place[:, : row + 1].expand(len(index), -1, -1, -1))
