"""The composed model."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vaelab.inference import Adjustment, Generation, Trace, generate, infer, infer_latents
from vaelab.types import Batch, DataSpec, StepContext

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vaelab.decoders import Decoder
    from vaelab.encoders import Encoder
    from vaelab.likelihoods import Likelihood
    from vaelab.posteriors import Posterior
    from vaelab.priors import Prior


class VAE(nn.Module):
    """Five components that were built for one another; see `vaelab.build.build_model`.

    The methods take and return tensors on the model's device. `encode`, `decode`, `reconstruct` and `sample` run
    without gradients and in evaluation mode; `infer` and `generate` are what training and metrics use.
    """

    def __init__(
        self,
        encoder: Encoder[Any],
        posterior: Posterior[Any],
        prior: Prior[Any],
        decoder: Decoder[Any],
        likelihood: Likelihood[Any],
        data: DataSpec,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.posterior = posterior
        self.prior = prior
        self.decoder = decoder
        self.likelihood = likelihood
        self.data = data
        #: Where training stands, told by the objective before each step, for components with a schedule of their own.
        self.step_context = StepContext()

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    @property
    def depth(self) -> int:
        """Number of latent groups."""
        return self.prior.latent.depth

    def infer(
        self,
        batch: Batch,
        samples: int = 1,
        fixed: Mapping[int, Tensor] | None = None,
        *,
        proposed: Mapping[int, Tensor] | None = None,
        adjust: Adjustment | None = None,
        pathwise: bool = True,
    ) -> Trace:
        """One pass with the posterior; see `vaelab.inference.infer`."""
        return infer(self, batch, samples, fixed, proposed=proposed, adjust=adjust, pathwise=pathwise)

    def generate(
        self,
        number: int,
        temperature: float = 1.0,
        fixed: Mapping[int, Tensor] | None = None,
        condition: Tensor | None = None,
    ) -> Generation:
        """One pass with the prior alone; see `vaelab.inference.generate`."""
        return generate(self, number, temperature, fixed, condition)

    def encode(
        self, x: Float[Tensor, "B *event"], *, mean: bool = False, condition: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Draw latents from q(z | x), one `[B, *event]` a group.

        Args:
            x: data.
            mean: take the mean of each group's posterior, given the means of the groups before it.
            condition: what the model is conditioned on, `[B, ...]`.
        """
        with self.evaluating(), torch.no_grad():
            groups, _ = infer_latents(self, Batch(x, condition=condition), mean=mean)
            return tuple(group.z[0] for group in groups)

    def decode(self, zs: Tensor | tuple[Tensor, ...], *, condition: Tensor | None = None) -> Tensor:
        """E[x | z] `[B, *shape]` from all latent groups, each `[B, *event]`."""
        zs = zs if isinstance(zs, tuple) else (zs,)
        if len(zs) != self.depth:
            raise ValueError(f"the model has {self.depth} latent groups and {len(zs)} were given")
        with self.evaluating(), torch.no_grad():
            return self.generate(zs[0].shape[0], fixed=dict(enumerate(zs)), condition=condition).mean

    def reconstruct(self, x: Float[Tensor, "B *event"], *, condition: Tensor | None = None) -> Tensor:
        """E[x | z] for one z drawn from q(z | x), `[B, *shape]`."""
        return self.decode(self.encode(x, condition=condition), condition=condition)

    def sample(self, number: int, temperature: float = 1.0, *, condition: Tensor | None = None) -> Tensor:
        """E[x | z] for z drawn from the prior, `[number, *shape]`."""
        with self.evaluating():
            return self.generate(number, temperature, condition=condition).mean

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Evaluation mode inside the block, the former mode after it."""
        training = self.training
        self.eval()
        try:
            yield
        finally:
            self.train(training)
