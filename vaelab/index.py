"""What a package registers, read from its sources without importing them.

To list the components, to complete a kind on the command line and to tell a mistyped kind from a known one takes names and
first sentences only; importing every component, and torch with them, takes seconds.
"""

from __future__ import annotations

import ast
import importlib.util
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.abc import InspectLoader


@dataclass(frozen=True)
class Listed:
    """A component as a list shows it."""

    kind: str
    summary: str
    module: str


def summary_of(docstring: str | None) -> str:
    """First paragraph of a docstring, on one line."""
    return " ".join((docstring or "").strip().split("\n\n")[0].split())


def read_package(name: str) -> dict[str, Listed]:
    """The components that the modules of a package register, by kind.

    Read is what is written as every component here is: a class under `@FAMILY.register(Config)`, with
    `kind: Literal["name"]` in a `Config` of the same module.
    """
    found: dict[str, Listed] = {}
    package = importlib.util.find_spec(name)
    for module in pkgutil.iter_modules(package.submodule_search_locations if package else (), f"{name}."):
        spec = module.module_finder.find_spec(module.name, None)
        loader = spec.loader if spec else None
        source = loader.get_source(module.name) if isinstance(loader, InspectLoader) else None
        if source is not None and ".register(" in source:
            found |= {listed.kind: listed for listed in _registered(ast.parse(source), module.name)}
    return found


def _registered(tree: ast.Module, module: str) -> Iterator[Listed]:
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    for component in classes.values():
        for mark in component.decorator_list:
            match mark:
                case ast.Call(func=ast.Attribute(attr="register"), args=[ast.Name(id=config)]) if config in classes:
                    kind = _kind(classes[config])
                    if kind is not None:
                        yield Listed(kind, summary_of(ast.get_docstring(component)), module)


def _kind(config: ast.ClassDef) -> str | None:
    for node in config.body:
        match node:
            case ast.AnnAssign(target=ast.Name(id="kind"), value=ast.Constant(value=str(kind))):
                return kind
    return None
