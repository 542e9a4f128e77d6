"""Vector-quantised posterior."""

from __future__ import annotations

from typing import Literal, cast

import torch
from einops import rearrange
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from vaelab.distributions import Distribution, QuantisedCodes
from vaelab.posteriors.base import Posterior, PosteriorConfig
from vaelab.registry import POSTERIORS
from vaelab.types import BuildContext, State


class VQConfig(PosteriorConfig):
    """Arguments of the vector-quantised posterior."""

    kind: Literal["vq"] = "vq"

    decay: float = Field(0.99, gt=0, lt=1)
    """Decay of the running means that the code vectors are."""

    commitment: float = Field(0.25, ge=0)
    """Beta: weight of the distance between features and their codes in the group's penalty."""

    threshold_dead: PositiveInt | None = 2
    """A code that falls below this many uses (a running mean) is replaced by a feature of the batch; null for never."""


@POSTERIORS.register(VQConfig)
class VQPosterior(Posterior[VQConfig]):
    r"""The nearest code at each position, with a straight-through gradient and code vectors that are running means.

    van den Oord et al. (2017), appendix A.1 for the running means; by the library vector-quantize-pytorch. The penalty
    is $\beta \sum \lVert z_e - \mathrm{sg}[e] \rVert^2$, summed over the datum, in nats (a unit-variance normal's).
    """

    multiplicity = 1
    support = "codes"

    def __init__(self, config: VQConfig, context: BuildContext) -> None:
        # imported here: it takes seconds, and every look-up in this family would pay for it
        from vector_quantize_pytorch import VectorQuantize

        super().__init__(config, context)
        self.books = nn.ModuleList(
            VectorQuantize(
                dim=spec.shape[0],
                codebook_size=spec.codes,
                decay=config.decay,
                commitment_weight=0.0,  # the penalty is computed below: the library's is one mean over the batch
                threshold_ema_dead_code=config.threshold_dead or 0,
                rotation_trick=False,  # the gradient is the paper's, straight through
            )
            for spec in (self.specs[:1] if self.shared else self.specs)
        )

    def group(self, i: int, features: tuple[Tensor, ...], state: State, p: Distribution | None) -> Distribution:
        feature = features[0 if self.single_feature else i]
        z_e = self.heads[0 if self.shared else i](feature, state.hidden)
        # the choice is deterministic: where nothing differs between samples, one is computed and shared
        z_q, index = self._quantise(0 if self.shared else i, z_e)
        distance = (z_e - z_q.detach()).square().flatten(2).sum(-1)
        q = QuantisedCodes(z_q, index, self.config.commitment * distance)
        return q if q.batch_shape == state.batch_shape else q.expand(state.batch_shape)

    def _quantise(self, i: int, z_e: Tensor) -> tuple[Tensor, Tensor]:
        k = z_e.shape[0]
        vectors = rearrange(z_e, "k b d ... -> (k b) (...) d")
        chosen, index, _ = self.books[i](vectors)
        positions = z_e.shape[3:]
        z_q = rearrange(chosen, "(k b) n d -> k b d n", k=k).reshape(z_e.shape)
        return z_q, index.reshape(*z_e.shape[:2], *positions)

    def lookup(self, i: int, index: Tensor) -> Tensor:
        """Code vectors `[*, D, *positions]` of indices `[*, *positions]`."""
        book = self.books[0 if self.shared else i]
        vectors = cast("Tensor", book.codebook)[index]
        return torch.movedim(vectors, -1, -1 - len(self.specs[i].shape[1:]))
