"""Residual vector quantisation."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from vaelab.distributions import straight_through
from vaelab.errors import BuildError
from vaelab.posteriors.base import PosteriorConfig
from vaelab.posteriors.codes import CodesPosterior
from vaelab.registry import POSTERIORS
from vaelab.shared_batch import common_draws, own_rows, whole
from vaelab.types import BuildContext

#: All sums of code vectors are tabulated for the priors, so their number has a limit.
_MOST_CODES = 2**16


class ResidualVQConfig(PosteriorConfig):
    """Arguments of residual vector quantisation."""

    kind: Literal["residual_vq"] = "residual_vq"

    quantisers: PositiveInt = Field(2, ge=1)
    """Q, number of code books; the prior's number of codes is the size of one to the power Q, at most 65,536."""

    decay: float = Field(0.99, gt=0, lt=1)
    """Decay of the running means that the code vectors are."""

    commitment: float = Field(0.25, ge=0)
    """Beta: weight of the distances between features and their approximations in the group's penalty."""

    threshold_dead: PositiveInt | None = 2
    """A code that falls below this many uses (a running mean) is replaced by a residual of the batch; null for never."""

    @classmethod
    def example(cls) -> ResidualVQConfig:
        return cls.model_validate({"quantisers": 3})


@POSTERIORS.register(ResidualVQConfig)
class ResidualVQPosterior(CodesPosterior[ResidualVQConfig]):
    r"""A sum of code vectors at each position: each book quantises what those before it have left.

    Zeghidour et al. (2022, section III-C), by the library vector-quantize-pytorch. With $\hat z_q$ the sum of the first q
    codes the penalty is $\beta \sum_q \lVert z_e - \mathrm{sg}[\hat z_q] \rVert^2$ (Lee et al. 2022, equation 7), summed
    over the datum, in nats. To the prior a position has one code out of $C^Q$, with index $\sum_q k_q C^{q-1}$.

    *Cost*: the distances of `vq` once a book, one book after another.

    Use it where one code book would have to be too large: Q books of C codes make C^Q; codes of later books are used
    unevenly, so watch `latent_usage`.
    """

    def __init__(self, config: ResidualVQConfig, context: BuildContext) -> None:
        # imported here: it takes seconds, and every look-up in this family would pay for it
        from vector_quantize_pytorch import ResidualVQ

        super().__init__(config, context)
        self.sizes = [self._size(spec.codes or 0, context) for spec in self.specs]
        self.books = nn.ModuleList(
            ResidualVQ(
                dim=spec.shape[0],
                num_quantizers=config.quantisers,
                codebook_size=self._size(spec.codes or 0, context),
                decay=config.decay,
                commitment_weight=0.0,  # the penalty is computed below: the library's is one mean over the batch
                threshold_ema_dead_code=config.threshold_dead or 0,
                sync_codebook=False,  # its running means are those of the whole batch, see `quantise`
                rotation_trick=False,  # the gradient is the paper's, straight through
            )
            for spec in self.owners
        )

    def _size(self, codes: int, context: BuildContext) -> int:
        quantisers = self.config.quantisers
        size = round(codes ** (1 / quantisers))
        if size < 2 or size**quantisers != codes or codes > _MOST_CODES:
            raise BuildError(
                f"{context.names['posterior']} makes C^{quantisers} codes out of {quantisers} books of C, at most "
                f"{_MOST_CODES}, and {context.names['prior']} has {codes}. Set its codes to such a number, say "
                f"{max(2, min(size, int(_MOST_CODES ** (1 / quantisers)))) ** quantisers}."
            )
        return size

    def quantise(self, i: int, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # copied, because in training the library moves them after it has chosen
        books = self._vectors(i).clone()
        everything, own = whole(vectors.detach()), own_rows(len(vectors))
        with common_draws(vectors.device):
            _, chosen, _ = self._book(i)(everything)
        chosen = chosen[own]
        codes = torch.stack([book[k] for book, k in zip(books, chosen.unbind(-1), strict=True)])
        sums = codes.cumsum(0)
        penalty = self.config.commitment * (vectors - sums).square().sum((0, 2, 3))
        powers = self.sizes[i] ** torch.arange(self.config.quantisers, device=chosen.device)
        return straight_through(sums[-1], vectors), (chosen * powers).sum(-1), penalty

    def codebook(self, i: int) -> Tensor:
        books = self._vectors(i)
        table = books[0]
        for book in books[1:]:
            table = (book.unsqueeze(1) + table).flatten(0, 1)
        return table

    def _vectors(self, i: int) -> Tensor:
        """The code vectors of each book, `[Q, C, D]`."""
        vectors: Tensor = self._book(i).codebooks
        return vectors.detach()

    def _book(self, i: int) -> Any:
        return self.books[self.weights[i]]
