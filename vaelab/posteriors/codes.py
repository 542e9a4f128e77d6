"""What the posteriors over discrete codes share."""

from __future__ import annotations

from typing import TypeVar

import torch
from einops import rearrange
from torch import Tensor

from vaelab.distributions import Distribution, QuantisedCodes, nearest_codes
from vaelab.posteriors.base import Posterior, PosteriorConfig
from vaelab.types import State

C = TypeVar("C", bound=PosteriorConfig)


class CodesPosterior(Posterior[C]):
    """A deterministic choice of a code vector at each position. A subclass writes `quantise` and `codebook`."""

    multiplicity = 1
    support = "codes"

    def quantise(self, i: int, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """The codes of features `[M, N, D]`, N positions.

        Returns:
            The code vectors `[M, N, D]` with the gradient that the features shall have, their indices `[M, N]`, and the
            penalty `[M]` in nats, or None.
        """
        raise NotImplementedError

    def codebook(self, i: int) -> Tensor:
        """All code vectors of group i, `[C, D]`."""
        raise NotImplementedError

    def lookup(self, i: int, index: Tensor) -> Tensor:
        """Code vectors `[*, D, *positions]` of indices `[*, *positions]`."""
        return torch.movedim(self.codebook(i)[index], -1, -len(self.specs[i].shape))

    def find(self, i: int, z: Tensor) -> Tensor:
        """Indices `[*, *positions]` of the codes nearest to vectors `[*, D, *positions]`."""
        with torch.no_grad():
            return nearest_codes(self.codebook(i), torch.movedim(z, -len(self.specs[i].shape), -1))

    def group(self, i: int, features: tuple[Tensor, ...], state: State, p: Distribution | None) -> Distribution:
        feature = features[0 if self.single_feature else i]
        z_e = self.heads[self.weights[i]](feature, state.hidden)
        # the choice is deterministic: where nothing differs between samples, one is computed and shared
        k, positions = z_e.shape[0], z_e.shape[3:]
        chosen, index, penalty = self.quantise(i, rearrange(z_e, "k b d ... -> (k b) (...) d"))
        q = QuantisedCodes(
            rearrange(chosen, "(k b) n d -> k b d n", k=k).reshape(z_e.shape),
            index.reshape(*z_e.shape[:2], *positions),
            None if penalty is None else penalty.reshape(z_e.shape[:2]),
            len(positions),
        )
        return q if q.batch_shape == state.batch_shape else q.expand(state.batch_shape)
