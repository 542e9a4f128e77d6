"""How grey levels become bits."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from vaelab.datasets.base import Binarisation, DatasetConfig


@dataclass(frozen=True)
class Binariser:
    """What is to be done to the rows of one part of a data set.

    With `static`, the bits of a datum depend on the seed, on the part of the data set it comes from
    (`"train"` or `"test"` as published) and on its position there, and on nothing else. So they are the same
    whatever is held out, whatever limit is set, in memory or streamed, on every device.
    """

    mode: Binarisation
    seed: int
    part: str

    @classmethod
    def of(cls, config: DatasetConfig, part: str) -> Binariser:
        """What a config asks for."""
        return cls(config.binarisation, config.binarisation_seed, part)

    @property
    def dynamic(self) -> bool:
        """Whether the bits are drawn anew at each fetch."""
        return self.mode == "dynamic"

    def store(self, flat: Tensor, divisor: float, rows: Tensor) -> tuple[Tensor, float]:
        """The form in which data are kept: what can be drawn once is drawn here.

        Args:
            flat: `[N, D]`, uint8 or float32; grey levels are `flat / divisor`.
            divisor: the number that stands for white.
            rows: `[N]` position of each datum in its part.

        Returns:
            The matrix to keep and its divisor; bits are uint8 with divisor 1.
        """
        if self.mode == "threshold":
            return (flat > divisor / 2).to(torch.uint8), 1.0
        if self.mode == "static":
            return self._draw(flat, divisor, rows), 1.0
        return flat, divisor

    def _draw(self, flat: Tensor, divisor: float, rows: Tensor) -> Tensor:
        digest = hashlib.sha256(f"{self.seed}/{self.part}".encode()).digest()
        base = int.from_bytes(digest[:4], "big")
        # On the CPU whatever the device, because generators of devices disagree; one stream a datum, because
        # a streamed datum cannot wait for those before it.
        generator = torch.Generator()
        uniform = torch.empty(flat.shape[1], dtype=torch.float32)
        bits = torch.empty(flat.shape, dtype=torch.uint8)
        for i, row in enumerate(rows.tolist()):
            generator.manual_seed((base + row) % 2**32)
            torch.rand(uniform.shape, generator=generator, out=uniform)
            torch.lt(uniform, flat[i].to(torch.float32).div_(divisor), out=bits[i])
        return bits


def to_floats(stored: Tensor, divisor: float, dynamic: bool) -> Tensor:
    """Stored rows as float32 in their final scale, binarised anew if `dynamic`, on the device they lie on."""
    x = stored.to(torch.float32)
    if divisor != 1.0:
        x = x.div(divisor) if x is stored else x.div_(divisor)
    # A Bernoulli draw. torch.bernoulli makes its uniforms in float64 and takes four times as long on a CPU.
    return torch.rand_like(x).lt_(x) if dynamic else x
