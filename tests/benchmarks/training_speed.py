"""What a training step costs: here, in the tutorial's loop, in pythae, in a bare loop and in the matrix products alone.

    python tests/benchmarks/training_speed.py --batch 64 --threads 1 --json docs/benchmarks/training.json

The model is 784-200-20-200-784 on binarised MNIST. vaelab's time holds metrics.jsonl, progress and one
checkpoint a pass. All are timed in turn, several times, and the least processor time of each counts: what else runs on
the machine only adds to it. pythae is left out where it is not installed (`pip install pythae==0.1.2`).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import platform
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import ToTensor

from vaelab.config import parse_experiment
from vaelab.experiment import _Prepared
from vaelab.runs import load_data
from vaelab.training import Trainer
from vaelab.training.progress import TrainingProgress

PIXELS, WIDTH, LATENTS = 784, 200, 20


class Plain(nn.Module):
    """The model, written by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.head = nn.Linear(PIXELS, WIDTH), nn.Linear(WIDTH, 2 * LATENTS)
        self.decoder, self.out = nn.Linear(LATENTS, WIDTH), nn.Linear(WIDTH, PIXELS)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.head(F.relu(self.encoder(x))).chunk(2, 1)
        z = torch.addcmul(mean, torch.exp(0.5 * log_variance), torch.randn_like(mean))
        return self.out(F.relu(self.decoder(z))), mean, log_variance


def bare(bits: Tensor, batch: int) -> Callable[[], float]:
    """Data in memory, fused Adam, logits, and one sum for the screen."""
    model = Plain()
    optimiser = torch.optim.Adam(model.parameters(), fused=True)

    def run() -> float:
        total = torch.zeros(())
        for rows in torch.randperm(len(bits)).split(batch):
            x = bits.index_select(0, rows).float()
            logits, mean, log_variance = model(x)
            distortion = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
            kl = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum()
            loss = (distortion + kl) / len(x)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.detach()
        return float(total)

    return run


class _Pictures(Dataset[tuple[Tensor, int]]):
    def __init__(self, bits: Tensor) -> None:
        self.pictures = (255 * bits).reshape(-1, 28, 28).numpy()
        self.transform = ToTensor()

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.pictures[index]), 0


def tutorial(bits: Tensor, batch: int) -> Callable[[], float]:
    """As in tutorials: DataLoader, ToTensor, a sigmoid, binary cross-entropy of probabilities, `item()` each step."""
    model = Plain()
    optimiser = torch.optim.Adam(model.parameters())
    loader = DataLoader(_Pictures(bits), batch_size=batch, shuffle=True)

    def run() -> float:
        total = 0.0
        for picture, _ in loader:
            x = picture.view(-1, PIXELS)
            logits, mean, log_variance = model(x)
            distortion = F.binary_cross_entropy(torch.sigmoid(logits), x, reduction="sum")
            loss = distortion - 0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
            optimiser.zero_grad()
            loss.backward()
            total += loss.item()
            optimiser.step()
        return total

    return run


