"""What an image costs in the importance-sampled likelihood: here, in pythae, and in the decoder's matrix products alone.

The model is the 784-200-200-50 MLP with its mirror image as decoder, untrained, on binarised MNIST.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from contest import contest
from torch import Tensor
from torch.nn import functional as F

from vaelab.build import build_model
from vaelab.config import ModelConfig
from vaelab.datasets.memory import MemorySplit
from vaelab.metrics import EvaluationContext, measure
from vaelab.metrics.importance_nll import ImportanceNLLConfig
from vaelab.model import VAE
from vaelab.registry import DATASETS
from vaelab.types import DataSpec

SAMPLES, IMAGES = 5000, 4
WIDTHS, LATENTS, PIXELS = (200, 200), 50, 784
SPEC = DataSpec((1, 28, 28), "binary")


def the_model() -> VAE:
    hidden = {"kind": "mlp", "hidden": list(WIDTHS)}
    prior = {"kind": "standard_normal", "dim": LATENTS}
    config = {"encoder": hidden, "posterior": "diagonal_normal", "prior": prior, "decoder": hidden}
    return build_model(ModelConfig.model_validate({**config, "likelihood": "bernoulli"}), SPEC).eval()


def matrix_products(samples: int, part: int) -> Callable[[], None]:
    """The decoder's three linear layers for one image, and nothing between them."""
    sizes = (LATENTS, *WIDTHS, PIXELS)
    layers = [(torch.randn(part, a), torch.randn(b, a), torch.randn(b)) for a, b in itertools.pairwise(sizes)]

    def run() -> None:
        for _ in range(samples // part):
            for x, weight, bias in layers:
                F.linear(x, weight, bias)

    return run


def pythae_nll(x: Tensor, samples: int) -> Callable[[], float] | None:
    """`get_nll` of pythae with networks of the same widths, or None where it is not installed."""
    try:
        from pythae import models as theirs
        from pythae.models.base.base_utils import ModelOutput
        from pythae.models.nn import BaseDecoder, BaseEncoder
    except ImportError:
        return None
    from torch import nn

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(PIXELS, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU())
            self.mean, self.log_variance = nn.Linear(200, LATENTS), nn.Linear(200, LATENTS)

        def forward(self, x: Tensor) -> ModelOutput:
            h = self.net(x.flatten(1))
            return ModelOutput(embedding=self.mean(h), log_covariance=self.log_variance(h))

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            layers = [nn.Linear(LATENTS, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU(), nn.Linear(200, PIXELS)]
            self.net = nn.Sequential(*layers, nn.Sigmoid())

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.net(z).reshape(-1, *SPEC.shape))

    config = theirs.VAEConfig(input_dim=SPEC.shape, latent_dim=LATENTS, reconstruction_loss="bce")
    model = theirs.VAE(config, Encoder(), Decoder()).eval()
    pictures = x.reshape(-1, *SPEC.shape)
    return lambda: float(model.get_nll(pictures, n_samples=samples, batch_size=100))


@pytest.mark.benchmark(timer=time.process_time)
def bench_likelihood(benchmark: Any, rounds: int) -> None:
    test = DATASETS.build(DATASETS._validate({"kind": "mnist", "binarisation": "static"})).load().test
    x = test.fetch(torch.arange(IMAGES)).x.flatten(1)
    split, model, config = MemorySplit(SPEC, x, None), the_model(), ImportanceNLLConfig(samples=SAMPLES)
    others = {"matrix products": matrix_products(SAMPLES, 250), "pythae": pythae_nll(x[:1], SAMPLES)}
    with torch.no_grad():
        contest(
            benchmark,
            "likelihood, K = 5000",
            lambda: measure([config], model, split, EvaluationContext()),
            others,
            rounds + 4,
            scale={"matrix products": IMAGES, "pythae": IMAGES},  # these score one image
        )
