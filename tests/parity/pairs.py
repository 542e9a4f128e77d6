"""A model of vaelab and one of pythae with the same weights, and the same noise for both."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from vaelab.build import build
from vaelab.config import ModelConfig
from vaelab.model import VAE
from vaelab.objectives import Objective
from vaelab.registry import OBJECTIVES
from vaelab.types import Batch, DataSpec, StepContext

SHAPE = (1, 8, 8)
BATCH = 6
DIM = 4


def same(tensor: Tensor) -> Tensor:
    return tensor


@dataclass
class Link:
    """A weight that both models have.

    Attributes:
        ours: the parameter here.
        theirs: the parameter in pythae's model.
        part: takes the shared numbers from ours.
        place: where they are in theirs; a view.
        factor: theirs is this times ours, where the two parametrise differently.
    """

    ours: Tensor
    theirs: Tensor
    part: Callable[[Tensor], Tensor] = same
    place: Callable[[Tensor], Tensor] = same
    factor: float = 1.0

    def copy(self) -> None:
        self.place(self.theirs.data).copy_(self.factor * self.part(self.ours.data))

    def gradients(self) -> tuple[Tensor, Tensor]:
        """Of ours, and of theirs with respect to our parametrisation."""
        ours, theirs = (torch.zeros_like(p) if p.grad is None else p.grad for p in (self.ours, self.theirs))
        return self.part(ours).flatten(), (self.factor * self.place(theirs)).flatten()


@dataclass
class Pair:
    """The two models and the weights that they share, each list one player's."""

    model: VAE
    objective: Objective[Any]
    theirs: nn.Module
    inference: list[Link] = field(default_factory=list)
    generative: list[Link] = field(default_factory=list)
    adversary: list[Link] = field(default_factory=list)

    @property
    def autoencoder(self) -> list[Link]:
        return [*self.inference, *self.generative]

    def copy(self) -> None:
        for link in [*self.autoencoder, *self.adversary]:
            link.copy()

    def losses(self, x: Tensor, context: StepContext | None = None) -> dict[str, Tensor]:
        """Our loss of each player."""
        losses = self.objective(self.model, Batch(x), context or StepContext())
        return {player: loss.value.mean() for player, loss in losses.items()}

    def zero_grad(self) -> None:
        for module in (self.model, self.objective, self.theirs):
            module.zero_grad(set_to_none=True)

    def gradients(self, links: Sequence[Link], ours: Tensor, theirs: Tensor) -> tuple[Tensor, Tensor]:
        """Of the two losses with respect to the shared weights, in one vector each.

        Each weight's are divided by the largest of pythae's, so that none hides behind another with larger ones.
        """
        self.zero_grad()
        ours.backward(retain_graph=True)
        theirs.backward(retain_graph=True)
        return self.gradients_left(links)

    def gradients_left(self, links: Sequence[Link]) -> tuple[Tensor, Tensor]:
        """What the weights hold after the backward passes."""
        pairs = [link.gradients() for link in links]
        largest = torch.stack([theirs.abs().max() for _, theirs in pairs])
        scales = largest.clamp_min(1e-4 * float(largest.max()))
        both = [(a / scale, b / scale) for (a, b), scale in zip(pairs, scales, strict=True)]
        return torch.cat([pair[0] for pair in both]), torch.cat([pair[1] for pair in both])


def ours(composition: dict[str, Any]) -> tuple[VAE, Objective[Any]]:
    axes = {axis: value for axis, value in composition.items() if axis != "objective"}
    values = "real" if "normal" in str(axes["likelihood"]) else "binary"
    objective = OBJECTIVES._validate(composition["objective"])
    return build(ModelConfig.model_validate(axes), objective, DataSpec(SHAPE, values))


def linear(ours: nn.Linear, theirs: nn.Linear) -> list[Link]:
    return [Link(ours.weight, theirs.weight), Link(ours.bias, theirs.bias)]


def head(ours: nn.Linear, theirs: nn.Linear, start: int, factor: float = 1.0) -> list[Link]:
    """Some rows of a posterior's head are a whole layer in pythae."""
    stop = start + theirs.out_features
    return [
        Link(ours.weight, theirs.weight, lambda t: t[start:stop], factor=factor),
        Link(ours.bias, theirs.bias, lambda t: t[start:stop], factor=factor),
    ]


def mlp_links(model: VAE, theirs: Any, second: str | None = "log_var", factor: float = 1.0) -> dict[str, list[Link]]:
    """pythae's default networks and the `mlp` encoder, a head and the `mlp` decoder.

    Args:
        model: ours.
        theirs: pythae's model, or one with its `encoder` and `decoder`.
        second: name of the encoder's second output, if it has one.
        factor: by which that is another multiple there.
    """
    raw = model.posterior.heads[0].net[0]
    inference = linear(model.encoder.net[0], theirs.encoder.layers[0][0])
    inference += head(raw, theirs.encoder.embedding, 0)
    if second is not None:
        inference += head(raw, getattr(theirs.encoder, second), theirs.encoder.embedding.out_features, factor)
    generative = linear(model.decoder.net[0], theirs.decoder.layers[0][0])
    generative += linear(model.decoder.net[2], theirs.decoder.layers[1][0])
    return {"inference": inference, "generative": generative}


def pair(
    composition: dict[str, Any], kind: Any, config: Any, second: str | None = "log_var", factor: float = 1.0
) -> Pair:
    """Both models with the networks that pythae has for a default.

    Those end with a sigmoid, which with a squared error is part of the mean here too only if a Bernoulli's
    logits are meant: with the likelihood `normal` it is taken off.
    """
    model, objective = ours(composition)
    theirs = kind(config)
    theirs.device = torch.device("cpu")
    if "normal" in str(composition["likelihood"]):
        theirs.decoder.layers[1] = theirs.decoder.layers[1][:1]
    made = Pair(model, objective, theirs, **mlp_links(model, theirs, second, factor))
    made.copy()
    return made


def copied(module: nn.Module) -> tuple[nn.Module, list[Link]]:
    """A copy of a network and the links between the two."""
    twin = copy.deepcopy(module)
    return twin, [Link(a, b) for a, b in zip(module.parameters(), twin.parameters(), strict=True)]


@contextmanager
def script(**calls: Sequence[Tensor]) -> Iterator[None]:
    """Makes torch's generators return these tensors in turn, and nothing else.

    Args:
        calls: by the generator's name: `randn`, `randn_like` or `randperm`.
    """
    queues = {name: list(tensors) for name, tensors in calls.items()}

    def player(name: str) -> Callable[..., Tensor]:
        def play(first: Any, *rest: Any, **options: Any) -> Tensor:
            assert queues[name], f"torch.{name} is called once more than the test knows"
            tensor = queues[name].pop(0)
            shape = first.shape if isinstance(first, Tensor) else (first,) if isinstance(first, int) else tuple(first)
            assert tuple(tensor.shape) == tuple(shape), f"torch.{name} wants {shape}, not {tuple(tensor.shape)}"
            return tensor

        return play

    with ExitStack() as stack:
        for name in ("randn", "randn_like", "randperm"):
            queues.setdefault(name, [])
            stack.enter_context(patch.object(torch, name, player(name)))
        yield
    assert not any(queues.values()), f"not all of the noise was used: {queues}"


def relative_difference(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference by the size of the largest number."""
    ours, theirs = ours.detach().double(), theirs.detach().double()
    assert ours.shape == theirs.shape
    return float((ours - theirs).abs().max() / theirs.abs().max().clamp_min(1e-12))


def bits(number: int = BATCH) -> Tensor:
    return torch.rand(number, *SHAPE).round()
