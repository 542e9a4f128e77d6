"""A static latent beside the latents of the steps, and posteriors of which some groups share their weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.models import CHAIN, FLAT, model_config
from vaelab.build import build, build_model
from vaelab.errors import BuildError
from vaelab.figures.sequences import swapped
from vaelab.metrics import EvaluationContext, measure
from vaelab.metrics.latent_usage import LatentUsageConfig
from vaelab.metrics.negative_elbo import NegativeElboConfig
from vaelab.model import VAE
from vaelab.nets.sequences import static_groups
from vaelab.registry import OBJECTIVES
from vaelab.types import Batch, DataSpec, GroupSpec, LatentSpec, StepContext

T, D = 4, 5
DSVAE: dict[str, Any] = {
    **FLAT,
    "encoder": {"kind": "gru", "hidden": 6, "direction": "both"},
    "prior": {"kind": "static_and_dynamic", "static": 3, "dynamic": 2, "hidden": 7},
    "decoder": {"kind": "per_step", "hidden": [8], "activation": "tanh"},
}


def dsvae(**axes: Any) -> VAE:
    torch.manual_seed(0)
    return build_model(model_config(DSVAE, **axes), DataSpec((T, D), "binary")).double().eval()


def bits(number: int = 3) -> Tensor:
    return torch.rand(number, T, D, dtype=torch.float64).round()


def latents(number: int = 3) -> dict[int, Tensor]:
    sizes = (3, *(2,) * T)
    return {i: torch.randn(number, size, dtype=torch.float64) for i, size in enumerate(sizes)}


def test_sets_of_weights():
    groups = (GroupSpec((2,)),) * 4
    assert LatentSpec(groups).weights == (0, 1, 2, 3)
    assert LatentSpec(groups, shared=True).weights == (0, 0, 0, 0)
    assert LatentSpec(groups, processes=(7, 1, 1, 7)).weights == (0, 1, 1, 0)


def test_which_groups_come_before_the_steps():
    groups = (GroupSpec((2,)),) * 4
    assert static_groups(LatentSpec(groups, processes=(0, 1, 1, 1)), 3) == 1
    assert static_groups(LatentSpec(groups, processes=(0, 1, 2, 2)), 2) == 2
    assert static_groups(LatentSpec(groups, shared=True), 4) == 0
    assert static_groups(LatentSpec(groups, shared=True), 3) == 0
    assert static_groups(LatentSpec(groups), 3) == 0
    assert static_groups(LatentSpec(groups), 9) == 0


@pytest.mark.parametrize("posterior", ["diagonal_normal", "full_normal", "laplace", {"kind": "flow", "flow": "iaf"}])
def test_the_static_latent_has_a_head_of_its_own(posterior: Any):
    model = dsvae(posterior=posterior)
    assert len(model.posterior.heads) == 2
    trace = model.infer(Batch(bits()), 2)
    assert [group.z.shape[2:] for group in trace.groups] == [(3,)] + [(2,)] * T
    assert [trace.rate(i).shape for i in range(T + 1)] == [(2, 3)] * (T + 1)
    # the heads read: what is put into the second one reaches the steps alone
    torch.manual_seed(1)
    before = model.infer(Batch(bits()))
    for parameter in model.posterior.heads[1].parameters():
        parameter.data += 0.1
    torch.manual_seed(1)
    after = model.infer(Batch(bits()))
    changed = [not torch.equal(a.z, b.z) for a, b in zip(before.groups, after.groups, strict=True)]
    assert changed == [False] + [True] * T


def test_a_part_for_each_group_is_refused_where_groups_share():
    parts = ["diagonal_normal"] * (T + 1)
    with pytest.raises(BuildError, match="groups that share one posterior"):
        dsvae(posterior={"kind": "product", "parts": parts})


def test_the_chain_is_a_recurrent_network_over_the_latents_before():
    """The same numbers from torch's whole GRU, which the prior does not use."""
    model = dsvae()
    zs = latents()
    trace = model.infer(Batch(bits()), fixed=zs)
    prior = model.prior
    gru = nn.GRU(2, 7, batch_first=True).double()
    gru.load_state_dict({f"{name}_l0": value for name, value in prior.cell.state_dict().items()})
    chain = torch.stack([zs[i] for i in range(1, T + 1)], 1)
    start = prior.start.expand(1, 3, -1).contiguous()
    states = torch.cat([start.transpose(0, 1), gru(chain[:, :-1], start)[0]], 1)
    loc, log_scale = prior.head(states).chunk(2, -1)
    steps = torch.distributions.Normal(loc, log_scale.exp()).log_prob(chain).sum((1, 2))
    static = torch.distributions.Normal(0.0, 1.0).log_prob(zs[0]).sum(1)
    torch.testing.assert_close(trace.log_weight[0] - trace.log_px[0], static + steps)


