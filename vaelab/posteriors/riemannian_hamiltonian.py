"""Hamiltonian posterior with a learned metric."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from vaelab.distributions import Distribution, HamiltonianNormal, KernelMetric, RiemannianHamiltonianNormal
from vaelab.errors import BuildError
from vaelab.nets import connect
from vaelab.nets.residual import soft_clamp
from vaelab.posteriors.dynamics import DynamicsConfig, DynamicsPosterior
from vaelab.registry import POSTERIORS
from vaelab.shared_batch import whole
from vaelab.types import BuildContext


class RiemannianHamiltonianConfig(DynamicsConfig):
    """Arguments of the Riemannian Hamiltonian posterior."""

    kind: Literal["riemannian_hamiltonian"] = "riemannian_hamiltonian"

    step_size: PositiveFloat = 0.01
    """Size of the steps at the start, one a latent component; they are learned. Smaller than in `hamiltonian`, because many
    near centroids make the inverse metric large."""

    max_step_size: PositiveFloat = 0.05
    """What they cannot exceed."""

    centroids: PositiveInt = 100
    """N, how many of the last training data make the metric."""

    temperature: PositiveFloat = 1.5
    """T, how far a centroid reaches in the latent space."""

    regularisation: PositiveFloat = 0.01
    """Lambda, what the inverse metric is far from all centroids."""

    metric_hidden: tuple[PositiveInt, ...] = (100,)
    """Widths of the network from the encoder's features to the factors L."""

    iterations: PositiveInt = 5
    """Fixed-point iterations of each implicit line of a step. They evaluate the metric and not the decoder."""

    @classmethod
    def example(cls) -> RiemannianHamiltonianConfig:
        return cls(steps=2, centroids=6, metric_hidden=(6,), iterations=3)


@POSTERIORS.register(RiemannianHamiltonianConfig)
class RiemannianHamiltonianPosterior(DynamicsPosterior[RiemannianHamiltonianConfig]):
    r"""The posterior `hamiltonian` with a learned metric of the latent space for a mass (Chadebec et al. 2020, RHVAE).

    $$G^{-1}(z) = \sum_{i=1}^N L_i L_i^\top e^{-\lVert z - c_i\rVert^2/T^2} + \lambda I$$

    The centroids $c_i = \mu(x_i)$ are the means of the last N training data, and the lower triangular $L_i$, with positive
    diagonals, come from a network on the encoder's features. In training the batch's own are among them, with their
    gradient; the others are constants. They are kept with the weights, so that the metric of a trained model is fixed.
    In the paper the metric in training is that of the batch alone, and the one afterwards that of all data; here both have
    the same number of terms. The weight of a draw is unbiased for any metric that does not depend on the draw.

    For one latent vector. With `step_size` too large for the metric the steps diverge; see
    `vaelab.distributions.RiemannianHamiltonianNormal` for the limits. They hold for $\lambda_{\max}(G^{-1})$, which is up to
    $N \max_i\lVert L_i\rVert^2 + \lambda$ where many centroids are near.

    *Cost*: that of `hamiltonian`, and the metric with its determinant at each step, cubic in the number of latents.

    Use it for small data sets, and together with the sampler `manifold` for augmentation; it is the most expensive
    posterior here, and too large a step diverges.
    """

    def __init__(self, config: RiemannianHamiltonianConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        shape = self.specs[0].shape
        if len(shape) != 1:
            raise BuildError(
                f"{context.names['posterior']} has a metric of a latent vector, and {context.names['prior']} has a map "
                f"of shape {shape}. Use the posterior 'hamiltonian', or a prior over vectors."
            )
        size = shape[0]
        self.rows, self.columns = torch.tril_indices(size, size).tolist()
        feature = context.feature_shapes[0]
        self.metric_net = connect(feature, (len(self.rows),), config.activation, config.metric_hidden)
        self.centroids: Tensor
        self.factors: Tensor
        self.register_buffer("centroids", torch.zeros(config.centroids, size))
        # factors of zero: what has not been filled yet has no part in the metric
        self.register_buffer("factors", torch.zeros(config.centroids, size, size))

    def moved(self, dynamics: HamiltonianNormal, feature: Tensor) -> Distribution:
        centroids, factors = self.centroids, self.factors
        if self.training:
            number = len(centroids)
            centroids = torch.cat([whole(dynamics.base.loc[0]), centroids])[:number]
            factors = torch.cat([whole(self.factor(feature)), factors])[:number]
            self.centroids, self.factors = centroids.detach(), factors.detach()
        metric = KernelMetric(centroids, factors, self.config.temperature, self.config.regularisation)
        return RiemannianHamiltonianNormal(
            dynamics.base,
            dynamics.log_target,
            dynamics.step_size,
            dynamics.root_temper,
            dynamics.steps,
            metric.inverse,
            self.config.iterations,
        )

    def factor(self, feature: Tensor) -> Tensor:
        """L `[B, d, d]` from features `[B, *feature_shape]`."""
        raw = self.metric_net(feature.unsqueeze(0))[0]
        size = self.centroids.shape[1]
        lower = raw.new_zeros(len(raw), size, size)
        lower[:, self.rows, self.columns] = raw
        return lower.tril(-1) + torch.diag_embed(soft_clamp(lower.diagonal(dim1=1, dim2=2)).exp())
