"""A recurrent network over grids of discrete codes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vaelab.types import Shape, numel

#: Logits that are held at a time.
_MOST_LOGITS = 2**24


class CodeGRU(nn.Module):
    r"""$\prod_n p(k_n \mid k_{<n})$ over the N positions of a grid in raster order, by gated recurrent units.

    Each step sees the code before it and the place where it is; in a map also the code above it, which lies a row back
    in the sequence and is what a recurrent network forgets first.

    Args:
        codes: C.
        positions: shape of the grid, one or two axes.
        hidden: width of the recurrent layers and of the embeddings.
        layers: number of recurrent layers.
    """

    def __init__(self, codes: int, positions: Shape, hidden: int, layers: int = 1) -> None:
        super().__init__()
        self.codes = codes
        self.length = numel(positions)
        self.width = positions[1] if len(positions) == 2 else None
        # one more row: the code before the first
        self.before = nn.Embedding(codes + 1, hidden)
        self.above = nn.Embedding(codes + 1, hidden) if self.width else None
        self.place = nn.Parameter(0.1 * torch.randn(self.length, hidden))
        self.gru = nn.GRU(hidden, hidden, layers, batch_first=True)
        self.out = nn.Linear(hidden, codes)

    def forward(self, index: Tensor) -> Tensor:
        """Logits `[M, N, C]` of each code given those before it, of sequences `[M, N]`."""
        return self.out(self.gru(self._inputs(index, 0, self.length))[0])

    def log_prob(self, index: Tensor, temperature: float = 1.0) -> Tensor:
        """The log-probability `[M]`, nats, of sequences `[M, N]`."""
        rows = max(1, _MOST_LOGITS // (self.length * self.codes))
        parts = [
            -F.cross_entropy((self(part) / temperature).flatten(0, 1), part.flatten(), reduction="none")
            for part in index.split(rows)
        ]
        return torch.cat(parts).reshape(index.shape).sum(1)

    def sample(self, number: int, temperature: float = 1.0) -> Tensor:
        """Sequences `[number, N]`, one step after another."""
        index = torch.zeros(number, self.length, dtype=torch.int64, device=self.place.device)
        hidden: Tensor | None = None
        for n in range(self.length):
            output, hidden = self.gru(self._inputs(index, n, n + 1), hidden)
            probabilities = (self.out(output[:, 0]) / temperature).softmax(-1)
            index[:, n] = torch.multinomial(probabilities, 1)[:, 0]
        return index

    def _inputs(self, index: Tensor, start: int, end: int) -> Tensor:
        """What the steps from `start` to `end` see, `[M, end - start, hidden]`."""
        inputs: Tensor = self.before(self._shifted(index, 1, start, end)) + self.place[start:end]
        if self.above is not None:
            assert self.width is not None
            inputs = inputs + self.above(self._shifted(index, self.width, start, end))
        return inputs

    def _shifted(self, index: Tensor, by: int, start: int, end: int) -> Tensor:
        """The codes that lie `by` steps before each step."""
        return F.pad(index, (by, 0), value=self.codes)[:, start:end]
