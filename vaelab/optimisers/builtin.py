"""torch's optimisers by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Literal, Self, TypeVar

import torch
from pydantic import Field, model_validator
from torch import nn

from vaelab.optimisers.base import AdamArguments, Optimiser, OptimiserConfig
from vaelab.optimisers.eager import eager
from vaelab.optimisers.fused import FusedStep
from vaelab.registry import OPTIMISERS

C = TypeVar("C", bound=OptimiserConfig)


class _Fused(Optimiser[C]):
    """An optimiser with a fused kernel of the Adam family."""

    kernel: ClassVar[Callable[..., Any]]

    def __init__(self, config: C, parameters: Iterable[nn.Parameter]) -> None:
        super().__init__(config, parameters)
        self.take = FusedStep(self.torch, type(self).kernel)


class AdamConfig(AdamArguments):
    """Arguments of Adam."""

    kind: Literal["adam"] = "adam"

    amsgrad: bool = False
    """Use the AMSGrad variant."""


@OPTIMISERS.register(AdamConfig)
class Adam(_Fused[AdamConfig]):
    r"""Adam (Kingma & Ba 2015), torch's fused kernel.

    $m \leftarrow \beta_1 m + (1 - \beta_1) g$, $v \leftarrow \beta_2 v + (1 - \beta_2) g^2$ and $\theta \leftarrow
    \theta - \eta\,\hat m / (\sqrt{\hat v} + \epsilon)$, where $\hat m = m / (1 - \beta_1^t)$ and $\hat v = v / (1 -
    \beta_2^t)$.

    *Cost*: two numbers of memory for each parameter.

    Use it as the first choice, at a learning rate near 0.001.
    """

    kernel = staticmethod(torch._fused_adam_)

    def create(self, parameters: list[nn.Parameter], common: dict[str, Any]) -> torch.optim.Optimizer:
        return eager(torch.optim.Adam)(
            parameters, **common, **self.config.adam(), amsgrad=self.config.amsgrad, fused=True
        )


class AdamWConfig(AdamArguments):
    """Arguments of AdamW."""

    kind: Literal["adamw"] = "adamw"

    weight_decay: float = Field(0.01, ge=0)
    """Decoupled weight decay."""


@OPTIMISERS.register(AdamWConfig)
class AdamW(_Fused[AdamWConfig]):
    r"""Adam with decoupled weight decay (Loshchilov & Hutter 2019), torch's fused kernel.

    As `adam`, after $\theta \leftarrow (1 - \eta\lambda)\,\theta$ with the weight decay $\lambda$.

    *Cost*: two numbers of memory for each parameter.

    Use it where weights should be kept small, as with transformers and small data sets; without weight decay it is
    `adam`.
    """

    kernel = staticmethod(torch._fused_adamw_)

    def create(self, parameters: list[nn.Parameter], common: dict[str, Any]) -> torch.optim.Optimizer:
        return eager(torch.optim.AdamW)(parameters, **common, **self.config.adam(), fused=True)


class AdamaxConfig(AdamArguments):
    """Arguments of Adamax."""

    kind: Literal["adamax"] = "adamax"


@OPTIMISERS.register(AdamaxConfig)
class Adamax(Optimiser[AdamaxConfig]):
    r"""Adam with the infinity norm (Kingma & Ba 2015, section 7.1), usual for deep hierarchies.

    As `adam` with $u \leftarrow \max(\beta_2 u, \lvert g \rvert)$ in place of $\sqrt{\hat v}$.

    *Cost*: two numbers of memory for each parameter.

    Use it for deep hierarchies, whose gradients have rare large values; for shallow models it is only slower than
    `adam`.
    """

    def create(self, parameters: list[nn.Parameter], common: dict[str, Any]) -> torch.optim.Optimizer:
        return eager(torch.optim.Adamax)(parameters, **common, **self.config.adam(), foreach=True)


class RAdamConfig(AdamArguments):
    """Arguments of RAdam."""

    kind: Literal["radam"] = "radam"


@OPTIMISERS.register(RAdamConfig)
class RAdam(Optimiser[RAdamConfig]):
    r"""Rectified Adam (Liu et al. 2020).

    As `adam`, with the step multiplied by $\sqrt{\frac{(\rho_t - 4)(\rho_t - 2)\rho_\infty}{(\rho_\infty -
    4)(\rho_\infty - 2)\rho_t}}$, where $\rho_\infty = \frac{2}{1 - \beta_2} - 1$ and $\rho_t = \rho_\infty -
    \frac{2 t \beta_2^t}{1 - \beta_2^t}$; while $\rho_t$ is at most 5, it steps along $\hat m$ alone.

    *Cost*: two numbers of memory for each parameter.

    Use it where the first steps of `adam` are unstable and no warm-up is wanted.
    """

    def create(self, parameters: list[nn.Parameter], common: dict[str, Any]) -> torch.optim.Optimizer:
        return eager(torch.optim.RAdam)(parameters, **common, **self.config.adam(), foreach=True)


class RMSpropConfig(OptimiserConfig):
    """Arguments of RMSprop."""

    kind: Literal["rmsprop"] = "rmsprop"

    alpha: float = Field(0.99, ge=0, lt=1)
    """Decay of the running mean of the squared gradient."""

    eps: float = Field(1e-8, gt=0)
    """Added to the denominator."""

    momentum: float = Field(0.0, ge=0)
    """Momentum."""


@OPTIMISERS.register(RMSpropConfig)
class RMSprop(Optimiser[RMSpropConfig]):
    r"""RMSprop (Tieleman & Hinton 2012).

    $v \leftarrow \alpha v + (1 - \alpha) g^2$ and $\theta \leftarrow \theta - \eta\,g / (\sqrt v + \epsilon)$.

    *Cost*: one number of memory for each parameter, two with momentum.

    Use it to reproduce older results; `adam` adds the momentum that it lacks.
    """

    def create(self, parameters: list[nn.Parameter], common: dict[str, Any]) -> torch.optim.Optimizer:
        c = self.config
        return eager(torch.optim.RMSprop)(
            parameters, **common, alpha=c.alpha, eps=c.eps, momentum=c.momentum, foreach=True
        )


class SGDConfig(OptimiserConfig):
    """Arguments of stochastic gradient descent."""

    kind: Literal["sgd"] = "sgd"

    momentum: float = Field(0.0, ge=0)
    """Momentum."""

    nesterov: bool = False
    """Nesterov's momentum; needs a momentum above 0."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.nesterov and not self.momentum:
            raise ValueError("'nesterov' needs a 'momentum' above 0; give one, or set 'nesterov' to false")
        return self


@OPTIMISERS.register(SGDConfig)
class SGD(Optimiser[SGDConfig]):
    r"""Stochastic gradient descent, with momentum.

    $b \leftarrow \mu b + g$ and $\theta \leftarrow \theta - \eta b$, with the momentum $\mu$ (Polyak 1964), or the
    gradient of Nesterov (1983), $g + \mu b$, in place of b.

    *Cost*: none; with momentum one number of memory for each parameter.

    Use it for experiments on optimisation itself; VAEs mix gradients of very different scale, which one rate does not
    suit.
    """

    def create(self, parameters: list[nn.Parameter], common: dict[str, Any]) -> torch.optim.Optimizer:
        c = self.config
        return eager(torch.optim.SGD)(parameters, **common, momentum=c.momentum, nesterov=c.nesterov, fused=True)
