"""Base of everything that a JSON file may say: frozen, without unknown keys, and taken as it is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

#: What a whole number may be at most; larger ones fit into no tensor and no seed.
LARGEST = 2**63 - 1

Location = tuple[int | str, ...]


class Section(BaseModel):
    """Base of every config: frozen, no unknown keys, no NaN or infinity, and no value of another type than is written.

    Pydantic would take `"3"` and `true` for the number 3 and 1, and `"yes"` for true. In a config that is a mistake, so
    it is refused. A number without a fraction may be written with a point where a whole one is due, as in `1e5`.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True, use_attribute_docstrings=True
    )

    @model_validator(mode="wrap")
    @classmethod
    def _as_written(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        made = handler(value)
        if isinstance(value, Mapping):
            mistakes: list[InitErrorDetails] = []
            for name, field in cls.model_fields.items():
                key = field.alias or name
                if key in value:
                    for location, written, what in _mistakes(value[key], getattr(made, name)):
                        error = PydanticCustomError("as_written", "{what}", {"what": what})
                        mistakes.append({"type": error, "loc": (key, *location), "input": written})
            if mistakes:
                raise ValidationError.from_exception_data(cls.__name__, mistakes)
        return made


def _mistakes(written: Any, made: Any) -> Iterator[tuple[Location, Any, str]]:
    """Where a value was taken for another, with what is to be written there."""
    if isinstance(made, tuple) and isinstance(written, list | tuple):
        for position, (before, after) in enumerate(zip(written, made, strict=False)):
            for location, *rest in _mistakes(before, after):
                yield (position, *location), *rest
    elif isinstance(made, dict) and isinstance(written, Mapping):
        for key, after in made.items():
            for location, *rest in _mistakes(written.get(key), after):
                yield (key, *location), *rest
    elif isinstance(made, bool) and not isinstance(written, bool):
        yield (), written, "should be true or false, without quotes"
    elif isinstance(made, int | float) and not isinstance(made, bool):
        if isinstance(written, bool | str):
            yield (), written, "should be a number, without quotes"
        elif isinstance(made, int) and abs(made) > LARGEST:
            yield (), written, f"should be a whole number between -{LARGEST} and {LARGEST}"


def _is_path(text: str) -> str:
    # what no file system takes would end as an error of the operating system at some place further on
    if len(text.encode("utf-8", "replace")) > 4000 or any(
        len(part.encode("utf-8", "replace")) > 255 for part in text.split("/")
    ):
        raise ValueError("should be a path: a part of it has 255 bytes at most, and the whole 4,000")
    return text


#: A path that a config names; it need not exist.
PathText = Annotated[str, AfterValidator(_is_path)]
