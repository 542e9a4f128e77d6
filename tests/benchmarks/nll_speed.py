"""What an image costs in the importance-sampled NLL: here, in pythae, and in the decoder's matrix products alone.

    python tests/benchmarks/nll_speed.py --images 8 --threads 1

The model is the 784-200-200-50 MLP with its mirror image as decoder, untrained, on binarised MNIST test images, or on
random bits with --random. All three are timed in turn, several times, and the least processor time of each counts: what
else runs on the machine only adds to it. pythae is left out where it is not installed (`pip install pythae==0.1.2`).
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from vaelab.build import build_model
from vaelab.config import ModelConfig
from vaelab.datasets.memory import MemorySplit
from vaelab.metrics import EvaluationContext, measure
from vaelab.metrics.importance_nll import ImportanceNLLConfig
from vaelab.model import VAE
from vaelab.registry import DATASETS
from vaelab.types import DataSpec, Split

WIDTHS, LATENTS, PIXELS = (200, 200), 50, 784
SPEC = DataSpec((1, 28, 28), "binary")


def the_model() -> VAE:
    hidden = {"kind": "mlp", "hidden": list(WIDTHS)}
    prior = {"kind": "standard_normal", "dim": LATENTS}
    config = {"encoder": hidden, "posterior": "diagonal_normal", "prior": prior, "decoder": hidden}
    return build_model(ModelConfig.model_validate({**config, "likelihood": "bernoulli"}), SPEC).eval()


def images(number: int, *, random: bool) -> Tensor:
    """`[number, 784]` bits."""
    if random:
        return (torch.rand(number, PIXELS) < 0.13).float()
    config = DATASETS._validate({"kind": "mnist", "binarisation": "static"})
    test: Split = DATASETS.build(config).load().test
    return test.fetch(torch.arange(number)).x.flatten(1)


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

    class Encoder(BaseEncoder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(PIXELS, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU())
            self.mean, self.log_variance = nn.Linear(200, LATENTS), nn.Linear(200, LATENTS)

        def forward(self, x: Tensor) -> ModelOutput:
            h = self.net(x.flatten(1))
            return ModelOutput(embedding=self.mean(h), log_covariance=self.log_variance(h))

    class Decoder(BaseDecoder):  # type: ignore[misc]
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


def main() -> None:
    """Time all three and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=4, help="images a measurement")
    parser.add_argument("--samples", type=int, default=5000, help="K")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=15, help="measurements of each, of which the least counts")
    parser.add_argument("--random", action="store_true", help="random bits in place of MNIST")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    x = images(options.images, random=options.random)
    split = MemorySplit(SPEC, x, None)
    model, config = the_model(), ImportanceNLLConfig(samples=options.samples)
    candidates: dict[str, tuple[Callable[[], object], int]] = {
        f"matrix products, {part} samples a call": (matrix_products(options.samples, part), 1)
        for part in (100, 250, 1000)
    }
    candidates["vaelab"] = (lambda: measure([config], model, split, EvaluationContext()), options.images)
    theirs = pythae_nll(x[:1], options.samples)
    if theirs is not None:
        candidates["pythae"] = (theirs, 1)
    least = dict.fromkeys(candidates, float("inf"))
    with torch.no_grad():
        for _ in range(options.repeats + 1):  # the first warms up, and may count too
            for name, (run, number) in candidates.items():
                start = time.process_time()
                run()
                least[name] = min(least[name], 1000 * (time.process_time() - start) / number)
    for name, milliseconds in least.items():
        print(f"{name:<36} {milliseconds:7.1f} ms an image")
    products = min(time for name, time in least.items() if name.startswith("matrix"))
    print(f"vaelab / matrix products  {least['vaelab'] / products:.2f}  (goal: at most 1.25)")
    if theirs is not None:
        print(f"vaelab / pythae           {least['vaelab'] / least['pythae']:.2f}  (goal: at most 0.25)")


if __name__ == "__main__":
    main()
