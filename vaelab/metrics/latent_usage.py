"""How the latents are used: variance of real units, frequencies of codes."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor

from vaelab.inference import infer_latents
from vaelab.metrics.base import EvaluationContext, Metric, Value
from vaelab.metrics.passes import latent_moments
from vaelab.model import VAE
from vaelab.registry import METRICS, ComponentConfig
from vaelab.types import Split


class LatentUsageConfig(ComponentConfig):
    """Arguments of the latent usage."""

    kind: Literal["latent_usage"] = "latent_usage"

    limit: PositiveInt | None = None
    """Use the first so many data; all where null."""

    samples: PositiveInt = 8
    """Draws in each of two averages that estimate a posterior's mean; see `active_units`."""

    @classmethod
    def example(cls) -> LatentUsageConfig:
        return cls(samples=2)


@METRICS.register(LatentUsageConfig)
class LatentUsage(Metric[LatentUsageConfig]):
    r"""How much of each latent group the data use; by group where there are several.

    Real groups: `posterior_variance` $\mathbb{E}_x\operatorname{Var}[z_u \mid x]$, a mean over units (near the
    prior's where units are unused), and `explained_variance`, the share $\operatorname{Var}_x\mathbb{E}[z_u \mid x] /
    \operatorname{Var}[z_u]$ that x determines, which does not depend on the scale of z. Groups of codes:
    `codes_used`, how many of the codes occur, and `code_perplexity`, $\exp H$ of their frequencies over data and
    positions, at most the number of codes (van den Oord et al. 2017).

    *Bias*: as in `active_units` for real groups; the perplexity of few data is too low, as rare codes do not
    occur. *Cost*: one pass over the data with several draws of the posterior; no decoder.

    Use it for codes and for hierarchies, to see which groups and codes are in use; it says nothing about what they
    mean.
    """

    def evaluate(self, model: VAE, split: Split, context: EvaluationContext) -> dict[str, Value]:
        context = context.limited(self.config.limit)
        values: dict[str, Value] = {}
        for i, group in latent_moments(model, context.batches(split), self.config.samples).items():
            end = f"/group_{i}" if model.depth > 1 else ""
            values[f"posterior_variance{end}"] = Value(float(group.noise.mean()), unit="")
            values[f"explained_variance{end}"] = Value(float(group.explained.mean()), unit="", better="higher")
        for i, counts in self._code_counts(model, split, context).items():
            end = f"/group_{i}" if model.depth > 1 else ""
            frequency = counts / counts.sum()
            perplexity = float(torch.special.entr(frequency).sum().exp())
            values[f"codes_used{end}"] = Value(float((counts > 0).sum()), unit="codes", better="higher")
            values[f"code_perplexity{end}"] = Value(perplexity, unit="codes", better="higher")
        return values

    @staticmethod
    def _code_counts(model: VAE, split: Split, context: EvaluationContext) -> dict[int, Tensor]:
        """Uses of each code, by group. A posterior over codes tells which it chose by an attribute `index`.

        An attribute, because which classes draw codes is open; one without it is left out.
        """
        groups = model.prior.latent.groups
        sizes = {i: group.codes for i, group in enumerate(groups) if group.support == "codes" and group.codes}
        counts: dict[int, Tensor] = {}
        for batch in context.batches(split) if sizes else ():
            drawn, _ = infer_latents(model, batch)
            for i, size in sizes.items():
                index: Tensor | None = getattr(drawn[i].q, "index", None)
                if index is not None:
                    used = torch.bincount(index.flatten(), minlength=size).cpu().double()
                    counts[i] = counts[i] + used if i in counts else used
        return counts
