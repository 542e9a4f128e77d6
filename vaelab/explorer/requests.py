"""What the page may ask for: every field typed strictly and bounded, unknown fields refused."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

#: Pictures of one answer.
MOST_ITEMS = 64
#: Numbers of a datum that is drawn by hand.
MOST_VALUES = 2**16
#: Units that a request moves.
MOST_MOVES = 512

_Whole = Annotated[int, Field(ge=0, lt=2**31)]
_Number = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
_Temperature = Annotated[float, Field(ge=0.01, le=10.0, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=1, le=MOST_ITEMS)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class Datum(_Strict):
    """A datum of the test split."""

    kind: Literal["datum"]
    index: _Whole


class Noise(_Strict):
    """A draw from the prior."""

    kind: Literal["prior"]
    temperature: _Temperature = 1.0


class Drawn(_Strict):
    """A datum made by hand: grey levels in [0, 1] of a picture, or the numbers of a vector."""

    kind: Literal["drawn"]
    values: Annotated[list[_Number], Field(min_length=1, max_length=MOST_VALUES)]


class Move(_Strict):
    """One unit of a group, and what it is set to: a number, 0 or 1, or the number of a class or code."""

    group: _Whole
    unit: _Whole
    value: _Number


class DescribeRequest(_Strict):
    """What the runs are."""


class _OfRun(_Strict):
    run: Annotated[int, Field(ge=0, le=1)] = 0


class GroupRequest(_OfRun):
    """The units of a latent group."""

    group: _Whole


class DataRequest(_OfRun):
    """Some test data, chosen at random, or one of them."""

    seed: _Whole = 0
    number: _Count = 24
    label: _Whole | None = None
    index: _Whole | None = None


class _Conditioned(_OfRun):
    seed: _Whole = 0
    condition: _Whole | None = None
    """A label in place of the datum's own, or of one that is drawn."""


class LatentsRequest(_Conditioned):
    """One datum from latents that are moved."""

    base: Annotated[Datum | Noise, Field(discriminator="kind")]
    group: _Whole = 0
    """The group whose state is told."""

    moves: Annotated[list[Move], Field(max_length=MOST_MOVES)] = []
    follow: bool = False
    """Whether the groups after `group` are drawn anew from the prior, with the noise of the seed."""


class WalkRequest(_Conditioned):
    """Data on the way from one datum to another."""

    start: Datum
    end: Datum
    places: Annotated[
        list[Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]], Field(min_length=1, max_length=33)
    ]
    path: Literal["straight", "spherical"] = "straight"
    group: _Whole | None = None
    """The one group that goes, while the others stay at the start; all where None."""


class EncodeRequest(_Conditioned):
    """The code of a datum, its reconstruction, and the bound."""

    source: Annotated[Datum | Drawn, Field(discriminator="kind")]


class SampleRequest(_Conditioned):
    """New data."""

    number: _Count = 16
    temperature: _Temperature = 1.0
    keep: _Whole = 0
    """So many groups stay as `base` has them, the first ones; the rest is drawn."""

    base: Annotated[Datum | Noise, Field(discriminator="kind")] = Noise(kind="prior")
    draw: bool = False
    """Whether x is drawn from p(x | z), in place of its mean."""
