"""A component of one's own to begin with: module, test and page, in the user's own package."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

from vaelab.catalogue import family as find_family
from vaelab.errors import ConfigError
from vaelab.files import write_text

_TEST = '''"""Tests of the ${family} '${kind}'."""

from __future__ import annotations

import pytest
import torch

import ${package}.${kind}  # noqa: F401  registers the component
import vaelab
from vaelab.registry import ${registry}
${types}
EXPERIMENT = {
    "data": {"kind": "digits"},
    "model": {
        "encoder": {"kind": "mlp", "hidden": [16]},
        "posterior": "diagonal_normal",
        "prior": {"kind": "standard_normal", "dim": 2},
        "decoder": {"kind": "mlp", "hidden": [16]},
        "likelihood": {"kind": "normal", "sigma": "learned"},
    },
    "training": {"steps": 5, "batch_size": 32},
    "evaluation": {"metrics": ["negative_elbo"], "figures": []},
}
${where}

@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short run of a model with the component."""
    return vaelab.train(EXPERIMENT, tmp_path_factory.mktemp("runs"), device="cpu")


def test_it_trains(run):
    assert run.evaluation["values"]["negative_elbo"]["value"] is not None
    gradients = [torch.isfinite(parameter).all() for parameter in run.model.parameters()]
    assert all(gradients)


def test_its_config_has_an_example():
    config = ${registry}["${kind}"].config.example()
    assert config == type(config).model_validate(config.model_dump(mode="json"))

${test}'''

_PAGE = """# The ${family} `${kind}`

What it computes, in one sentence.

```json
{"kind": "${kind}"}
```

`python -m vaelab show ${family} ${kind}` prints its keys. When it helps, and when not:

- ...

Defined in `${package}.${kind}`.
"""

_PROJECT = """[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "${project}"
version = "0.1.0"
dependencies = ["vaelab"]

[project.entry-points."vaelab.plugins"]
${kind} = "${package}.${kind}"

[tool.setuptools]
packages = ["${package}"]

[tool.pytest.ini_options]
pythonpath = ["."]
"""


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        files: in the order in which they are to be read.
        entry_point: line for the table `project.entry-points."vaelab.plugins"` of a pyproject.toml that was there before, or
            None where a new one holds it.
    """

    files: tuple[Path, ...]
    entry_point: str | None


def templates() -> list[str]:
    """The families for which there is a component to begin with."""
    return sorted(path.name.removesuffix(".txt") for path in files("vaelab.scaffold").joinpath("templates").iterdir())


def new_component(family: str, name: str, *, package: str = "my_components", folder: Path = Path()) -> Written:
    """Write a component that works, its test and its page, to be changed.

    Args:
        family: such as `prior`.
        name: its kind, and the name of its module.
        package: the user's package, in `folder`; made where it is missing.
        folder: where the package lies; `tests/` and `docs/` stand beside it.

    Raises:
        ConfigError: there is no such family, the name is no name of a module or is taken, or a file is there already.
    """
    registry = find_family(family)
    if family not in templates():
        raise ConfigError(
            f"there is no {family} to begin with; there is one for {', '.join(templates())}. The base class of the family is in "
            f"`{registry.package}.base`."
        )
    for what, text in (("name", name), ("package", package)):
        if not re.fullmatch(r"[a-z][a-z0-9_]*", text) or keyword.iskeyword(text):
            raise ConfigError(
                f"the {what} '{text}' is no module: use small letters, digits and '_', such as my_{family}"
            )
    if name in registry:
        raise ConfigError(f"{family} kind '{name}' is taken by {registry[name].module}. Choose another name.")
    body = files("vaelab.scaffold").joinpath("templates", f"{family}.txt").read_text(encoding="utf-8")
    module, _, test = body.partition("=== test\n")
    where, _, test = test.partition("\n\n")
    words = {
        "family": family,
        "kind": name,
        "Class": "".join(part.capitalize() for part in name.split("_")),
        "package": package,
        "project": package.replace("_", "-"),
        "registry": f"{family.upper()}S",
    }
    used = [what for what in ("Batch", "StepContext") if f"{what}(" in where + test]
    words["types"] = f"from vaelab.types import {', '.join(used)}\n" if used else ""
    words |= {"where": Template(where).substitute(words) + "\n", "test": Template(test).substitute(words)}
    contents = {
        folder / package / f"{name}.py": module,
        folder / "tests" / f"test_{name}.py": _TEST,
        folder / "docs" / f"{name}.md": _PAGE,
    }
    if existing := [path for path in contents if path.exists()]:
        raise ConfigError(f"{existing[0]} exists. Choose another name, or remove it.")
    fresh = {folder / package / "__init__.py": '"""Components for vaelab."""\n', folder / "pyproject.toml": _PROJECT}
    entry_point = f'{name} = "{package}.{name}"' if (folder / "pyproject.toml").exists() else None
    contents |= {path: text for path, text in fresh.items() if not path.exists()}
    for path, text in contents.items():
        write_text(path, Template(text).substitute(words))
    return Written(tuple(contents), entry_point)
