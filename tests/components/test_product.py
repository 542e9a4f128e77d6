"""Independent groups of several kinds: continuous, discrete, and codes, with one posterior a group."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from core.models import CODES, FLAT, bits, flat_model, losses, model_and
from vaelab.errors import BuildError
from vaelab.types import StepContext

JOINT: dict[str, Any] = {
    **FLAT,
    "posterior": {"kind": "product", "parts": ["diagonal_normal", "categorical", "bernoulli"]},
    "prior": {
        "kind": "product",
        "parts": [
            {"kind": "standard_normal", "dim": 3},
            {"kind": "categorical", "variables": 2, "classes": 3},
            {"kind": "bernoulli", "dim": 4},
        ],
    },
}


def test_rate_is_the_sum_of_the_parts():
    model, objective = model_and("elbo", JOINT)
    model = model.double()
    batch = bits(dtype=torch.float64)
    trace = model.infer(batch, 2)
    (feature,) = model.encoder.features(batch)
    normal, categorical, bernoulli = (part.heads[0](feature, None)[0] for part in model.posterior.parts)
    loc, log_variance = normal.chunk(2, 1)
    expected = 0.5 * (log_variance.exp() + loc.square() - 1 - log_variance).sum(1)
    for probs, count in (
        (categorical.softmax(-1), 3),
        (torch.stack([bernoulli.sigmoid(), (-bernoulli).sigmoid()], -1), 2),
    ):
        expected = expected + (probs * (probs * count).log()).sum((1, 2))
    torch.testing.assert_close(trace.total_rate(), expected.expand(2, -1))
    assert losses(objective, model, batch).shape == (6,)


def test_decoder_receives_the_groups_one_after_another():
    model, _ = model_and("elbo", JOINT)
    model.eval()
    zs = model.generate(5).zs
    assert model.prior.readout_shape == (3 + 6 + 4,)
    code = torch.cat([z.flatten(1) for z in zs], 1)
    torch.testing.assert_close(
        model.decode(zs), model.decoder.distribution(code.unsqueeze(0), model.likelihood).mean[0]
    )


def test_one_posterior_may_serve_several_groups():
    model = flat_model(prior={"kind": "product", "parts": [{"kind": "standard_normal", "dim": d} for d in (2, 3)]})
    assert [group.z.shape[-1] for group in model.infer(bits()).groups] == [2, 3]


def test_a_vamp_prior_uses_the_posterior_of_its_own_group():
    parts = [{"kind": "categorical", "variables": 2, "classes": 3}, {"kind": "vamp", "dim": 4, "pseudo_inputs": 3}]
    model, _ = model_and(
        "elbo",
        FLAT,
        prior={"kind": "product", "parts": parts},
        posterior={"kind": "product", "parts": ["categorical", "diagonal_normal"]},
    )
    mixture = model.prior.group(1, model.prior.initial((1, 2)))
    u = model.prior.parts[1].pseudo_inputs.clamp(0, 1)
    loc, _ = model.posterior.parts[1].heads[0](model.encoder(u), None)[0].chunk(2, -1)
    torch.testing.assert_close(mixture.components.mean, loc)


def test_codes_may_be_one_of_the_parts():
    model, objective = model_and(
        "elbo",
        {**CODES, "decoder": FLAT["decoder"]},
        prior={"kind": "product", "parts": [{"kind": "standard_normal", "dim": 2}, CODES["prior"]]},
        posterior={"kind": "product", "parts": ["diagonal_normal", "vq"]},
    )
    assert losses(objective, model, bits()).shape == (6,)
    model.eval()
    (_, codes) = model.generate(20).zs
    book = model.posterior.parts[1].books[0].codebook
    assert (codes.movedim(1, -1).unsqueeze(-2) - book).abs().sum(-1).min(-1).values.max() == 0


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (
            {"posterior": {"kind": "product", "parts": ["diagonal_normal", "categorical"]}},
            "2 parts and prior 'product'",
        ),
        (
            {"posterior": {"kind": "product", "parts": ["categorical", "diagonal_normal", "bernoulli"]}},
            r"posterior 'product' \(its 'categorical'\) draws one-hot vectors and prior 'product'",
        ),
        ({"posterior": "diagonal_normal"}, r"posterior 'diagonal_normal' draws real vectors and prior 'product'"),
        (
            {"prior": {"kind": "product", "parts": ["standard_normal", {"kind": "markov_chain", "steps": 4}]}},
            r"prior 'product' takes priors with one group .*'markov_chain' \(part 1\)",
        ),
        (
            {"prior": {"kind": "markov_chain", "steps": 3}},
            r"posterior 'product' has 3 parts and prior 'markov_chain' has 3 latent groups that share",
        ),
    ],
)
def test_refusals_name_both(axes: dict[str, Any], message: str):
    with pytest.raises(BuildError, match=message):
        model_and("elbo", JOINT, **axes)


def test_each_group_may_have_a_capacity_of_its_own():
    """JointVAE's objective."""
    terms = [{"kind": "capacity", "group": i, "weight": 30.0, "capacity": c} for i, c in ((0, 5.0), (1, 2.0))]
    model, objective = model_and({"kind": "elbo", "divergences": terms}, JOINT)
    model.eval()
    trace = model.infer(bits())
    found = objective(model, bits(), StepContext())["model"].terms
    torch.testing.assert_close(found["capacity"], (trace.rate(0).mean() - 5).abs().expand(6))
    torch.testing.assert_close(found["capacity_2"], (trace.rate(1).mean() - 2).abs().expand(6))
    with pytest.raises(BuildError, match=r"divergence 'capacity' .* latent group 3, and prior 'product' has 3"):
        model_and({"kind": "elbo", "divergences": [{"kind": "capacity", "group": 3}]}, JOINT)
