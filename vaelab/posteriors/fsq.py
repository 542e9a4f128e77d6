"""Finite scalar quantisation."""

from __future__ import annotations

import math
from typing import Any, Literal, Self

from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from vaelab.errors import BuildError
from vaelab.posteriors.base import PosteriorConfig
from vaelab.posteriors.codes import CodesPosterior
from vaelab.registry import POSTERIORS
from vaelab.types import BuildContext


class FSQConfig(PosteriorConfig):
    """Arguments of finite scalar quantisation."""

    kind: Literal["fsq"] = "fsq"

    levels: tuple[PositiveInt, ...] = Field((8, 8, 8), min_length=1)
    """Values that each number may take; their product is the number of codes of the prior."""

    symmetric: bool = False
    """Whether the levels lie symmetrically around 0, which numbers of two levels need."""

    @model_validator(mode="after")
    def _enough_levels(self) -> Self:
        least = 2 if self.symmetric else 3
        if min(self.levels) < least:
            two = ' (two with "symmetric": true)' if least == 3 else ""
            raise ValueError(f"a number needs at least {least} levels{two}, not {min(self.levels)}")
        return self

    @classmethod
    def example(cls) -> FSQConfig:
        return cls(levels=(4, 2), symmetric=True)


@POSTERIORS.register(FSQConfig)
class FSQPosterior(CodesPosterior[FSQConfig]):
    r"""A few numbers, each bounded and rounded to one of its levels (Mentzer et al. 2024, equation 1).

    By the library vector-quantize-pytorch: the features of a position are projected to one number a level, rounded with a
    straight-through gradient, and projected back to the code's length. There is no code book, no penalty and no code
    that dies; the codes are the $\prod_j L_j$ points of the grid.

    *Cost*: one output a number, and no table of codes.

    Use it for discrete codes without a code book to keep alive; with few levels it holds less than a learned book of
    the same size, and the grid is fixed beforehand.
    """

    def __init__(self, config: FSQConfig, context: BuildContext) -> None:
        # imported here: it takes seconds, and every look-up in this family would pay for it
        from vector_quantize_pytorch import FSQ

        super().__init__(config, context)
        number = math.prod(config.levels)
        for spec in self.specs:
            if spec.codes != number:
                raise BuildError(
                    f"{context.names['posterior']} has the levels {list(config.levels)}, which make {number} codes, and "
                    f"{context.names['prior']} has {spec.codes}. Make the product of the levels the number of codes."
                )
        self.books = nn.ModuleList(
            FSQ(levels=list(config.levels), dim=spec.shape[0], preserve_symmetry=config.symmetric)
            for spec in self.owners
        )

    def quantise(self, i: int, vectors: Tensor) -> tuple[Tensor, Tensor, None]:
        chosen, index = self._book(i)(vectors)
        return chosen, index.long(), None

    def codebook(self, i: int) -> Tensor:
        book = self._book(i)
        vectors: Tensor = book.project_out(book.implicit_codebook)
        return vectors

    def _book(self, i: int) -> Any:
        return self.books[self.weights[i]]