def products(bits: Tensor, batch: int) -> Callable[[], None]:
    """The matrix products of forward and backward pass, and nothing between them."""
    sizes = [(PIXELS, WIDTH), (WIDTH, 2 * LATENTS), (LATENTS, WIDTH), (WIDTH, PIXELS)]
    layers = [(torch.randn(batch, a), torch.randn(b, a), torch.randn(batch, b)) for a, b in sizes]

    def run() -> None:
        for _ in range(-(-len(bits) // batch)):
            for i, (x, weight, gradient) in enumerate(layers):
                torch.mm(x, weight.t())
                torch.mm(gradient.t(), x)
                if i:  # nothing needs the gradient of the data
                    torch.mm(gradient, weight)

    return run


def theirs(bits: Tensor, batch: int, folder: Path) -> Callable[[], None] | None:
    """pythae's trainer with its own MLPs of the same widths, or None where it is not installed."""
    try:
        from pythae.data.datasets import BaseDataset
        from pythae.models import VAE, VAEConfig
        from pythae.models.base.base_utils import ModelOutput
        from pythae.models.nn import BaseDecoder, BaseEncoder
        from pythae.trainers import BaseTrainer, BaseTrainerConfig
    except ImportError:
        return None

    class Encoder(BaseEncoder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.net, self.head = nn.Linear(PIXELS, WIDTH), nn.Linear(WIDTH, 2 * LATENTS)

        def forward(self, x: Tensor) -> Any:
            mean, log_variance = self.head(F.relu(self.net(x.flatten(1)))).chunk(2, 1)
            return ModelOutput(embedding=mean, log_covariance=log_variance)

    class Decoder(BaseDecoder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.net, self.out = nn.Linear(LATENTS, WIDTH), nn.Linear(WIDTH, PIXELS)

        def forward(self, z: Tensor) -> Any:
            return ModelOutput(reconstruction=self.out(F.relu(self.net(z))).sigmoid().reshape(-1, 1, 28, 28))

    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=LATENTS, reconstruction_loss="bce")
    x = bits.float().reshape(-1, 1, 28, 28)
    trainer = BaseTrainer(
        VAE(config, Encoder(), Decoder()),
        train_dataset=BaseDataset(x, torch.zeros(len(x))),
        training_config=BaseTrainerConfig(
            output_dir=str(folder), per_device_train_batch_size=batch, num_epochs=1, no_cuda=True
        ),
    )
    trainer.prepare_training()

    def run() -> None:
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bar
            trainer.train_step(1)

    return run


class _Kept:
    """Stands for a tracker and for metrics.jsonl: each line is written and kept."""

    def __init__(self, path: Path, progress: TrainingProgress) -> None:
        self.file, self.progress, self.lines = path.open("w"), progress, list[Mapping[str, Any]]()

    def advance(self, step: int) -> None:
        self.progress.advance(step)

    def line(self, line: dict[str, Any]) -> None:
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()
        self.lines = [*self.lines[-100:], line]
        self.progress.terms({name: value for name, value in line.items() if isinstance(value, float)})


def ours(limit: int, batch: int, folder: Path) -> tuple[Callable[[], None], Tensor]:
    """A pass of vaelab's trainer, and the bits that it trains on."""
    net = {"kind": "mlp", "hidden": [WIDTH]}
    model = {"encoder": net, "posterior": "diagonal_normal", "prior": {"kind": "standard_normal", "dim": LATENTS}}
    experiment = parse_experiment(
        {
            "data": {"kind": "mnist", "binarisation": "static", "train_limit": limit, "test_limit": 1},
            "model": {**model, "decoder": net, "likelihood": "bernoulli"},
            "training": {"epochs": 1, "batch_size": batch},
        }
    )
    device = torch.device("cpu")
    prepared, data = _Prepared(experiment, device), load_data(experiment, device)
    progress = TrainingProgress(Console(file=io.StringIO()), 10**9, 0, -(-limit // batch), batch)
    trainer = Trainer(
        prepared.model,
        prepared.objective,
        data,
        experiment.training,
        seed=0,
        folder=folder / "checkpoints",
        reporter=_Kept(folder / "metrics.jsonl", progress),
    )

    def run() -> None:
        trainer.total_steps = trainer.step + trainer.steps_per_epoch
        trainer.train()

    return run, data.train.fetch(torch.arange(limit)).x.flatten(1).to(torch.uint8)


def main() -> None:
    """Time all and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--data", type=int, default=12_800, help="images a measurement")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=10, help="measurements of each, of which the least counts")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run, bits = ours(options.data, options.batch, folder)
        candidates: dict[str, Callable[[], object] | None] = {
            "matrix products": products(bits, options.batch),
            "bare loop": bare(bits, options.batch),
            "vaelab": run,
            "pythae": theirs(bits, options.batch, folder / "pythae"),
            "tutorial": tutorial(bits, options.batch),
        }
        least: dict[str, float] = {}
        for _ in range(options.repeats):
            for name, candidate in candidates.items():
                if candidate is not None:
                    start = time.process_time()
                    candidate()
                    seconds = (time.process_time() - start) * 60_000 / len(bits)
                    least[name] = min(least.get(name, seconds), seconds)
    for name, seconds in least.items():
        print(f"{name:<16} {seconds:6.2f} s an epoch of 60,000   vaelab / {name:<16} {least['vaelab'] / seconds:.2f}")
    if options.json:
        versions = {"python": platform.python_version(), "torch": torch.__version__}
        kept = {"batch": options.batch, "threads": options.threads, "data": len(bits), "repeats": options.repeats}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({**versions, **kept, "cpu_seconds_an_epoch": least}, indent=2) + "\n")


if __name__ == "__main__":
    main()
