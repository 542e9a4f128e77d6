"""Student's t likelihood."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor, nn

from vaelab.distributions import StudentT
from vaelab.likelihoods.base import Likelihood
from vaelab.registry import LIKELIHOODS, ComponentConfig
from vaelab.types import BuildContext


class StudentTConfig(ComponentConfig):
    """Arguments of Student's t likelihood."""

    kind: Literal["student_t"] = "student_t"

    df: float = Field(3.0, gt=1)
    """Degrees of freedom, above 1 so that the mean exists. The fewer, the less an outlier costs."""

    learn_df: bool = False
    """Learn the degrees of freedom, one number, from there."""

    sigma: Literal["fixed", "learned", "per_pixel"] = "learned"
    """The scale: `scale` as given; one number, learned; or one a pixel, from the decoder."""

    scale: PositiveFloat = 1.0
    """The fixed scale, or where the others start."""

    @classmethod
    def example(cls) -> StudentTConfig:
        return cls.model_validate({"learn_df": True})


@LIKELIHOODS.register(StudentTConfig)
class StudentTLikelihood(Likelihood[StudentTConfig]):
    r"""Independent pixels of Student's t distribution with location $\mu(z)$, for data with outliers.

    The variational autoencoder with this likelihood is that of Takahashi et al. (2018), who predict the scale and the
    degrees of freedom from z; here the degrees of freedom are one number, fixed or learned as $1 + e^\eta$.

    *Cost*: one parameter a number.

    Use it for real data with outliers, which it lets go where `normal` would widen for them; with learned degrees of
    freedom clean data bring it back to the normal.
    """

    def __init__(self, config: StudentTConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        if config.sigma == "per_pixel":
            self.parameter_shape = self.widened(2)
        self.log_scale = self._number("log_scale", math.log(config.scale), config.sigma == "learned")
        self.log_excess = self._number("log_excess", math.log(config.df - 1), config.learn_df)

    def _number(self, name: str, value: float, learned: bool) -> Tensor:
        tensor = torch.tensor(value)
        if learned:
            return nn.Parameter(tensor)
        self.register_buffer(name, tensor)
        return tensor

    def forward(self, parameters: Tensor) -> StudentT:
        loc, log_scale = parameters, self.log_scale
        if self.config.sigma == "per_pixel":
            loc, raw = self.parts(parameters, 2)
            log_scale = log_scale + raw
        df = 1 + self.log_excess.exp()
        return StudentT(loc, log_scale.expand_as(loc), df.expand_as(loc), event_ndim=self.event_ndim)
