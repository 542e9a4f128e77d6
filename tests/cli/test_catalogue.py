"""list, show, schema and plugins."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

from jsonschema import Draft202012Validator
from rich.console import Console
from rich.markdown import Markdown

from command_line import EXPERIMENT, Cli
from vaelab.catalogue import docstring, literal_formulas
from vaelab.registry import FAMILIES

COMPONENT = '''
"""A prior that is nowhere near zero."""

from typing import Literal

import torch

from vaelab.distributions import DiagonalNormal
from vaelab.priors import FlatPrior, LatentShape
from vaelab.registry import PRIORS, ComponentConfig


class FarConfig(ComponentConfig):
    """Arguments of the far prior."""

    kind: Literal["far"] = "far"

    dim: LatentShape = 2
    """Length of the latent vector."""

    distance: float = 3.0
    """How far from zero the mean is."""


@PRIORS.register(FarConfig)
class Far(FlatPrior[FarConfig]):
    """A normal around a point that is not zero."""

    def distribution(self) -> DiagonalNormal:
        loc = torch.full(self.shape, self.config.distance)
        return DiagonalNormal.from_log_scale(loc, torch.zeros(self.shape), len(self.shape))
'''


def test_list_names_every_component(cli: Cli) -> None:
    done = cli("list")
    assert done.code == 0
    for family, registry in FAMILIES.items():
        for entry in registry:
            assert any(line.startswith(family) and f" {entry.kind} " in line for line in done.out.splitlines()), entry
    assert "top_down" not in cli("list", "encoder").out


def test_show_names_every_key(cli: Cli) -> None:
    done = cli("show", "prior", "top_down")
    assert done.code == 0
    for word in ("top", "groups", "width", "blocks", "Sønderby", "standard_normal", "example:"):
        assert word in done.out, word


def test_formulas_are_shown_as_they_are_written() -> None:
    number = 0
    for registry in FAMILIES.values():
        for entry in registry:
            text = docstring(entry)
            screen = io.StringIO()
            Console(file=screen, width=10_000).print(Markdown(literal_formulas(text)))
            shown = " ".join(screen.getvalue().split())
            for formula in re.findall(r"\$\$.+?\$\$|\$[^$]+\$", text, re.DOTALL):
                number += 1
                assert " ".join(formula.split()) in shown, (entry.kind, formula)
    assert number > 200


def test_one_file_is_enough_for_a_component(cli: Cli, tmp_path: Path) -> None:
    package = tmp_path / "my_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "far.py").write_text(COMPONENT)
    experiment = {
        **EXPERIMENT,
        "plugins": ["my_package.far"],
        "model": {**EXPERIMENT["model"], "prior": {"kind": "far", "distance": 2.0}},
    }
    (tmp_path / "far.json").write_text(json.dumps(experiment))

    done = cli("run", "far.json")
    assert done.code == 0, done.err
    run = next(tmp_path.glob("runs/tiny/*"))
    values = json.loads((run / "evaluation.json").read_text())["values"]
    assert values["negative_elbo"]["value"] > 0
    assert json.loads((run / "config.json").read_text())["model"]["prior"] == {"kind": "far", "dim": 2, "distance": 2.0}
    done = cli("sample", str(run), "--num", "2")
    assert done.code == 0
    assert "2 pictures in" in done.out + done.err

    assert "A normal around a point that is not zero." in cli("list", "prior", "--plugin", "my_package.far").out
    assert "How far from zero the mean is." in cli("show", "prior", "far", "--plugin", "my_package.far").out
    done = cli("schema", "--plugin", "my_package.far", "--out", "schema.json")
    assert done.code == 0, done.err
    schema = json.loads((tmp_path / "schema.json").read_text())
    validator = Draft202012Validator(schema)
    assert not list(validator.iter_errors(experiment))
    broken = {**experiment, "model": {**experiment["model"], "prior": {"kind": "far", "distance": "long"}}}
    assert list(validator.iter_errors(broken))
    # without the plugin the kind is unknown
    assert cli("show", "prior", "far").code == 2


def test_the_schema_on_the_screen_is_json(cli: Cli) -> None:
    schema = json.loads(cli("schema").out)
    Draft202012Validator.check_schema(schema)
    assert not list(Draft202012Validator(schema).iter_errors(EXPERIMENT))
    assert list(Draft202012Validator(schema).iter_errors({**EXPERIMENT, "sead": 1}))
