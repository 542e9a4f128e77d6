"""Tables with real and categorical columns."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import distributions as td

from core.models import FLAT, model_config
from vaelab.build import build_model
from vaelab.errors import BuildError
from vaelab.model import VAE
from vaelab.nets.columns import RunningStandardiser
from vaelab.types import Batch, DataSpec

COLUMNS = [[4, 3], [1, 2]]


def table(number: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    x = 5 + 3 * torch.randn(number, 6, generator=generator, dtype=dtype)
    for column, levels in COLUMNS:
        x[:, column] = torch.randint(levels, (number,), generator=generator).to(dtype)
    return x


def model_of(**likelihood: Any) -> VAE:
    torch.manual_seed(0)
    config = model_config(
        FLAT,
        encoder={"kind": "tabular", "categorical": COLUMNS, "embedding": 2, "hidden": [12]},
        likelihood={"kind": "mixed_columns", "categorical": COLUMNS, **likelihood},
    )
    return build_model(config, DataSpec((6,), "real"))


@pytest.mark.parametrize("sigma", ["learned", "per_datum"])
def test_density_is_that_of_its_columns(sigma: str):
    model = model_of(sigma=sigma).double()
    x = table(5)
    size = 4 * (2 if sigma == "per_datum" else 1) + 3 + 2
    assert model.likelihood.parameter_shape == (size,)
    parameters = torch.randn(2, 5, size, dtype=torch.float64)
    loc = parameters[..., :4]
    scale = parameters[..., 4:8].exp() if sigma == "per_datum" else torch.ones_like(loc)
    # column 4 is written first in the config, so its logits come first
    expected = td.Normal(loc, scale).log_prob(x[:, [0, 2, 3, 5]]).sum(-1)
    expected = expected + td.Categorical(logits=parameters[..., -5:-2]).log_prob(x[:, 4].long())
    expected = expected + td.Categorical(logits=parameters[..., -2:]).log_prob(x[:, 1].long())
    p = model.likelihood(parameters)
    torch.testing.assert_close(p.log_prob(x.unsqueeze(0)), expected)
    assert torch.equal(p.mean[..., [0, 2, 3, 5]], loc)
    assert torch.equal(p.mean[..., 4], parameters[..., -5:-2].argmax(-1).double())
    assert torch.equal(p.mean[..., 1], parameters[..., -2:].argmax(-1).double())


def test_draws_of_a_column_have_its_frequencies_and_place():
    model = model_of().double()
    p = model.likelihood(torch.randn(1, 1, 9, dtype=torch.float64))
    draws = p.sample(torch.Size((4000,)))[:, 0, 0]
    for column, logits in ((4, p.logits[0]), (1, p.logits[1])):
        frequency = torch.bincount(draws[:, column].long(), minlength=logits.shape[-1]) / 4000
        assert (frequency - logits[0, 0].softmax(-1)).abs().max() < 0.04
    torch.testing.assert_close(draws[:, [0, 2, 3, 5]].mean(0), p.loc[0, 0], atol=0.1, rtol=0)


def test_unobserved_cells_do_not_count():
    model = model_of().double().eval()
    x, observed = table(5), torch.rand(5, 6) < 0.5
    z = torch.randn(1, 5, 4, dtype=torch.float64)
    some, others, everything = (
        model.infer(Batch(x, observed=mask), fixed={0: z}).log_px for mask in (observed, ~observed, None)
    )
    torch.testing.assert_close(some + others, everything)


def test_levels_are_embedded_and_have_no_order():
    model = model_of().eval()
    x = table(1, torch.float32).repeat(3, 1)
    x[:, 4] = torch.tensor([0.0, 1.0, 2.0])
    one, two, three = model.encoder(x)
    assert not torch.allclose(one, two)
    assert not torch.allclose(two - one, three - two)
    with torch.no_grad():
        for embedding in model.encoder.embeddings:
            embedding.weight.zero_()
    one, two, _ = model.encoder(x)
    assert torch.equal(one, two)


def test_running_statistics_are_those_of_all_data_seen():
    x = table(100)[:, [0, 2]]
    standardise = RunningStandardiser(2).double()
    assert torch.equal(standardise.eval()(x), x), "the identity at the start"
    standardise.train()
    for part in (x[:1], x[1:40], x[40:]):  # of different sizes
        standardise(part)
    expected = (x - x.mean(0)) / x.std(0, correction=0)
    torch.testing.assert_close(standardise.eval()(x), expected)
    standardise(x + 50)
    torch.testing.assert_close(standardise(x), expected, msg="evaluation learns nothing")


def test_a_constant_column_is_left_finite():
    standardise = RunningStandardiser(1).train()
    assert torch.equal(standardise(torch.full((8, 1), 3.0)), torch.zeros(8, 1))


@pytest.mark.parametrize("axis", ["encoder", "likelihood"])
@pytest.mark.parametrize(
    ("shape", "columns", "message"),
    [((6,), [[6, 2]], "none of the data's 6"), ((6,), [[1, 2], [1, 3]], "twice"), ((1, 2, 3), [], "vectors")],
)
def test_columns_that_are_not_there_are_refused(
    axis: str, shape: tuple[int, ...], columns: list[list[int]], message: str
):
    kind = {"encoder": "tabular", "likelihood": "mixed_columns"}[axis]
    base = {**FLAT, "likelihood": "normal"}
    with pytest.raises(BuildError, match=message) as caught:
        build_model(model_config(base, **{axis: {"kind": kind, "categorical": columns}}), DataSpec(shape, "real"))
    assert f"{axis} '{kind}'" in str(caught.value)


def test_levels_do_not_fit_into_the_unit_interval():
    likelihood = {"kind": "mixed_columns", "categorical": [[0, 3]]}
    with pytest.raises(BuildError, match="two levels at most"):
        build_model(model_config(FLAT, likelihood=likelihood), DataSpec((6,), "unit"))
