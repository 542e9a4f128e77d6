"""The small classifier of digits behind the extractor `digits`, and its file."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from vaelab.errors import DataError
from vaelab.nets.frozen import freeze

#: Pixels along a side of what the network was trained on.
SIDE = 28
LABELS = 10
#: The weights that come with the package; `python -m vaelab.extractors.digits_training` made them.
SHIPPED = Path(__file__).with_name("digits.safetensors")


class DigitsNetwork(nn.Module):
    """Three convolutions and two linear layers, 33,450 parameters: `[N, 1, 28, 28]` to 64 features and 10 logits.

    The features are what the last ReLU gets, not what it passes on: zeros at half of the places would be far from the
    normal distribution that the Frechet distance takes them for. Over MNIST's training digits their variance is 1 on average.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(1, 16, 5, padding=2),
                relu1=nn.ReLU(),
                pool1=nn.MaxPool2d(2),
                conv2=nn.Conv2d(16, 32, 3, padding=1),
                relu2=nn.ReLU(),
                pool2=nn.MaxPool2d(2),
                conv3=nn.Conv2d(32, 32, 3, padding=1),
                relu3=nn.ReLU(),
                pool3=nn.MaxPool2d(2),
                flatten=nn.Flatten(),
                linear=nn.Linear(32 * 3 * 3, 64),
            )
        )
        self.head = nn.Linear(64, LABELS)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Features `[N, 64]` and logits `[N, 10]`."""
        features = self.features(pictures)
        return features, self.head(features.relu())


@dataclass(frozen=True)
class Trained:
    """A trained network with what is known of it.

    Attributes:
        network: frozen.
        checksum: of its weights, see `checksum_of`.
        facts: seed, source of the data, accuracy on the test data, and so on, as they stand in the file.
    """

    network: DigitsNetwork
    checksum: str
    facts: dict[str, str]


def read(path: Path = SHIPPED) -> Trained:
    """The network in a file.

    Raises:
        DataError: the file is missing, or is not this network's.
    """
    network = DigitsNetwork()
    try:
        with safe_open(path, framework="pt") as file:
            facts = dict(file.metadata() or {})
            weights: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        network.load_state_dict(weights)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise DataError(
            f"the weights of extractor 'digits' cannot be read from {path}: {error}. Install vaelab again, or make them with "
            f"`python -m vaelab.extractors.digits_training {path}`."
        ) from error
    checksum = checksum_of(network)
    if facts.get("sha256") != checksum:
        raise DataError(
            f"the weights of extractor 'digits' in {path} are not those that were trained: their SHA-256 is {checksum}, and the "
            f"file says {facts.get('sha256')}. Install vaelab again."
        )
    freeze(network)
    return Trained(network.eval(), checksum, facts)


def checksum_of(network: DigitsNetwork) -> str:
    """SHA-256 of the weights, as bytes of float32 in the order of their names.

    Not of the file, in which the order of what is said of the weights is left to chance.
    """
    digest = hashlib.sha256()
    for name, weights in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(weights.contiguous().numpy().astype("<f4").tobytes())
    return digest.hexdigest()


def accuracy(network: DigitsNetwork, x: Tensor, y: Tensor) -> float:
    """The share of pictures whose label the network finds."""
    with torch.no_grad():
        right = [
            (network(pictures)[1].argmax(1) == labels).sum()
            for pictures, labels in zip(x.split(1000), y.split(1000), strict=True)
        ]
    return float(torch.stack(right).sum()) / len(y)
