"""Networks that are looked through and never trained."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from vaelab.errors import BuildError


def freeze(module: nn.Module) -> nn.Module:
    """Turn every parameter into a buffer, so that it is saved with the weights and no optimiser finds it."""
    for part in module.modules():
        for name, parameter in list(part.named_parameters(recurse=False)):
            delattr(part, name)
            part.register_buffer(name, parameter.detach())
    return module


class FrozenFeatures(nn.Module):
    """Outputs of some layers of a frozen stack, `[N, C, H, W]` to one tensor a layer.

    Args:
        layers: the stack.
        taken: positions of the layers whose outputs are features; those after the last are left out.
    """

    def __init__(self, layers: nn.Sequential, taken: tuple[int, ...]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers[: max(taken) + 1])
        self.taken = frozenset(taken)
        freeze(self.layers)

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        for position, layer in enumerate(self.layers):
            x = layer(x)
            if position in self.taken:
                features.append(x)
        return features


def random_network(channels: int, seed: int) -> FrozenFeatures:
    """Three random convolutions with ReLUs (He et al. 2015), the second and third of stride 2; features after each."""
    widths = (channels, 16, 32, 64)
    layers: list[nn.Module] = []
    generator = torch.Generator().manual_seed(seed)
    for i in range(3):
        conv = nn.utils.skip_init(nn.Conv2d, widths[i], widths[i + 1], 3, stride=1 if i == 0 else 2, padding=1)
        # of its own seed, whatever the model's: two runs that differ in their seeds are measured alike
        std = (2 / (9 * widths[i])) ** 0.5
        conv.weight.data = std * torch.randn(conv.weight.shape, generator=generator)
        conv.bias.data = torch.zeros_like(conv.bias)
        layers += [conv, nn.ReLU()]
    return FrozenFeatures(nn.Sequential(*layers), (1, 3, 5))


def torchvision_network(name: str, weights: Path, taken: tuple[int, ...]) -> FrozenFeatures:
    """The convolutional part of one of torchvision's VGG networks with weights from a local file.

    Raises:
        BuildError: the file is missing, or is not this network's.
    """
    import torchvision

    model = getattr(torchvision.models, name)(weights=None)
    try:
        model.load_state_dict(load_file(weights))
    except (OSError, SafetensorError, RuntimeError) as error:
        # torch's own files are pickles, which may run code
        raise BuildError(
            f"the weights of {name} cannot be read from {weights}: {error}. Give a .safetensors file of its state dictionary, such "
            "as safetensors.torch.save_file writes."
        ) from error
    if max(taken) >= len(model.features):
        raise BuildError(
            f'{name} has {len(model.features)} layers, and layer {max(taken)} is asked for. Lower "layers" of the likelihood.'
        )
    for layer in model.features:
        if isinstance(layer, nn.ReLU):
            layer.inplace = False  # it would overwrite the feature before it
    return FrozenFeatures(model.features, taken)
