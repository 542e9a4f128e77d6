"""A model's real latents as one vector: what densities are fitted to, and what a second model is trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vaelab.errors import BuildError
from vaelab.inference import Group
from vaelab.types import LatentSpec, Shape, numel


@dataclass(frozen=True)
class LatentVector:
    """The first groups of a model, flattened and laid end to end.

    Attributes:
        shapes: of these groups, in their order.
    """

    shapes: tuple[Shape, ...]

    @classmethod
    def of(cls, latent: LatentSpec, asker: str, groups: int | None = None) -> LatentVector:
        """The first `groups` groups, or all of them.

        Args:
            latent: the model's groups.
            asker: who wants vectors, for the message.
            groups: how many, from the first on.

        Raises:
            BuildError: some of these are no real numbers, or there are fewer groups.
        """
        if groups is not None and groups > latent.depth:
            raise BuildError(
                f"{asker} is to take the first {groups} latent groups, and the model has {latent.depth}. Lower 'groups'."
            )
        taken = latent.groups[:groups]
        for i, group in enumerate(taken):
            if group.support == "codes":
                raise BuildError(
                    f"{asker} takes latents of real numbers, and group {i} of this model is made of codes. Use the sampler "
                    "'codes', or a prior 'autoregressive_codes' that is trained along."
                )
            if group.support != "real":
                raise BuildError(
                    f"{asker} takes latents of real numbers, and group {i} of this model has the support "
                    f"'{group.support}'. Use the sampler 'prior'."
                )
        return cls(tuple(group.shape for group in taken))

    @property
    def size(self) -> int:
        """Length of the vector."""
        return sum(numel(shape) for shape in self.shapes)

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """`[B, *event]` of each group to `[B, size]`."""
        return torch.cat([part.flatten(1) for part, _ in zip(parts, self.shapes, strict=False)], 1)

    def drawn(self, groups: Sequence[Group]) -> Tensor:
        """The first draw of each group of a pass, `[B, size]`."""
        return self.join([group.z[0] for group in groups])

    def split(self, vector: Tensor) -> dict[int, Tensor]:
        """`[B, size]` to `[B, *event]` by group, as `generate` takes them."""
        parts = vector.split([numel(shape) for shape in self.shapes], 1)
        return {i: part.reshape(-1, *shape) for i, (part, shape) in enumerate(zip(parts, self.shapes, strict=True))}


def unit_levels(z: Tensor, batch_ndim: int = 0) -> Tensor:
    """The mean of each unit over its positions: `[*batch, C, *positions]` to `[*batch, C]`; vectors as they are."""
    return z.flatten(batch_ndim + 1).mean(-1) if z.ndim > batch_ndim + 1 else z


def checksum(model: nn.Module) -> str:
    """SHA-256 of a model's weights: of their names and numbers, whatever file they came from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