@pytest.mark.parametrize("posterior", ["full", "factorised"])
def test_the_chain_is_independent_of_the_static_latent(posterior: str):
    model = dsvae(prior={**DSVAE["prior"], "posterior": posterior})
    zs = latents()
    x = bits()
    one, two = (model.infer(Batch(x), proposed={**zs, 0: f}) for f in (zs[0], zs[0] + 1))
    for a, b in zip(one.groups[1:], two.groups[1:], strict=True):
        assert torch.equal(a.p.loc, b.p.loc)
        assert torch.equal(a.q.loc, b.q.loc) == (posterior == "factorised")


def test_a_frame_is_made_of_its_own_latent_and_the_static_one():
    model = dsvae()
    zs = latents()
    base = model.decode(tuple(zs.values()))
    for i in range(T + 1):
        moved = model.decode(tuple(z + (j == i) for j, z in zs.items()))
        changed = [not torch.equal(moved[:, t], base[:, t]) for t in range(T)]
        assert changed == [i == 0 or t == i - 1 for t in range(T)]


@pytest.mark.parametrize(
    "encoder",
    [
        {"kind": "gru", "hidden": 6},
        {"kind": "gru", "hidden": 6, "direction": "both"},
        {"kind": "temporal_conv", "width": 6, "layers": 2, "activation": "tanh"},
        {"kind": "per_step", "hidden": [6], "activation": "tanh"},
    ],
    ids=str,
)
def test_the_first_feature_has_seen_the_whole_sequence(encoder: dict[str, Any]):
    model = dsvae(encoder=encoder)
    x = bits()
    before = model.encoder.features(Batch(x))
    assert len(before) == T + 1
    for t in range(T):
        changed = x.clone()
        changed[:, t] += 1
        assert not torch.equal(before[0], model.encoder.features(Batch(changed))[0])
    # without a static latent there are the steps alone, and they are the same
    torch.manual_seed(0)
    data = DataSpec((T, D), "binary")
    chain = build_model(model_config(CHAIN, encoder=encoder), data)
    chain.encoder.load_state_dict(model.encoder.state_dict())
    for a, b in zip(before[1:], chain.double().encoder.features(Batch(x)), strict=True):
        assert torch.equal(a, b)


def test_metrics_tell_the_static_latent_from_the_steps(tiny_splits):
    model = dsvae().float()
    split = tiny_splits((T, D), "binary", 20).test
    values = measure([NegativeElboConfig(), LatentUsageConfig(samples=2)], model, split, EvaluationContext())
    for name in ("rate", "posterior_variance", "explained_variance"):
        assert {f"{name}/group_{i}" for i in range(T + 1)} <= values.keys()
    total = sum(values[f"rate/group_{i}"].value for i in range(T + 1))
    assert total == pytest.approx(values["rate"].value, rel=1e-5)


def content_and_motion(number: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Frames of four pixels: the content says which half is lit, the motion which of its two pixels at each step."""
    content = torch.randint(2, (number,), generator=generator)
    motion = torch.randint(2, (number, T), generator=generator)
    x = nn.functional.one_hot(2 * content.unsqueeze(1) + motion, 4).float()
    return x, content, motion


def test_swapping_the_static_latent_swaps_what_stays():
    """A chain that remembers nothing would pay for the content at each step, so that the bound puts it into f."""
    generator = torch.Generator().manual_seed(2)
    torch.manual_seed(0)
    prior = {"kind": "static_and_dynamic", "static": 2, "dynamic": 1, "hidden": 8, "posterior": "factorised"}
    encoder = {"kind": "gru", "hidden": 16, "direction": "both"}
    config = model_config(DSVAE, prior=prior, encoder=encoder, decoder={"kind": "per_step", "hidden": [16]})
    model, objective = build(config, OBJECTIVES._validate("elbo"), DataSpec((T, 4), "binary"))
    for parameter in model.prior.cell.parameters():
        parameter.requires_grad_(False).zero_()
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.01)
    for step in range(200):
        x, _, _ = content_and_motion(64, generator)
        loss = objective(model, Batch(x), StepContext(step))["model"].value.mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    x, content, motion = content_and_motion(100, generator)
    other = x.roll(1, 0)
    mixed = swapped(model, Batch(other), Batch(x))
    # what a value of z_t means may differ between contents, so that the motion is compared with the data's own
    assert ((mixed.argmax(-1) // 2 == content.roll(1).unsqueeze(1)).float().mean()) > 0.98
    assert ((swapped(model, Batch(x), Batch(x)).argmax(-1) == 2 * content.unsqueeze(1) + motion).float().mean()) > 0.98
    assert 0.3 < (content != content.roll(1)).float().mean() < 0.7
