"""The functions of a model that are exported: encoder, decoder and sampler, from tensors to named tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vaelab.distributions import AutoregressiveCodes, AutoregressivePixels, Distribution
from vaelab.errors import BuildError
from vaelab.export.noise import Counter, Given, Noise
from vaelab.inference import infer_latents
from vaelab.model import VAE
from vaelab.types import Batch, Shape

#: Name, shape without the batch and kind of an input.
Input = tuple[str, Shape, str]


class Part(nn.Module):
    """One function of a model. All inputs and outputs have the batch as their first axis.

    Attributes:
        inputs: name, shape of a datum and what the numbers are (`real`, `unit`, `bits`, `normal`, `uniform`).
    """

    inputs: tuple[Input, ...]

    def __init__(self, model: VAE) -> None:
        super().__init__()
        self.model = model

    def forward(self, *tensors: Tensor) -> dict[str, Tensor]:
        """Named outputs, each `[N, ...]`."""
        raise NotImplementedError

    def example(self, number: int) -> tuple[Tensor, ...]:
        """Made-up inputs."""
        return tuple(_example(number, shape, kind) for _, shape, kind in self.inputs)

    def _given(self, tensors: tuple[Tensor, ...]) -> dict[str, Tensor]:
        return {name: tensor for (name, _, _), tensor in zip(self.inputs, tensors, strict=True)}

    def _condition(self) -> list[Input]:
        shape = self.model.data.condition_shape
        return [] if shape is None else [("condition", shape, "unit")]


class EncoderPart(Part):
    """x to the posterior: `z0`, `z1`, ... are its centres, each given those before it, and `z0_loc` and so on its parameters."""

    def __init__(self, model: VAE) -> None:
        super().__init__(model)
        data = model.data
        kind = {"binary": "bits", "unit": "unit", "real": "real"}[data.values]
        observed: list[Input] = [("observed", data.shape, "mask")] if data.masked else []
        self.inputs = (("x", data.shape, kind), *observed, *self._condition())

    def forward(self, *tensors: Tensor) -> dict[str, Tensor]:
        given = self._given(tensors)
        batch = Batch(given["x"], observed=given.get("observed"), condition=given.get("condition"))
        groups, _ = infer_latents(self.model, batch, mean=True)
        outputs: dict[str, Tensor] = {}
        for i, group in enumerate(groups):
            outputs[f"z{i}"] = group.z[0]
            assert group.q is not None
            outputs |= _parameters(group.q, f"z{i}_")
        return outputs


class DecoderPart(Part):
    """Latents to p(x | z): `mean` is E[x | z], and `x_logits` and so on are the parameters."""

    def __init__(self, model: VAE) -> None:
        super().__init__(model)
        latents: list[Input] = [
            (f"z{i}", group.shape, group.support) for i, group in enumerate(model.prior.latent.groups)
        ]
        self.inputs = (*latents, *self._condition())

    def forward(self, *tensors: Tensor) -> dict[str, Tensor]:
        given = self._given(tensors)
        fixed = {i: given[f"z{i}"] for i in range(self.model.depth)}
        found = self.model.generate(tensors[0].shape[0], fixed=fixed, condition=given.get("condition"))
        _refuse_loops(found.likelihood)
        return {"mean": found.mean, **_parameters(found.likelihood, "x_")}

    def example(self, number: int) -> tuple[Tensor, ...]:
        # points of the latent space, whatever that is
        condition = (
            None if self.model.data.condition_shape is None else torch.rand(number, *self.model.data.condition_shape)
        )
        zs = self.model.generate(number, condition=condition).zs
        return (*(z.contiguous() for z in zs), *([] if condition is None else [condition]))


class SamplerPart(Part):
    """Noise to new data: `mean` is E[x | z], `x` a draw from p(x | z), `z0`, `z1`, ... the latents."""

    def __init__(self, model: VAE) -> None:
        super().__init__(model)
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            shape = model.data.condition_shape
            condition = None if shape is None else torch.rand(3, *shape)
            _refuse_loops(model.prior.group(0, model.prior.initial((1, 3), condition)))
            with Noise(counter := Counter(3)):
                self._generate(3, condition)
        self.draws = counter.draws
        noise: list[Input] = [(k, (counter.total(k),), k) for k in ("normal", "uniform") if counter.total(k)]
        if not noise:
            raise BuildError("it draws nothing")
        self.inputs = (*noise, *self._condition())

    def _generate(self, number: Any, condition: Tensor | None = None) -> dict[str, Tensor]:
        found = self.model.generate(number, condition=condition)
        _refuse_loops(found.likelihood)
        return {"mean": found.mean, "x": found.sample(), **{f"z{i}": z for i, z in enumerate(found.zs)}}

    def forward(self, *tensors: Tensor) -> dict[str, Tensor]:
        given = self._given(tensors)
        noise = {kind: tensor for kind, tensor in given.items() if kind != "condition"}
        with Noise(Given(noise, self.draws)):
            return self._generate(tensors[0].shape[0], given.get("condition"))


def _refuse_loops(distribution: Distribution) -> None:
    """A graph would hold one pass of the network for each pixel or code."""
    if isinstance(distribution, AutoregressivePixels | AutoregressiveCodes):
        raise BuildError(
            f"{type(distribution).__name__} draws one number after another, each from a pass of its network; a graph would hold "
            "all passes"
        )


def _parameters(distribution: Distribution, prefix: str) -> dict[str, Tensor]:
    """The tensors `[1, N, ...]` that a distribution keeps, under their names there, as `[N, ...]`."""
    batch = distribution.batch_shape
    found: Mapping[str, Any] = vars(distribution)
    return {
        f"{prefix}{name}": value[0]
        for name, value in found.items()
        if not name.startswith("_") and isinstance(value, Tensor) and value.ndim >= 2 and value.shape[:2] == batch
    }


def _example(number: int, shape: Shape, kind: str) -> Tensor:
    if kind in ("normal", "real"):
        return torch.randn(number, *shape)
    x = torch.rand(number, *shape)
    if kind == "mask":
        return x < 0.5
    return x.round() if kind == "bits" else x


PARTS: dict[str, type[Part]] = {"encoder": EncoderPart, "decoder": DecoderPart, "sampler": SamplerPart}
