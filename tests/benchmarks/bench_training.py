"""An epoch of vaelab's trainer beside loops written by hand and beside pythae's trainer.

vaelab's time holds all that a run does while it trains: metrics.jsonl, a tracker, progress, the monitor's probes, checkpoints.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from by_hand import LATENTS, WIDTH, bare, products, tutorial
from contest import contest
from ours import bits_of, digits, epochs, experiment_of, training
from theirs import pythae_epochs


def mlp(*hidden: int) -> dict[str, Any]:
    return {"kind": "mlp", "hidden": list(hidden)}


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize("batch", [64, 512])
def bench_vae(benchmark: Any, batch: int, images: int, rounds: int, tmp_path: Path) -> None:
    with training(experiment_of(mlp(WIDTH), mlp(WIDTH), LATENTS, batch, images), tmp_path) as trainer:
        bits = bits_of(trainer)
        others = {
            "matrix products": products(bits, batch),
            "bare loop": bare(bits, batch),
            "pythae": pythae_epochs("VAE", trainer.model, bits, batch, tmp_path),
            "tutorial": tutorial(bits, batch),
        }
        contest(benchmark, f"vae, batch {batch}", epochs(trainer), others, rounds)


CONV = {
    "encoder": {"kind": "conv", "channels": [32, 64], "hidden": [256]},
    "decoder": {"kind": "conv", "channels": [64, 32], "hidden": [256]},
}

#: Name, networks, latents, batch, the rest of the experiment, pythae's model and its arguments; as in `experiments/`.
VARIANTS = [
    ("beta_tc", mlp(400, 400), 20, 128, {"objective": {"kind": "elbo", "divergences": [{"kind": "beta_tc"}]}}, "BetaTCVAE", {}),
    ("iwae, K = 5", mlp(200, 200), 50, 100, {"objective": {"kind": "iwae", "samples": 5}}, "IWAE", {"number_samples": 5}),
    (
        "vamp", mlp(300, 300), 40, 128, {"prior": {"kind": "vamp", "dim": 40, "pseudo_inputs": 500}},
        "VAMP", {"number_components": 500},
    ),
    ("conv", CONV, 20, 128, {}, "VAE", {}),
]  # fmt: skip


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize("variant", VARIANTS, ids=[variant[0].split(",")[0] for variant in VARIANTS])
def bench_variant(benchmark: Any, variant: Any, images: int, rounds: int, tmp_path: Path) -> None:
    name, nets, dim, batch, more, theirs, arguments = variant
    encoder, decoder = nets.get("encoder", nets), nets.get("decoder", nets)
    number = min(images, 40 * batch)
    experiment = experiment_of(encoder, decoder, dim, batch, number, data=digits(number), **more)
    with training(experiment, tmp_path) as trainer:
        bits = bits_of(trainer)
        others = {"pythae": pythae_epochs(theirs, trainer.model, bits, batch, tmp_path, **arguments)}
        contest(benchmark, name, epochs(trainer), others, rounds + 2)
