"""Gaussian mixture of the latents."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np
import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from vaelab.errors import ConfigError
from vaelab.registry import SAMPLERS
from vaelab.samplers.fitted import RealLatentsConfig, RealLatentsSampler

#: Numbers that the covariances of all components may hold.
_MOST_NUMBERS = 2**26


class GMMConfig(RealLatentsConfig):
    """Arguments of the Gaussian mixture."""

    kind: Literal["gmm"] = "gmm"

    components: PositiveInt = 10
    """Normals in the mixture."""

    covariance: Literal["full", "tied", "diag", "spherical"] = "full"
    """Any covariance a component, one for all, a diagonal one, or a multiple of the identity."""

    regularisation: PositiveFloat = 1e-6
    """Added to the diagonal of each covariance."""

    iterations: PositiveInt = 200
    """Steps of EM at most."""

    @classmethod
    def example(cls) -> GMMConfig:
        return cls(components=2, limit=100)


@SAMPLERS.register(GMMConfig)
class GMMSampler(RealLatentsSampler[GMMConfig]):
    r"""$p(z) = \sum_k \pi_k \mathcal{N}(z; \mu_k, \Sigma_k)$ fitted to the latents of the training data by EM.

    The ex-post density of Ghosh et al. (2020, section 4), who fit 10 components with any covariance, by scikit-learn. The
    temperature multiplies the scale of each component and leaves the weights.

    *Cost*: the iterations of EM, each linear in the data and, with full covariances, cubic in d.

    Use it as the first ex-post density for autoencoders and for VAEs whose prior samples are poor; in more than some
    dozens of dimensions full covariances are costly and overfit.
    """

    def density(self, z: Tensor, held_out: Tensor) -> GaussianMixtureDensity:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture

        config = self.config
        count = config.components if config.covariance == "full" else 1
        if config.components > len(z):
            raise ConfigError(
                f"sampler 'gmm': {config.components} components cannot be fitted to {len(z)} latents. Lower 'components', or "
                "raise 'limit'."
            )
        if config.covariance in ("full", "tied") and count * z.shape[1] ** 2 > _MOST_NUMBERS:
            raise ConfigError(
                f'sampler \'gmm\': {count} covariances of {z.shape[1]} latents are too large. Set "covariance": "diag", or '
                "'groups' to fit the first groups only."
            )
        mixture = GaussianMixture(
            config.components,
            covariance_type=config.covariance,
            reg_covar=config.regularisation,
            max_iter=config.iterations,
            random_state=config.seed % 2**32,
        )
        with warnings.catch_warnings():
            # what EM has not reached shows in the likelihoods that are reported
            warnings.simplefilter("ignore", ConvergenceWarning)
            try:
                mixture.fit(z.double().cpu().numpy())
            except ValueError as error:
                raise ConfigError(f"sampler 'gmm' cannot be fitted: {error}") from error
        return GaussianMixtureDensity(mixture, z)


class GaussianMixtureDensity:
    """A fitted mixture of scikit-learn, drawn from by torch's random state.

    Args:
        mixture: the mixture.
        like: a tensor whose device and dtype draws take.
    """

    def __init__(self, mixture: Any, like: Tensor) -> None:
        self.mixture = mixture
        number, size = mixture.means_.shape
        covariances: Any = mixture.covariances_
        kind = mixture.covariance_type
        self.diagonal = kind in ("diag", "spherical")
        if self.diagonal:
            scales = np.sqrt(covariances[:, None] * np.ones(size) if kind == "spherical" else covariances)
        else:
            scales = np.linalg.cholesky(np.broadcast_to(covariances, (number, size, size)))
        self.weights, self.means, self.scales = (
            torch.as_tensor(array).to(like) for array in (mixture.weights_, mixture.means_, scales)
        )

    def log_prob(self, z: Tensor) -> Tensor:
        return torch.from_numpy(self.mixture.score_samples(z.double().cpu().numpy()))

    def sample(self, number: int, temperature: float = 1.0) -> Tensor:
        chosen = torch.multinomial(self.weights, number, replacement=True)
        noise = temperature * torch.randn(number, self.means.shape[1]).to(self.means)
        z = torch.empty_like(noise)
        for component in chosen.unique().tolist():
            rows = chosen == component
            scale = self.scales[component]
            z[rows] = self.means[component] + (noise[rows] * scale if self.diagonal else noise[rows] @ scale.T)
        return z
