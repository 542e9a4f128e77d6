"""The plugin registry: families of components, each with a validated config.

A family is open. A field annotated `Annotated[ComponentConfig, PRIORS]` accepts whatever is registered when the JSON
is validated, including what was registered after the model that holds the field was defined. That is why the slot is
no pydantic union: a union would be closed when the class is created, and each new component would edit it.
"""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Self, TypeVar, get_args, get_origin

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from vaelab.errors import RegistrationError
from vaelab.index import Listed, read_package, summary_of
from vaelab.section import Section

T = TypeVar("T")


def default(value: Any) -> Any:
    """The default of a slot, written as it would stand in JSON; it is validated like any value."""
    return Field(default=value)


#: Key under which a slot's JSON schema names its family until `slots.schema_of` resolves it.
FAMILY_MARK = "x-vaelab-family"


class ComponentConfig(Section):
    """Base of every component's config: frozen, no unknown keys, no NaN or infinity, nothing taken for another type.

    A subclass declares `kind: Literal["name"] = "name"` and its own arguments. `example()` returns a config that is
    small enough to build and train in a test; override it when an argument has no default.
    """

    kind: str

    @classmethod
    def example(cls) -> Self:
        """A small valid config, used by the contract tests and by the docs."""
        return cls.model_validate({})


@dataclass(frozen=True)
class Entry:
    """What is registered under one kind."""

    kind: str
    config: type[ComponentConfig]
    component: Callable[..., Any]
    module: str

    @property
    def summary(self) -> str:
        """First paragraph of the component's docstring, on one line."""
        return summary_of(self.component.__doc__)


