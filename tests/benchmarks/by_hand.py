"""The training of 784-200-20-200-784 written by hand: as well as can be, as in tutorials, and its matrix products alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import ToTensor

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
