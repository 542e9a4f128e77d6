"""The likelihood is torch's Cauchy density, and trains."""

from pathlib import Path

import torch
from vaelab_cauchy.distribution import Cauchy

import vaelab
from vaelab.registry import LIKELIHOODS

EXPERIMENT = Path(__file__).parents[1] / "experiments" / "cauchy.json"


def test_density_is_that_of_torch():
    loc, log_scale, x = torch.randn(3, 2, 4, 5, dtype=torch.float64).unbind()
    expected = torch.distributions.Cauchy(loc, log_scale.exp()).log_prob(x).sum((1, 2))
    torch.testing.assert_close(Cauchy(loc, log_scale, 2).log_prob(x), expected)


def test_draws_have_the_quartiles_of_the_density():
    draws = Cauchy(torch.full((1,), 2.0), torch.full((1,), 0.5).log(), 1).sample((20_000,))
    quartiles = torch.quantile(draws[:, 0], torch.tensor([0.25, 0.5, 0.75]))
    torch.testing.assert_close(quartiles, torch.tensor([1.5, 2.0, 2.5]), atol=0.05, rtol=0)


def test_it_is_found_by_its_entry_point_and_trains(tmp_path):
    experiment = vaelab.load_experiment(EXPERIMENT, ['training={"steps": 5}', "evaluation.figures=[]"])
    assert LIKELIHOODS["cauchy"].module == "vaelab_cauchy.likelihood"
    run = vaelab.train(experiment, tmp_path, device="cpu")
    assert run.model.likelihood.log_scale.item() != torch.tensor(0.2).log().item()