class Registry:
    """One family of components.

    Args:
        family: singular name used in messages, such as `"prior"`.
        package: package whose modules hold the built-in components. A look-up of a kind imports the module that registers it
            and no other, so that an experiment pays for the components that it names.
        shorthand: turns a bare JSON value (a number, say) into an object with a `kind`, or returns None.
    """

    def __init__(
        self,
        family: str,
        package: str,
        shorthand: Callable[[Any], dict[str, Any] | None] | None = None,
    ) -> None:
        self.family = family
        self.package = package
        self._shorthand = shorthand
        self._entries: dict[str, Entry] = {}
        FAMILIES[family] = self

    def register(self, config: type[ComponentConfig]) -> Callable[[T], T]:
        """Class decorator that pairs a component with its config.

        Raises:
            RegistrationError: the config's `kind` is no one-valued Literal, or the kind is taken.
        """
        kind = _literal_kind(self.family, config)
        if not config.__module__.startswith(self.package + "."):
            self._find(kind)  # or a built-in component of the same kind would only be met later, or never

        def decorate(component: T) -> T:
            taken = self._entries.get(kind)
            if taken is not None:
                raise RegistrationError(
                    f"{self.family} kind '{kind}' is registered twice: by {taken.module} and by "
                    f"{config.__module__}. Give one of the two another kind."
                )
            assert callable(component)
            self._entries[kind] = Entry(kind, config, component, config.__module__)
            return component

        return decorate

    def unregister(self, kind: str) -> None:
        """Forget a kind, so that a notebook cell which registers it can be run again."""
        self._entries.pop(kind, None)
        self._built_in.pop(kind, None)

    def __getitem__(self, kind: str) -> Entry:
        entry = self._find(kind)
        if entry is None:
            raise RegistrationError(self._unknown(kind))
        return entry

    def __contains__(self, kind: str) -> bool:
        return self._find(kind) is not None

    def __iter__(self) -> Iterator[Entry]:
        return (self[listed.kind] for listed in self.listed())

    def __len__(self) -> int:
        return len(self.listed())

    def listed(self) -> list[Listed]:
        """What is registered, in the order of the alphabet, without importing it."""
        known = {entry.kind: Listed(entry.kind, entry.summary, entry.module) for entry in self._entries.values()}
        return sorted((self._built_in | known).values(), key=lambda listed: listed.kind)

    def kinds(self) -> list[str]:
        """The kinds that are registered, in the order of the alphabet."""
        return [listed.kind for listed in self.listed()]

    def build(self, config: ComponentConfig, *args: Any, **kwargs: Any) -> Any:
        """Construct the component that belongs to `config`, passing it the config and then `args`."""
        return self[config.kind].component(config, *args, **kwargs)

    @cached_property
    def _built_in(self) -> dict[str, Listed]:
        return read_package(self.package)

    def _find(self, kind: str) -> Entry | None:
        if kind not in self._entries and kind.isidentifier():
            # most modules are named like their kind, and to look for one is faster than to read the sources of them all
            name = f"{self.package}.{kind}"
            if importlib.util.find_spec(name) is not None:
                importlib.import_module(name)
        if kind not in self._entries and kind in self._built_in:
            importlib.import_module(self._built_in[kind].module)
        return self._entries.get(kind)

    def _unknown(self, kind: str) -> str:
        kinds = self.kinds()
        near = difflib.get_close_matches(kind, kinds, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        return f"unknown {self.family} kind '{kind}'.{hint} Known kinds: {', '.join(kinds)}."

    def _validate(self, value: Any) -> ComponentConfig:
        if isinstance(value, ComponentConfig):
            entry = self._find(value.kind)
            if entry is None or not isinstance(value, entry.config):
                raise PydanticCustomError(
                    "wrong_family",
                    "{config} is not registered as a {family}",
                    {"config": type(value).__name__, "family": self.family},
                )
            return value
        if self._shorthand is not None:
            value = self._shorthand(value) or value
        if isinstance(value, str):
            value = {"kind": value}
        if not isinstance(value, dict):
            raise PydanticCustomError(
                "component_type",
                "a {family} must be an object with a 'kind', or the name of a kind, not {type}",
                {"family": self.family, "type": type(value).__name__},
            )
        if "kind" not in value:
            raise PydanticCustomError(
                "kind_missing",
                "'kind' is missing: say which {family} this is. Known kinds: {known}.",
                {"family": self.family, "known": ", ".join(self.kinds())},
            )
        kind = value["kind"]
        entry = self._find(kind) if isinstance(kind, str) else None
        if entry is None:
            # the message goes in as a parameter: braces in a user's kind must not be read as a template
            raise PydanticCustomError("kind_unknown", "{message}", {"message": self._unknown(str(kind))})
        return entry.config.model_validate(value)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def serialise(value: ComponentConfig, info: core_schema.SerializationInfo) -> Any:
            return value.model_dump(mode=info.mode)

        return core_schema.no_info_plain_validator_function(
            self._validate,
            serialization=core_schema.plain_serializer_function_ser_schema(serialise, info_arg=True),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        # A family may hold a component with a slot of the same family (a hierarchy's top prior), so the schema of
        # the slot is a reference that slots.schema_of resolves once for all, not an inlined oneOf.
        return {FAMILY_MARK: self.family}


def _literal_kind(family: str, config: type[ComponentConfig]) -> str:
    field = config.model_fields.get("kind")
    values = get_args(field.annotation) if field and get_origin(field.annotation) is Literal else ()
    if len(values) != 1 or not isinstance(values[0], str):
        raise RegistrationError(
            f"{config.__module__}.{config.__name__} cannot be registered as a {family}: its 'kind' must be a "
            f'one-valued Literal, such as  kind: Literal["my_{family}"] = "my_{family}".'
        )
    return values[0]


def _constant(value: Any) -> dict[str, Any] | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {"kind": "constant", "value": value}
    return None


#: Every family by name; filled by the constructors below.
FAMILIES: dict[str, Registry] = {}

ENCODERS = Registry("encoder", "vaelab.encoders")
POSTERIORS = Registry("posterior", "vaelab.posteriors")
PRIORS = Registry("prior", "vaelab.priors")
DECODERS = Registry("decoder", "vaelab.decoders")
LIKELIHOODS = Registry("likelihood", "vaelab.likelihoods")
DIVERGENCES = Registry("divergence", "vaelab.divergences")
OBJECTIVES = Registry("objective", "vaelab.objectives")
DATASETS = Registry("dataset", "vaelab.datasets")
SCHEDULES = Registry("schedule", "vaelab.schedules", shorthand=_constant)
OPTIMISERS = Registry("optimiser", "vaelab.optimisers")
METRICS = Registry("metric", "vaelab.metrics")
FIGURES = Registry("figure", "vaelab.figures")
SAMPLERS = Registry("sampler", "vaelab.samplers")
EXTRACTORS = Registry("extractor", "vaelab.extractors")
TRACKERS = Registry("tracker", "vaelab.trackers")
