"""Whether clusters of the latents are the labels."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, PositiveInt

from vaelab.errors import DataError
from vaelab.metrics.base import EvaluationContext, Metric, Value
from vaelab.metrics.classifiers import matched_accuracy
from vaelab.metrics.labelled_codes import RepresentationConfig, labelled
from vaelab.model import VAE
from vaelab.registry import METRICS
from vaelab.types import Split


class ClusteringConfig(RepresentationConfig):
    """Arguments of the clustering scores."""

    kind: Literal["clustering"] = "clustering"

    clusters: Annotated[int, Field(ge=2)] | None = None
    """k; as many as there are labels in the data where null."""

    limit: PositiveInt = 10_000
    """N, cluster the first so many data of the evaluated split."""

    starts: PositiveInt = 10
    """Runs of k-means from different centres, of which the one with the smallest distances counts."""

    @classmethod
    def example(cls) -> ClusteringConfig:
        return cls(starts=2)


@METRICS.register(ClusteringConfig)
class Clustering(Metric[ClusteringConfig]):
    r"""Agreement of k-means clusters of the posteriors' centres with the labels, which the clustering does not see.

    `clustering_nmi_k10_n10000`: $2 I(y; c) / (H(y) + H(c))$, in [0, 1]. `clustering_ari_...`: the Rand index adjusted for chance,
    0 in expectation for a random partition and 1 for the same one (Hubert & Arabie 1985). `clustering_accuracy_...`:
    $\max_\pi \frac1N\sum_n [y_n = \pi(c_n)]$ over one-to-one maps of clusters to labels, found by the Hungarian method (Xie et al.
    2016, equation 10); data of clusters that are left over count as wrong. k-means and scores are scikit-learn's. There is no
    standard error: the values are no means over data, and the accuracy's map is chosen on the data themselves.

    The evaluated split is clustered, so no training data are needed. Nothing where the data have no labels.

    *Bias*: k-means finds a local optimum, of which the best of several starts is taken, and a better one would
    change all three; the accuracy is above chance even for random clusters, as its map is fitted, and mutual
    information grows with the number of clusters, while the Rand index is adjusted for both. *Cost*: one pass
    of the encoder, and k-means.

    Use it for priors with clusters, such as a mixture; k-means takes clusters to be balls of one size, and another number of
    clusters gives another value.
    """

    def evaluate(self, model: VAE, split: Split, context: EvaluationContext) -> dict[str, Value]:
        from sklearn.cluster import KMeans
        from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

        if split.spec.num_classes is None:
            return {}
        batches = context.limited(self.config.limit).batches(split)
        found = labelled("clustering", model, batches, self.config.groups)
        if found is None:
            return {}
        occurring = len(np.unique(found.labels))
        if occurring < 2:
            raise DataError(
                f"metric 'clustering': the first {len(found)} data have one label only. Raise 'limit', or use data with two "
                "labels or more."
            )
        k = self.config.clusters or occurring
        if k > len(found):
            raise DataError(
                f"metric 'clustering' cannot make {k} clusters of {len(found)} data. Lower 'clusters', or raise 'limit'."
            )
        # codes that coincide, as where the posterior has collapsed, make fewer clusters
        different = min(k, len(np.unique(found.codes, axis=0)))
        machine = KMeans(different, n_init=self.config.starts, random_state=context.seed % 2**32)
        clusters = machine.fit_predict(found.codes)
        scores = {
            "nmi": normalized_mutual_info_score(found.labels, clusters),
            "ari": adjusted_rand_score(found.labels, clusters),
            "accuracy": matched_accuracy(found.labels, clusters),
        }
        end = f"k{k}_n{len(found)}"
        return {
            f"clustering_{name}_{end}": Value(float(score), unit="", better="higher") for name, score in scores.items()
        }
