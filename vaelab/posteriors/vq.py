"""Vector-quantised posterior."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from vaelab.distributions import nearest_codes, straight_through
from vaelab.posteriors.base import PosteriorConfig
from vaelab.posteriors.codes import CodesPosterior
from vaelab.registry import POSTERIORS
from vaelab.shared_batch import common_draws, own_rows, whole
from vaelab.types import BuildContext


class VQConfig(PosteriorConfig):
    """Arguments of the vector-quantised posterior."""

    kind: Literal["vq"] = "vq"

    codebook: Literal["ema", "gradient"] = "ema"
    """Code vectors are running means of the features that chose them, or are learned by the codebook loss, which is part
    of the penalty then: the term `commitment` must be among the divergences."""

    initialisation: Literal["random", "kmeans"] = "random"
    """Code vectors at the start: random, or the k-means of the first training batch's features."""

    decay: float = Field(0.99, gt=0, lt=1)
    """Decay of the running means."""

    commitment: float = Field(0.25, ge=0)
    """Beta: weight of the distance between features and their codes in the group's penalty."""

    threshold_dead: PositiveInt | None = 2
    """A running mean that falls below this many uses is replaced by a feature of the batch; null for never."""


@POSTERIORS.register(VQConfig)
class VQPosterior(CodesPosterior[VQConfig]):
    r"""The nearest code at each position, with a straight-through gradient (van den Oord et al. 2017).

    By the library vector-quantize-pytorch. The code vectors are running means (their appendix A.1), or are learned. The
    penalty is $\beta \lVert z_e - \mathrm{sg}[e] \rVert^2$, with the codebook loss
    $\lVert \mathrm{sg}[z_e] - e \rVert^2$ where they are learned (equation 3), summed over the datum, in nats. The
    paper averages over the N positions: a `commitment` of weight 1/N does that.

    *Cost*: the distances of N features to C codes, N C d multiplications a datum.

    Use it for sharp reconstructions and for a strong prior over codes afterwards; codes may die, there is no density of
    z, and samples need a second model such as the sampler `codes`.
    """

    def __init__(self, config: VQConfig, context: BuildContext) -> None:
        # imported here: it takes seconds, and every look-up in this family would pay for it
        from vector_quantize_pytorch import VectorQuantize

        super().__init__(config, context)
        learned = self.trained_by_penalty = config.codebook == "gradient"
        self.books = nn.ModuleList(
            VectorQuantize(
                dim=spec.shape[0],
                codebook_size=spec.codes,
                decay=config.decay,
                kmeans_init=config.initialisation == "kmeans",
                learnable_codebook=learned,
                ema_update=not learned,
                commitment_weight=0.0,  # the penalty is computed below: the library's is one mean over the batch
                threshold_ema_dead_code=0 if learned else config.threshold_dead or 0,
                sync_codebook=False,  # its running means are those of the whole batch, see `quantise`
                rotation_trick=False,  # the gradient is the paper's, straight through
            )
            for spec in self.owners
        )

    def quantise(self, i: int, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        learned = self.config.codebook == "gradient"
        if self.training:
            # the library moves the running means after it has chosen, so that its vectors are the ones that were chosen
            everything, own = whole(vectors.detach()), own_rows(len(vectors))
            with common_draws(vectors.device):
                codes, index, _ = self._book(i)(everything)
            codes, index = codes[own], index[own]
        else:
            # not by the library, which would run its k-means on whatever it sees first, such as the data of the build
            index = nearest_codes(self.codebook(i), vectors)
        if learned or not self.training:
            codes = self.codebook(i)[index]
        penalty = self.config.commitment * (vectors - codes.detach()).square().flatten(1).sum(1)
        if learned:
            penalty = penalty + (vectors.detach() - codes).square().flatten(1).sum(1)
        return straight_through(codes, vectors), index, penalty

    def codebook(self, i: int) -> Tensor:
        book: Tensor = self._book(i).codebook
        return book

    def _book(self, i: int) -> Any:
        return self.books[self.weights[i]]
