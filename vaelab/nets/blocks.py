"""Multilayer perceptrons, and connections between vectors and feature maps of any shape."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from vaelab.nets.conv import ResidualBlock, halvings
from vaelab.nets.folding import fold
from vaelab.types import Shape, numel

Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "tanh", "sigmoid"]


class _LeakyReLU(nn.LeakyReLU):
    """With the slope that GANs and FactorVAE use (Radford et al. 2016), in place of torch's 0.01."""

    def __init__(self) -> None:
        super().__init__(0.2)


_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": _LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


def activation(name: Activation) -> nn.Module:
    """A new activation layer."""
    return _ACTIVATIONS[name]()


def mlp(sizes: Sequence[int], act: Activation, *, last: bool) -> nn.Sequential:
    """Linear layers of these sizes with the activation between them, and after the last one if `last`."""
    layers: list[nn.Module] = []
    for i, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        layers.append(nn.Linear(fan_in, fan_out))
        if last or i < len(sizes) - 2:
            layers.append(activation(act))
    return nn.Sequential(*layers)


class Unflatten(nn.Module):
    """`[..., numel(shape)]` to `[..., *shape]`."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:-1], *self.shape)


class _OnMaps(nn.Module):
    """Applies a module of `[N, C, H, W]` to `[K, B, C, H, W]`."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        return fold(self.module, x)


class _Upsample(nn.Module):
    """Nearest-neighbour resizing of `[N, C, H, W]` to `[N, C, *size]`."""

    def __init__(self, size: Sequence[int]) -> None:
        super().__init__()
        self.size = tuple(size)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.interpolate(x, size=self.size, mode="nearest")


def _resize(source: Shape, channels: int, size: Sequence[int]) -> list[nn.Module]:
    """Layers that bring a map to another resolution and width. Coarser maps are made by stride-2 convolutions."""
    if source[1] < size[0] or source[2] < size[1]:
        return [nn.Conv2d(source[0], channels, 1), _Upsample(size)]
    layers: list[nn.Module] = []
    width, height = source[0], (source[1], source[2])
    while height[0] >= 2 * size[0] - 1 and height[1] >= 2 * size[1] - 1 and height != tuple(size):
        layers.append(nn.Conv2d(width, channels, 3, stride=2, padding=1))
        width, height = channels, halvings(*height, 1)[1]
    if height != tuple(size):
        layers.append(nn.AdaptiveAvgPool2d(tuple(size)))
    return layers


def connect(source: Shape, target: Shape, act: Activation = "relu", hidden: Sequence[int] = ()) -> nn.Module:
    """A map from `[K, B, *source]` to `[K, B, *target]`, linear at its end.

    Vector or map to vector: an MLP over the flattened source. Vector to map: an MLP and a reshape. Map to map: a change
    of resolution where it is needed, residual blocks of the hidden widths there, and a 1x1 convolution.
    """
    if len(source) == 3 and len(target) == 3:
        layers: list[nn.Module] = []
        width = source[0]
        if source[1:] != target[1:]:
            layers += _resize(source, hidden[0] if hidden else target[0], target[1:])
            width = _width_after(layers, width)
        for channels in hidden:
            layers.append(ResidualBlock(width, channels, activation(act)))
            width = channels
        if width != target[0] or not layers or hidden:
            layers.append(nn.Conv2d(width, target[0], 1))
        return _OnMaps(nn.Sequential(*layers))
    body = mlp([numel(source), *hidden, numel(target)], act, last=False)
    before = [nn.Flatten(2)] if len(source) > 1 else []
    after = [Unflatten(target)] if len(target) > 1 else []
    return nn.Sequential(*before, *body, *after)


def _width_after(layers: Sequence[nn.Module], width: int) -> int:
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            width = layer.out_channels
    return width


class Head(nn.Module):
    """Parameters of a group's distribution from bottom-up features and top-down context.

    Features `[B, *feature_shape]` are broadcast against the K samples of the context `[K, B, *context_shape]`.
    Without a context the result has K = 1.

    Args:
        feature_shape: of the bottom-up features, or None where there are none.
        context_shape: of the top-down features, or None where there are none.
        target: shape of the parameters.
        hidden: widths of hidden layers.
        act: activation between them.
    """

    def __init__(
        self,
        feature_shape: Shape | None,
        context_shape: Shape | None,
        target: Shape,
        hidden: Sequence[int] = (),
        act: Activation = "relu",
    ) -> None:
        super().__init__()
        shapes = [shape for shape in (feature_shape, context_shape) if shape is not None]
        if len(target) == 3 and all(len(shape) == 3 for shape in shapes):
            # maps meet at the resolution of the target
            self.flat = False
            source: Shape = (sum(shape[0] for shape in shapes), *target[1:])
        else:
            self.flat = True
            source = (sum(numel(shape) for shape in shapes),)
        self.size = target[1:]
        self.net = connect(source, target, act, hidden)

    def forward(self, features: Tensor | None, context: Tensor | None) -> Tensor:
        parts = []
        if features is not None:
            features = features.unsqueeze(0)
            parts.append(features if context is None else features.expand(context.shape[0], *features.shape[1:]))
        if context is not None:
            parts.append(context)
        parts = [part.flatten(2) for part in parts] if self.flat else [self._resized(part) for part in parts]
        joined = parts[0] if len(parts) == 1 else torch.cat(parts, 2)
        return self.net(joined)

    def _resized(self, part: Tensor) -> Tensor:
        if part.shape[-2:] == self.size:
            return part
        return fold(lambda x: nn.functional.interpolate(x, size=self.size, mode="nearest"), part)
