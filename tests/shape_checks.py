"""Enforces the shapes that signatures of vaelab state, while the tests run."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, get_args

from beartype import beartype
from jaxtyping import AbstractArray, jaxtyped

F = TypeVar("F", bound=Callable[..., Any])


def states_a_shape(hint: Any) -> bool:
    """Whether a resolved annotation holds a jaxtyping array."""
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        return True
    return any(states_a_shape(part) for part in get_args(hint))


def checked(function: F) -> F:
    """beartype on the annotations that state a shape, and on no other.

    The others stay with mypy: beartype refuses `typing.Self` outside a decorated class and protocols that are not
    checkable at run time, and names imported under TYPE_CHECKING do not exist here.
    """
    function.__annotations__ = {
        name: hint if states_a_shape(hint) else Any for name, hint in function.__annotations__.items()
    }
    return beartype(function)


def enforce_inherited(base: type) -> None:
    """Check overriding methods of all subclasses by the shapes that the base's method states.

    An annotation on an abstract method is a promise about its overrides, and those are never called through it.
    """
    for name, method in list(vars(base).items()):
        if not inspect.isfunction(method):
            continue
        hints = _resolved(inspect.unwrap(method))
        if any(states_a_shape(hint) for hint in hints.values()):
            for sub in _subclasses(base):
                if inspect.isfunction(vars(sub).get(name)) and not hasattr(vars(sub)[name], "inherits_shapes"):
                    setattr(sub, name, _with_hints(vars(sub)[name], list(hints.values())))


def _with_hints(function: Callable[..., Any], hints: list[Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    # by position, because an override may name its arguments differently
    signature = inspect.signature(function)
    parameters = [
        parameter.replace(annotation=hint)
        for parameter, hint in zip(signature.parameters.values(), hints[:-1], strict=True)
    ]
    call.__signature__ = signature.replace(parameters=parameters, return_annotation=hints[-1])
    result = jaxtyped(call, typechecker=checked)
    result.inherits_shapes = True
    return result


def _resolved(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotation of each parameter and, last, of the result; Any where it cannot be resolved."""

    def resolve(hint: Any) -> Any:
        if hint is inspect.Parameter.empty:
            return Any
        try:
            return eval(hint, function.__globals__) if isinstance(hint, str) else hint
        except NameError:
            return Any

    signature = inspect.signature(function)
    hints = {name: resolve(parameter.annotation) for name, parameter in signature.parameters.items()}
    return {**hints, "return": resolve(signature.return_annotation)}


def _subclasses(base: type) -> Iterator[type]:
    for sub in base.__subclasses__():
        yield sub
        yield from _subclasses(sub)
