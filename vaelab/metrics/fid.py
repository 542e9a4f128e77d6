"""The Frechet distance between generated and real pictures."""

from __future__ import annotations

from typing import Literal

from vaelab.metrics.base import EvaluationContext, Metric, Value
from vaelab.metrics.feature_distances import frechet_distance
from vaelab.metrics.generated import GenerationConfig, compared
from vaelab.model import VAE
from vaelab.registry import METRICS
from vaelab.types import Split


class FidConfig(GenerationConfig):
    """Arguments of the Frechet distance."""

    kind: Literal["fid"] = "fid"

    @classmethod
    def example(cls) -> FidConfig:
        return cls(number=16)


@METRICS.register(FidConfig)
class Fid(Metric[FidConfig]):
    r"""FID: the Frechet distance between normal distributions fitted to features of real and of generated pictures.

    $\lVert\mu_r-\mu_f\rVert^2 + \operatorname{tr}(C_r + C_f - 2(C_rC_f)^{1/2})$, the squared 2-Wasserstein distance of the
    two normals (Heusel et al. 2017, equation 6), as `fid_digits_n10000`: extractor, and pictures on each side. Real
    pictures are the first of the evaluated split, as the model sees them, binarised where the experiment binarises.

    Bias: positive and falling like $1/N$ (Binkowski et al. 2018; Chong and Forsyth 2020); between two halves
    of one data set it is not 0. Values with another N, another extractor or other real pictures do not compare. With fewer
    pictures than features the covariances are singular, which the estimator stands and the bias does not. There is no
    standard error.

    Cost: N pictures generated and 2N seen by the extractor, which metrics of generation share, and $O(NF^2 + F^3)$ for F
    features. Nothing where the data are no images.

    Use it for the one number that papers report, with the extractor 'inception' and their N; for small N take `kid`.
    """

    def evaluate(self, model: VAE, split: Split, context: EvaluationContext) -> dict[str, Value]:
        found = compared(self.config.kind, self.config, model, split, context, least=2)
        if found is None:
            return {}
        distance = frechet_distance(found.real.features, found.fake.features)
        name = f"fid_{found.extractor}_n{found.number}{found.suffix}"
        return {name: Value(distance, unit="", better="lower", extractor=found.identity)}
