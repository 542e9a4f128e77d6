"""Groups that depend on groups: densities by hand, samples broadcast, features in their order."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Normal

from core.models import CHAIN, FLAT, HIERARCHY, bits, model_and, model_config
from vaelab import build as building
from vaelab.model import VAE
from vaelab.types import Batch, DataSpec

MIXED = {
    **HIERARCHY,
    "prior": {
        "kind": "top_down",
        "top": {"kind": "mixture", "dim": 3, "components": 2},
        "groups": [[2, 2, 2], [3, 4, 4], 5],
        "width": 6,
    },
}


def double(base: dict, shape: tuple[int, ...] = (1, 8, 8)) -> VAE:
    model = model_and("elbo", base, shape)[0].double().eval()
    torch.manual_seed(4)
    for parameter in model.parameters():  # layers that start at zero would hide what they do
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def chain_log_prob(model: VAE, zs: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """log p(z_1:T) of a gated transition, written out (Krishnan et al. 2017, section 5)."""
    prior = model.prior
    total = torch.zeros(zs[0].shape[:-1], dtype=torch.float64)
    previous = prior.start.expand_as(zs[0])
    for z in zs:
        gate = torch.sigmoid(prior.gate[2](torch.relu(prior.gate[0](previous))))
        proposal = prior.proposal[2](torch.relu(prior.proposal[0](previous)))
        linear = previous @ prior.linear.weight.T + prior.linear.bias
        loc = (1 - gate) * linear + gate * proposal
        scale = (torch.relu(proposal) @ prior.log_scale.weight.T + prior.log_scale.bias).exp()
        total = total + Normal(loc, scale).log_prob(z).sum(-1)
        previous = z
    return total


def test_joint_density_of_a_chain_by_hand():
    model = double(CHAIN, (1, 4, 6))
    zs = tuple(torch.randn(5, 3, dtype=torch.float64) for _ in range(4))
    batch = bits(5, (1, 4, 6), torch.float64)
    trace = model.infer(batch, 1, fixed=dict(enumerate(zs)))
    log_p = torch.stack([group.log_p for group in trace.groups]).sum(0)
    torch.testing.assert_close(log_p[0], chain_log_prob(model, zs))
    torch.testing.assert_close(trace.log_weight, trace.log_px + log_p)


def test_chain_of_draws_is_the_joint_density_of_the_same_draws():
    model = double(CHAIN, (1, 4, 6))
    trace = model.infer(bits(5, (1, 4, 6), torch.float64), 3)
    log_p = torch.stack([group.log_p for group in trace.groups]).sum(0)
    torch.testing.assert_close(log_p, chain_log_prob(model, tuple(group.z for group in trace.groups)))


def test_posterior_of_a_step_sees_the_future_and_the_last_latent_only():
    """The backward feature of step t holds x_t..x_T; the head adds z_(t-1)."""
    model = double(CHAIN, (1, 4, 6))
    batch = bits(2, (1, 4, 6), torch.float64)
    changed = batch.x.clone()
    changed[:, :, 1] = 1 - changed[:, :, 1]  # row 1 belongs to the past of steps 2 and 3
    one, two = model.encoder.features(batch), model.encoder.features(Batch(changed))
    assert [torch.equal(a, b) for a, b in zip(one, two, strict=True)] == [False, False, True, True]


def test_decoder_of_a_chain_emits_each_step_from_its_own_latent():
    model = double(CHAIN, (1, 4, 6))
    zs = [torch.randn(2, 3, dtype=torch.float64) for _ in range(4)]
    before = model.decode(tuple(zs))
    zs[2] = zs[2] + 1
    after = model.decode(tuple(zs))
    rows = [torch.equal(before[:, :, t], after[:, :, t]) for t in range(4)]
    assert rows == [True, True, False, True]


@pytest.mark.parametrize(
    ("base", "shape"),
    [(HIERARCHY, (1, 8, 8)), (MIXED, (1, 8, 8)), (CHAIN, (1, 4, 6))],
    ids=["ladder", "mixed", "chain"],
)
def test_copies_of_a_latent_have_the_same_densities(base: dict, shape: tuple[int, ...]):
    model = double(base, shape)
    batch = bits(5, shape, torch.float64)
    zs = model.infer(batch).groups
    fixed = {i: group.z[0] for i, group in enumerate(zs)}
    once = model.infer(batch, 1, fixed)
    thrice = model.infer(batch, 3, fixed)
    torch.testing.assert_close(thrice.log_weight, once.log_weight.expand(3, -1))
    for one, three in zip(once.groups, thrice.groups, strict=True):
        torch.testing.assert_close(three.log_p, one.log_p.expand(3, -1))
    torch.testing.assert_close(thrice.log_px, once.log_px.expand(3, -1))


@pytest.mark.parametrize(
    ("base", "shape"),
    [(HIERARCHY, (1, 8, 8)), (MIXED, (1, 8, 8)), (CHAIN, (1, 4, 6))],
    ids=["ladder", "mixed", "chain"],
)
def test_samples_do_not_meet(base: dict, shape: tuple[int, ...]):
    """Scoring K different latents at once is scoring each alone: nothing mixes along K."""
    model = double(base, shape)
    batch = bits(5, shape, torch.float64)
    together = model.infer(batch, 3)
    zs = [group.z for group in together.groups]
    for k in range(3):
        alone = model.infer(batch, 1, {i: z[k] for i, z in enumerate(zs)})
        torch.testing.assert_close(alone.log_px[0], together.log_px[k])
        for i, group in enumerate(alone.groups):
            torch.testing.assert_close(group.log_p[0], together.groups[i].log_p[k])
    # the posterior of a later group depends on the sample of the earlier ones
    q = together.groups[1].q
    assert not torch.equal(q.mean[0], q.mean[1])


def test_each_group_depends_on_all_before_it():
    model = double(HIERARCHY)
    batch = bits(2, dtype=torch.float64)
    zs = [group.z for group in model.infer(batch).groups]
    for changed in range(model.depth):
        moved = [z + 1.0 if i == changed else z for i, z in enumerate(zs)]
        one = model.infer(batch, 1, {i: z for i, z in enumerate(zs) if i < 2})
        two = model.infer(batch, 1, {i: z for i, z in enumerate(moved) if i < 2})
        # group 2 is inferred: its prior and posterior see z_0 and z_1
        if changed < 2:
            assert not torch.equal(one.groups[2].p.mean, two.groups[2].p.mean)
            assert not torch.equal(one.groups[2].q.mean, two.groups[2].q.mean)
        else:
            assert torch.equal(one.groups[2].p.mean, two.groups[2].p.mean)
        decoded = model.decode(tuple(z[0] for z in zs)), model.decode(tuple(z[0] for z in moved))
        assert not torch.equal(*decoded)


def test_maps_and_vectors_mix():
    model = double(MIXED)
    shapes = [spec.shape for spec in model.prior.latent.groups]
    assert shapes == [(3,), (2, 2, 2), (3, 4, 4), (5,)]
    assert [feature.shape[1:] for feature in model.encoder.features(bits(2, dtype=torch.float64))] == [
        (8,), (8, 2, 2), (8, 4, 4), (8,)
    ]  # fmt: skip
    assert torch.isfinite(model.infer(bits(2, dtype=torch.float64), 2).log_weight).all()


def test_fixed_top_and_free_rest():
    model = double(HIERARCHY)
    top = torch.randn(4, 3, dtype=torch.float64)
    one, two = model.generate(4, fixed={0: top}), model.generate(4, fixed={0: top})
    assert torch.equal(one.zs[0], top)
    assert not torch.equal(one.zs[1], two.zs[1])


def test_temperature_narrows_what_is_generated():
    model = double(HIERARCHY)
    spread = [model.generate(500, temperature).zs[0].std().item() for temperature in (0.1, 0.5, 1.0)]
    assert spread == pytest.approx([0.1, 0.5, 1.0], rel=0.1)


def test_trying_a_model_out_leaves_the_random_state(monkeypatch: pytest.MonkeyPatch):
    def next_number() -> torch.Tensor:
        torch.manual_seed(0)
        building.build_model(model_config(FLAT), DataSpec((1, 8, 8), "binary"))
        return torch.rand(1)

    tried = next_number()
    monkeypatch.setattr(building, "_check", lambda model, context: None)
    assert torch.equal(next_number(), tried)
