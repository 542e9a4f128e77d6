"""Third-party components: one file adds one, and a file that fails is named."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
import torch

from core.experiments import content
from core.models import bits
from vaelab.build import build
from vaelab.config import experiment_schema, parse_experiment
from vaelab.errors import ConfigError, RegistrationError
from vaelab.registry import DIVERGENCES, FAMILIES, PRIORS
from vaelab.types import DataSpec, StepContext

PENALTY = '''
"""A penalty, as a third party would write it."""

from typing import Literal

from vaelab.divergences import Divergence, DivergenceConfig
from vaelab.registry import DIVERGENCES


class SquareConfig(DivergenceConfig):
    """Arguments of the square penalty."""

    kind: Literal["my_square"] = "my_square"

    power: float = 2.0
    """Of the latents."""


@DIVERGENCES.register(SquareConfig)
class Square(Divergence[SquareConfig]):
    """Half the squared length of the latent."""

    def forward(self, trace, context):
        return 0.5 * trace.groups[0].z.abs().pow(self.config.power).sum(-1).mean(0)
'''

WIDE = '''
"""A prior in one file."""

from typing import Literal

import torch
from torch import nn

from vaelab.distributions import DiagonalNormal
from vaelab.priors import FlatPrior, LatentShape
from vaelab.registry import PRIORS, ComponentConfig


class WideConfig(ComponentConfig):
    """Arguments of the wide prior."""

    kind: Literal["my_wide"] = "my_wide"

    dim: LatentShape = 4
    """Length."""


@PRIORS.register(WideConfig)
class Wide(FlatPrior[WideConfig]):
    """A normal whose scale is learned."""

    def __init__(self, config, context):
        super().__init__(config, context)
        self.log_scale = nn.Parameter(torch.ones(self.shape))

    def distribution(self):
        return DiagonalNormal.from_log_scale(torch.zeros_like(self.log_scale), self.log_scale, len(self.shape))
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]
    for registry, kind in ((DIVERGENCES, "my_square"), (PRIORS, "my_wide")):
        registry.unregister(kind)


def test_one_file_is_a_component(folder: Path):
    """The file is found in the working directory, validated, in the schema, and trains."""
    (folder / "my_penalty_plugin.py").write_text(PENALTY)
    (folder / "my_prior_plugin.py").write_text(WIDE)
    changed = content(
        plugins=["my_penalty_plugin", "my_prior_plugin"],
        objective={"kind": "elbo", "divergences": ["kl", {"kind": "my_square", "weight": 2.0, "power": 3.0}]},
    )
    changed["model"]["prior"] = {"kind": "my_wide", "dim": 5}
    experiment = parse_experiment(changed)

    assert "my_square" in FAMILIES["divergence"]
    assert FAMILIES["divergence"]["my_square"].summary == "Half the squared length of the latent."
    schema = experiment_schema()
    jsonschema.Draft202012Validator(schema).validate(changed)
    assert "divergence.my_square" in schema["$defs"]
    assert parse_experiment(json.loads(experiment.to_json())) == experiment

    torch.manual_seed(0)
    model, objective = build(experiment.model, experiment.objective, DataSpec((1, 8, 8), "binary"))
    optimiser = torch.optim.Adam(objective.players(model)["model"], lr=1e-2)
    before = model.prior.log_scale.detach().clone()
    loss = objective(model, bits(), StepContext())["model"]
    z = model.infer(bits()).groups[0].z
    assert z.shape == (1, 6, 5)
    torch.testing.assert_close(loss.value, loss.terms["distortion"] + loss.terms["kl"] + 2.0 * loss.terms["my_square"])
    loss.value.mean().backward()
    optimiser.step()
    assert not torch.equal(model.prior.log_scale, before)


def test_unknown_plugin_is_named(folder: Path):
    with pytest.raises(ConfigError) as caught:
        parse_experiment(content(plugins=["no_such_plugin_module"]))
    assert "plugin 'no_such_plugin_module'" in str(caught.value)
    assert "no module named 'no_such_plugin_module'" in str(caught.value)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise RuntimeError('no good')", "RuntimeError: no good"),
        ("def broken(:", "SyntaxError"),
        ("import no_such_dependency", "no module named 'no_such_dependency'"),
        ("from vaelab.registry import NO_SUCH_NAME", "NO_SUCH_NAME"),
    ],
)
def test_failing_plugin_is_named_with_its_reason(folder: Path, code: str, words: str):
    (folder / "my_broken_plugin.py").write_text(code)
    with pytest.raises(ConfigError) as caught:
        parse_experiment(content(plugins=["my_broken_plugin"]))
    assert "plugin 'my_broken_plugin'" in str(caught.value)
    assert words in str(caught.value)


def test_plugin_that_takes_a_kind_is_refused(folder: Path):
    (folder / "my_taking_plugin.py").write_text(PENALTY.replace("my_square", "kl"))
    with pytest.raises(RegistrationError) as caught:
        parse_experiment(content(plugins=["my_taking_plugin"]))
    assert "my_taking_plugin" in str(caught.value)
    assert "vaelab.divergences.kl" in str(caught.value)


@pytest.mark.parametrize("plugins", ["my_plugin", [3], {"a": 1}, None])
def test_plugins_of_a_wrong_type_are_a_mistake_in_the_json(plugins: object):
    with pytest.raises(ConfigError, match=r"\$\.plugins"):
        parse_experiment(content(plugins=plugins))


@pytest.mark.parametrize("name", ["", ".", ".relative", "a..b", "a/b"])
def test_names_that_are_no_modules_are_refused(folder: Path, name: str):
    with pytest.raises(ConfigError, match="plugin"):
        parse_experiment(content(plugins=[name]))
