"""The layers of an encoder or a decoder with the shapes between them, read off the real modules in one pass."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

import torch
from torch import nn

from vaelab.build import build_model
from vaelab.config import ModelConfig
from vaelab.errors import BuildError
from vaelab.registry import Entry
from vaelab.types import Batch, DataSpec, Shape, numel

#: Data, priors and partners for which a component is shown: the first that it can be built for.
_DATA = (
    DataSpec((1, 28, 28), "binary", num_classes=10),
    DataSpec((1, 28, 28), "binary", num_classes=10, condition_shape=(10,)),
    DataSpec((8,), "real"),
)
#: Kinds that are made for other pictures.
_PICTURES = {"burgess": DataSpec((1, 64, 64), "binary")}
_PRIORS: tuple[dict[str, Any], ...] = (
    {"kind": "standard_normal", "dim": 20},
    {"kind": "markov_chain", "steps": 28, "dim": 10},
    {"kind": "top_down", "top": {"kind": "standard_normal", "dim": 20}, "groups": [[8, 7, 7], [4, 14, 14]]},
)
#: Kinds that are made for a certain prior.
_PRIOR_OF = {"pyramid": _PRIORS[2:]}
_PARTNERS = {"encoder": ("mlp", "pyramid", "gru"), "decoder": ("mlp", "conv", "per_step")}
#: Arguments where the defaults do nothing.
_ARGUMENTS = {"tabular": {"categorical": [[5, 3], [7, 4]]}}
_WIDTH, _ROW, _LEFT, _RIGHT = 420, 19, 150, 150


@dataclass(frozen=True)
class Layer:
    """One layer: what it is, the shape of its output without batch and samples, and the number of its parameters."""

    name: str
    shape: Shape
    parameters: int


@cache
def diagram(family: str, entry: Entry) -> str | None:
    """The layers as SVG with a sentence below; None where nothing was found that the component can be built for."""
    found = _layers(family, entry)
    if found is None:
        return None
    spec, prior, layers = found
    first = Layer("x" if family == "encoder" else "code", layers[0].shape, 0)
    rows = [(1, first), *_repeated(layers[1:])]
    largest = math.log2(max(numel(layer.shape) for layer in layers) + 1)
    lines = []
    for i, (times, layer) in enumerate(rows):
        top = _ROW * i + 4
        width = (_WIDTH - _LEFT - _RIGHT) * math.log2(numel(layer.shape) + 1) / largest
        left = _LEFT + (_WIDTH - _LEFT - _RIGHT - width) / 2
        shape = " × ".join(map(str, layer.shape))
        parameters = f", {layer.parameters:,}" if layer.parameters else ""
        name = f"{times} × {layer.name}" if times > 1 else layer.name
        lines.append(
            f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{_ROW - 6}"/>'
            f'<text x="{_LEFT - 8}" y="{top + 10}" text-anchor="end">{html.escape(name)}</text>'
            f'<text x="{_WIDTH - _RIGHT + 8}" y="{top + 10}">{shape}{parameters}</text>'
        )
    height = _ROW * len(rows) + 4
    label = f"Layers of the {family} {entry.kind}: " + ", ".join(f"{layer.name} {layer.shape}" for _, layer in rows)
    picture = (
        f'<svg class="layers" viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{html.escape(label, quote=True)}">'
        + "".join(lines)
        + "</svg>"
    )
    total = sum(times * layer.parameters for times, layer in rows)
    data = " × ".join(map(str, spec.shape))
    return (
        f"{picture}\n\nWith its defaults, for data of {data} and the prior `{prior}`: each layer with the shape of its output and its "
        f"parameters, {total:,} in all. A bar is as long as the logarithm of the numbers that it stands for."
    )


def _layers(family: str, entry: Entry) -> tuple[DataSpec, str, list[Layer]] | None:
    other = "decoder" if family == "encoder" else "encoder"
    own = {"kind": entry.kind, **_ARGUMENTS.get(entry.kind, {})}
    data = (_PICTURES[entry.kind],) if entry.kind in _PICTURES else _DATA[2:] if entry.kind in _ARGUMENTS else _DATA
    for spec, prior, partner in product(data, _PRIOR_OF.get(entry.kind, _PRIORS), _PARTNERS[other]):
        content = {
            family: own,
            other: partner,
            "prior": prior,
            "posterior": "diagonal_normal",
            "likelihood": "bernoulli" if spec.values == "binary" else "normal",
        }
        torch.manual_seed(0)
        try:
            model = build_model(ModelConfig.model_validate(content), spec)
        except (BuildError, ValueError):
            continue
        return spec, prior["kind"], _passed(model, getattr(model, family), spec, family)
    return None


@torch.no_grad()
def _passed(model: Any, module: nn.Module, spec: DataSpec, family: str) -> list[Layer]:
    """The layers in the order in which a pass of two data meets them."""
    found: list[Layer] = []

    def note(layer: nn.Module, _: Any, output: Any) -> None:
        tensor = output[0] if isinstance(output, tuple) else output
        # batch alone, samples and batch, or both folded into one
        lead = 2 if tensor.ndim > 2 and tensor.shape[:2] == (1, 2) else 1
        parameters = sum(p.numel() for p in layer.parameters())
        found.append(Layer(_name(layer), tuple(tensor.shape[lead:]), parameters))

    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.GRU, nn.Embedding, nn.MultiheadAttention)
    hooks = [part.register_forward_hook(note) for part in module.modules() if isinstance(part, kinds)]
    model.eval()
    condition = None if spec.condition_shape is None else torch.eye(spec.condition_shape[0])[:2]
    trace = model.infer(Batch(torch.zeros(2, *spec.shape), condition=condition))
    trace.log_px.sum()
    for hook in hooks:
        hook.remove()
    start = spec.shape if family == "encoder" else model.prior.readout_shape
    return [Layer("", start, 0), *found]


def _name(layer: nn.Module) -> str:
    if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d):
        kernel = "×".join(map(str, layer.kernel_size))
        stride = f", stride {layer.stride[0]}" if layer.stride[0] > 1 else ""
        up = "transposed " if isinstance(layer, nn.ConvTranspose2d) else ""
        return f"{up}convolution {kernel}{stride}"
    names = {nn.Linear: "linear", nn.Embedding: "embedding", nn.GRU: "GRU", nn.MultiheadAttention: "attention"}
    return next(name for kind, name in names.items() if isinstance(layer, kind))


def _repeated(layers: list[Layer]) -> list[tuple[int, Layer]]:
    """Runs of the same layer, or of the same few layers, as (how often, layer)."""
    rows: list[tuple[int, Layer]] = []
    i = 0
    while i < len(layers):
        best = (1, 1)  # length of what is repeated, how often
        for length in range(1, 7):
            times = 1
            while layers[i : i + length] == layers[i + times * length : i + (times + 1) * length]:
                times += 1
            if times > 1 and times * length > best[0] * best[1]:
                best = (length, times)
        length, times = best
        rows += [(times, layer) for layer in layers[i : i + length]]
        i += length * times
    return rows
