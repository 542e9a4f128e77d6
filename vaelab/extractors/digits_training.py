"""Training of the digits network: `python -m vaelab.extractors.digits_training [FILE]`, two minutes on one core.

Four epochs of Adam (Kingma and Ba 2015) with batches of 128 and a one-cycle learning rate (Smith and Topin 2018). Each
picture is binarised with probability 1/2, by drawing each pixel from a Bernoulli of its grey level, so that the network
knows grey digits and binarised ones. With one thread and one seed the weights come out the same to the bit on one machine.
"""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from vaelab.extractors.digits_network import SHIPPED, DigitsNetwork, accuracy, checksum_of
from vaelab.files import replacing
from vaelab.registry import DATASETS

_log = logging.getLogger("vaelab")

SEED = 0
EPOCHS, BATCH, PEAK_LEARNING_RATE = 4, 128, 3e-3


def train(x: Tensor, y: Tensor, seed: int = SEED, epochs: int = EPOCHS) -> DigitsNetwork:
    """A trained network, on the CPU. Neither the number of threads nor any random state is changed by it.

    Args:
        x: grey digits `[N, 1, 28, 28]` in [0, 1].
        y: their labels `[N]`.
        seed: of the weights, the order and the binarisation.
        epochs: passes over the data.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums over several threads differ in their last bits
    try:
        with torch.random.fork_rng(devices=()), torch.enable_grad():
            torch.manual_seed(seed)
            network = DigitsNetwork()
            optimiser = torch.optim.Adam(network.parameters())
            steps = epochs * -(-len(y) // BATCH)
            rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK_LEARNING_RATE, total_steps=steps)
            for _ in range(epochs):
                for rows in torch.randperm(len(y)).split(BATCH):
                    _, logits = network(half_binarised(x[rows]))
                    loss = F.cross_entropy(logits, y[rows])
                    optimiser.zero_grad()
                    loss.backward()
                    optimiser.step()
                    rate.step()
        normalise(network, x[:10_000])
        return network.eval()
    finally:
        torch.set_num_threads(threads)


def normalise(network: DigitsNetwork, x: Tensor) -> None:
    """Divide the features by one number, so that over these pictures `[N, 1, 28, 28]` their variance is 1 on average.

    The logits stay as they are, since $\\operatorname{ReLU}(h/s) \\cdot s = \\operatorname{ReLU}(h)$, and so does
    which picture is near to which. The unit of the distances is no accident of the training any more.
    """
    linear = network.features[-1]
    assert isinstance(linear, nn.Linear)
    with torch.no_grad():
        features = torch.cat([network(pictures)[0] for pictures in x.split(1000)])
        scale = features.double().var(0).mean().sqrt().float()
        linear.weight.div_(scale)
        linear.bias.div_(scale)
        network.head.weight.mul_(scale)


def half_binarised(x: Tensor) -> Tensor:
    """Pictures of which each is binarised with probability 1/2."""
    chosen = torch.rand(len(x), 1, 1, 1) < 0.5
    return torch.where(chosen, x.bernoulli(), x)


def make(path: Path, seed: int = SEED) -> dict[str, str]:
    """Train on MNIST, or on what stands in for it offline, and write the weights with what is known of them.

    The file appears whole or not at all.

    Returns:
        What is known of them; `source` says on which data.
    """
    data = DATASETS.build(DATASETS["mnist"].config.model_validate({"offline_fallback": True})).load()
    (x, y), (test, labels) = _whole(data.train), _whole(data.test)
    start = time.perf_counter()
    _log.info("training the digits network on %s, %d digits", data.provenance["source"], len(y))
    network = train(x, y, seed)
    _log.info("trained in %.0f s", time.perf_counter() - start)
    bits = test.bernoulli(generator=torch.Generator().manual_seed(seed))
    facts = {
        "source": str(data.provenance["source"]),
        "number": str(len(y)),
        "seed": str(seed),
        "epochs": str(EPOCHS),
        "test_number": str(len(labels)),
        "test_accuracy": f"{accuracy(network, test, labels):.4f}",
        "test_accuracy_binarised": f"{accuracy(network, bits, labels):.4f}",
        "torch": torch.__version__,
        "sha256": checksum_of(network),
    }
    with replacing(path) as temporary:
        save_file(network.state_dict(), temporary, metadata=facts)
    return facts


def _whole(split: Any) -> tuple[Tensor, Tensor]:
    batch = split.fetch(torch.arange(len(split)))
    return batch.x, batch.y


def main() -> None:
    """Write the file named on the command line, by default the one that comes with the package."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else SHIPPED
    facts = make(path)
    _log.info("%s: %s", path, ", ".join(f"{key} {value}" for key, value in facts.items()))


if __name__ == "__main__":
    main()
