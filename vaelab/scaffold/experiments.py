"""An experiment for data, of a size and a variant that a beginner can name."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from vaelab.errors import ConfigError
from vaelab.scaffold.inspection import Inspection

#: Widths of networks, and the greatest number of latent units.
Size = Literal["small", "medium", "large"]


@dataclass(frozen=True)
class _Widths:
    hidden: tuple[int, ...]
    channels: tuple[int, ...]
    most_units: int
    steps: int


SIZES: dict[str, _Widths] = {
    "small": _Widths((64, 64), (16, 32), 8, 2_000),
    "medium": _Widths((256, 256), (32, 64, 128), 32, 10_000),
    "large": _Widths((512, 512, 512), (64, 128, 256), 128, 50_000),
}

VARIANTS: dict[str, str] = {
    "vae": "a standard normal prior and the ELBO",
    "beta": "a KL weight of 4, which trades fidelity for independent latents",
    "iwae": "the importance-weighted bound with 5 samples",
    "vamp": "a VampPrior, a mixture of posteriors of learned pseudo-inputs",
    "hierarchical": "two levels of latents, with a top-down posterior",
    "vq": "discrete codes on a grid; for pictures",
}


def new_experiment(name: str, found: Inspection, *, size: str = "medium", variant: str = "vae") -> dict[str, Any]:
    """The JSON of an experiment.

    Args:
        name: of the experiment.
        found: the data; see `inspect_data`.
        size: of `SIZES`: widths of the networks and length of the training.
        variant: of `VARIANTS`.

    Raises:
        ConfigError: there is no such size or variant, or it is not for these data.
    """
    for what, given, known in (("size", size, SIZES), ("variant", variant, VARIANTS)):
        if given not in known:
            raise ConfigError(f"there is no {what} '{given}'. Known: {', '.join(known)}.")
    if len(found.spec.shape) == 2 and variant in ("vamp", "hierarchical"):
        raise ConfigError(
            f"the variant '{variant}' has a prior of its own, and these data are sequences, whose steps are the latent groups. "
            "Choose 'vae', 'beta' or 'iwae'."
        )
    parts = _Parts(found, SIZES[size])
    model = parts.model()
    objective: dict[str, Any] = {
        "kind": "elbo",
        "divergences": [
            {"kind": "kl", "weight": {"kind": "linear", "start": 0.0, "end": 1.0, "steps": parts.steps // 10}}
        ],
    }
    metrics: list[Any] = ["negative_elbo", {"kind": "importance_nll", "samples": 100, "limit": 1000}, "reconstruction"]
    metrics += ["active_units", "collapse"]
    if variant == "beta":
        objective["divergences"][0]["weight"]["end"] = 4.0
    elif variant == "iwae":
        objective = {"kind": "iwae", "samples": 5}
    elif variant == "vamp":
        model["prior"] = {"kind": "vamp", "dim": parts.units, "pseudo_inputs": min(500, max(10, parts.number // 20))}
    elif variant == "hierarchical":
        width = parts.widths.hidden[0]
        model["prior"] = {
            "kind": "top_down",
            "top": {"kind": "standard_normal", "dim": parts.units},
            "groups": [2 * parts.units],
            "width": width,
        }
        model["posterior"] = {"kind": "diagonal_normal", "hidden": [width]}
        if len(found.spec.shape) == 3:
            # a level of vectors above another; maps of several resolutions are an experiment of their own
            model["encoder"] = {"kind": "mlp", "hidden": list(parts.widths.hidden)}
            model["decoder"] = {"kind": "mlp", "hidden": list(parts.widths.hidden)}
    elif variant == "vq":
        model, objective, metrics = parts.codes()
    figures = (
        ["reconstructions", "samples", "traversals", "latents", "curves"]
        if len(found.spec.shape) == 3
        else ["latents", "curves"]
    )
    if variant == "vq":
        figures = ["reconstructions", "samples", "curves"]
    if found.spec.masked:
        metrics = [metric for metric in metrics if metric != "reconstruction"]
    return {
        "name": name,
        "description": f"{VARIANTS[variant][:1].upper()}{VARIANTS[variant][1:]}; {size} networks.",
        "data": parts.data(),
        "model": model,
        "objective": objective,
        "training": {
            "epochs": parts.epochs,
            "batch_size": parts.batch,
            "gradient_clip": 100.0,
            "optimiser": {"kind": "adam", "lr": {"kind": "cosine", "start": 0.001, "end": 1e-05}},
        },
        "evaluation": {"metrics": metrics, "figures": figures},
    }


class _Parts:
    """What follows from the data alone."""

    def __init__(self, found: Inspection, widths: _Widths) -> None:
        self.found = found
        self.widths = widths
        self.chosen = found.likelihoods[0]
        self.number = found.sizes["train"]
        self.batch = min(128, max(8, 2 ** int(math.log2(max(self.number / 20, 1)))))
        self.epochs = max(1, min(200, round(widths.steps * self.batch / self.number)))
        self.steps = self.epochs * math.ceil(self.number / self.batch)
        self.units = max(2, min(found.components, widths.most_units, math.prod(found.spec.shape)))

    def data(self) -> dict[str, Any]:
        held = {"validation": self.number // 10} if "validation" not in self.found.sizes and self.number >= 100 else {}
        return {**self.found.data, **self.chosen.data, **held}

    def model(self) -> dict[str, Any]:
        hidden = list(self.widths.hidden)
        model: dict[str, Any] = {
            "encoder": {"kind": "mlp", "hidden": hidden},
            "posterior": {"kind": "diagonal_normal"},
            "prior": {"kind": "standard_normal", "dim": self.units},
            "decoder": {"kind": "mlp", "hidden": hidden},
            "likelihood": self.chosen.likelihood,
        }
        shape = self.found.spec.shape
        if any(self.found.levels):
            columns = self.chosen.likelihood["categorical"]
            model["encoder"] = {"kind": "tabular", "categorical": columns, "hidden": hidden}
        elif len(shape) == 3 and min(shape[1:]) >= 8:
            channels = list(self._channels(min(shape[1:])))
            model["encoder"] = {"kind": "conv", "channels": channels, "hidden": hidden[:1]}
            model["decoder"] = {"kind": "conv", "channels": channels[::-1], "hidden": hidden[:1]}
        elif len(shape) == 2 and shape[0] >= 4:
            model["encoder"] = {"kind": "gru", "hidden": hidden[0]}
            model["prior"] = {
                "kind": "markov_chain",
                "steps": shape[0],
                "dim": min(self.units, 16),
                "hidden": hidden[0],
            }
            model["posterior"] = {"kind": "diagonal_normal", "hidden": hidden[:1]}
            model["decoder"] = {"kind": "per_step", "hidden": hidden[:1]}
        return model

    def _channels(self, side: int) -> tuple[int, ...]:
        # each layer halves the picture; 4 pixels are left at least
        return self.widths.channels[: max(1, int(math.log2(side / 4)))]

    def codes(self) -> tuple[dict[str, Any], dict[str, Any], list[Any]]:
        """Model, objective and metrics of discrete codes.

        Raises:
            ConfigError: the data are no pictures.
        """
        shape = self.found.spec.shape
        if len(shape) != 3 or min(shape[1:]) < 8:
            raise ConfigError(
                f"the variant 'vq' is for pictures of 8 x 8 pixels and more, and these data have the shape {shape}. Choose "
                "another variant."
            )
        channels = self._channels(min(shape[1:]))[:2]
        grid = [-(-side // 2 ** len(channels)) for side in shape[1:]]
        model = self.model()
        model["encoder"] = {"kind": "conv", "channels": list(channels), "hidden": []}
        model["posterior"] = {"kind": "vq", "commitment": 0.25}
        model["prior"] = {"kind": "uniform_codes", "codes": 128, "dim": 32, "positions": grid}
        model["decoder"] = {"kind": "conv", "channels": list(channels)[::-1], "hidden": []}
        objective = {"kind": "elbo", "divergences": ["kl", {"kind": "commitment", "weight": 1.0}]}
        return model, objective, ["negative_elbo", "reconstruction", "latent_usage"]
