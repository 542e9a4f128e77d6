"""Samples from the volume that the posteriors give to the latent space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, cast

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from vaelab.errors import BuildError
from vaelab.inference import Group
from vaelab.latents import LatentVector
from vaelab.metrics import offered
from vaelab.metrics.base import Value
from vaelab.model import VAE
from vaelab.registry import SAMPLERS
from vaelab.samplers.fitted import FittedConfig, FittedSampler
from vaelab.samplers.hmc import hmc

#: Distances between latents and centres that are held at a time.
_MOST_DISTANCES = 2**24


class ManifoldConfig(FittedConfig):
    """Arguments of the manifold sampler."""

    kind: Literal["manifold"] = "manifold"

    metric: Literal["precision", "covariance"] = "precision"
    """What each centre adds to the matrix M: its posterior's precision (Chadebec & Allassonnière 2022), or its covariance
    (as in Chadebec et al. 2022, where a network gives the matrices)."""

    centres: PositiveInt = 100
    """Training data whose posteriors make M, those nearest to the centres of a k-means."""

    bandwidth: PositiveFloat | None = None
    """How far a centre reaches, T; null for the greatest distance from a centre to the centre nearest to it."""

    regularisation: PositiveFloat = 0.01
    """Lambda, what M is far from all centres, as a multiple of the identity."""

    steps: PositiveInt = 100
    """Of each chain. A draw is where a chain of its own ends."""

    leapfrog: PositiveInt = 10
    """Leapfrog steps in each of them."""

    step_size: PositiveFloat = 0.1
    """Of a leapfrog step, in standard deviations of the centres."""

    groups: PositiveInt | None = None
    """Sample the first so many latent groups, all of them jointly; the others follow the model's prior given these. Null
    for all."""

    @classmethod
    def example(cls) -> ManifoldConfig:
        return cls(centres=5, steps=3, leapfrog=2, limit=100)


@SAMPLERS.register(ManifoldConfig)
class ManifoldSampler(FittedSampler[ManifoldConfig]):
    r"""Hamiltonian Monte Carlo on the volume element of a metric that the posteriors give, $p(z) \propto \sqrt{\det M(z)}$.

    $$M(z) = \sum_i \Sigma_i^{-1} e^{-(z - \mu_i)^\top \Sigma_i^{-1} (z - \mu_i) / T^2} + \lambda I$$

    with the posteriors' means and variances at some training data; M is large where data are (Chadebec & Allassonnière
    2022, "A geometric perspective on variational autoencoders"). With `"metric": "covariance"` it is

    $$M(z) = \sum_i \Sigma_i e^{-\lVert z - \mu_i \rVert^2 / T^2} + \lambda I,$$

    the inverse metric of the sampler of Chadebec et al. (2022, "Data augmentation in high dimensional low sample size
    setting using a geometry-based variational autoencoder"). Of a posterior with a full covariance the variances are used.

    Far away M is constant, so this is no density of the whole space: chains start at centres, and are as good as they are
    long. So there is no log-likelihood; `acceptance` is the share of the steps accepted, which tells of the step size. The
    temperature T raises the density to the power $1/T^2$, which multiplies the scale of a normal by T as that of the
    other samplers does.

    *Cost*: the metric is a sum over all chosen latents, with a determinant of d x d, at each leapfrog step.

    Use it for small data sets and few latents, where prior samples fall between data; its samples stay close to the
    training data, and each takes many steps.
    """

    def check(self, model: VAE) -> None:
        self.vector = LatentVector.of(model.prior.latent, "sampler 'manifold'", self.config.groups)

    def encoded(self, groups: Sequence[Group]) -> Tensor:
        """Means and variances `[B, 2, D]`."""
        moments = []
        for name in ("mean", "variance"):
            parts = [offered(group.q, name) for group in groups[: len(self.vector.shapes)]]
            if any(part is None for part in parts):
                raise BuildError(
                    f"sampler 'manifold' needs the {name} of the posterior, and {type(groups[0].q).__name__} has no closed "
                    "form for it. Use the sampler 'gmm'."
                )
            moments.append(self.vector.join([cast("Tensor", part)[0] for part in parts]))
        return torch.stack(moments, 1)

    @property
    def mean(self) -> bool:
        # of a hierarchy: the posterior of a group given the means of the groups before it
        return True

    def density(self, z: Tensor, held_out: Tensor) -> ManifoldDensity:
        from sklearn.cluster import KMeans

        means, variances = z[:, 0], z[:, 1]
        if not bool((variances > 0).all()):
            raise BuildError(
                "sampler 'manifold' needs posteriors with a variance, and these are points. Use the sampler 'gmm'."
            )
        number = min(self.config.centres, len(z))
        seed = self.config.seed % 2**32
        found = KMeans(number, n_init=1, random_state=seed).fit(means.double().cpu().numpy()).cluster_centers_
        chosen = torch.cdist(torch.as_tensor(found).to(means), means).argmin(1).unique()
        return ManifoldDensity(means[chosen], variances[chosen], self.config)

    def fixed(self, z: Tensor) -> Mapping[int, Tensor]:
        return self.vector.split(z)

    def measure(self, fitted: Sequence[Tensor], held_out: Sequence[Tensor]) -> dict[str, Value]:
        rates = []
        for density in cast("list[ManifoldDensity]", self.densities):
            density.sample(20)
            rates.append(density.acceptance)
        return {"acceptance": Value(sum(rates) / len(rates), unit="", better="higher")}


class ManifoldDensity:
    """An unnormalised density of latents, and chains that follow it.

    Args:
        means: of the posteriors at the centres, `[C, D]`.
        variances: likewise.
        config: of the sampler.

    Attributes:
        acceptance: share of the steps that the last chains accepted.
    """

    def __init__(self, means: Tensor, variances: Tensor, config: ManifoldConfig) -> None:
        self.means, self.variances, self.config = means, variances, config
        self.scale = means.std(0).clamp_min(1e-6) if len(means) > 1 else variances[0].sqrt()
        self.bandwidth = config.bandwidth or self._greatest_gap()
        self.acceptance = 0.0

    def _greatest_gap(self) -> float:
        if len(self.means) < 2:
            return 1.0
        distances = torch.cdist(self.means, self.means)
        distances.fill_diagonal_(float("inf"))
        return float(distances.min(1).values.max())

    def log_prob(self, z: Tensor) -> Tensor:
        """$\\tfrac12\\log\\det M(z)$ `[N]` of `[N, D]`: up to a constant."""
        rows = max(1, _MOST_DISTANCES // self.means.numel())
        return torch.cat([self._half_log_det(part) for part in z.split(rows)])

    def _half_log_det(self, z: Tensor) -> Tensor:
        precise = self.config.metric == "precision"
        added = 1 / self.variances if precise else self.variances
        square = (z[:, None] - self.means).square()
        distance = (square * added if precise else square).sum(2)
        reach = (-distance / self.bandwidth**2).exp()
        return 0.5 * (reach @ added + self.config.regularisation).log().sum(1)

    def sample(self, number: int, temperature: float = 1.0) -> Tensor:
        """Where chains end that start at centres, `[number, D]`."""
        config = self.config
        start = self.means[torch.randint(len(self.means), (number,), device=self.means.device)]

        # in units of the centres' spread, so that one step size fits any model
        def target(u: Tensor) -> Tensor:
            return self.log_prob(u * self.scale) / temperature**2

        u, accepted = hmc(
            target, start / self.scale, steps=config.steps, leapfrog=config.leapfrog, step_size=config.step_size
        )
        self.acceptance = float(accepted.mean()) if number else 0.0
        return u * self.scale
