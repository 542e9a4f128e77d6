"""The vision transformer as a decoder: where patches go, what positions do, and that it can be differentiated twice."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from core.models import FLAT, bits, flat_model, losses, model_and, model_config
from vaelab.build import build_model
from vaelab.errors import BuildError
from vaelab.types import DataSpec

SMALL: dict[str, Any] = {"kind": "vit", "width": 8, "depth": 2, "heads": 2, "patch": 4}


@pytest.mark.parametrize("code", [5, [2, 3, 3]], ids=str)
@pytest.mark.parametrize(
    ("shape", "patch"), [((1, 28, 28), 7), ((3, 32, 32), 4), ((2, 8, 20), 4), ((1, 5, 9), 1)], ids=str
)
def test_takes_every_size_that_is_a_multiple_of_the_patch(shape: tuple[int, ...], patch: int, code: Any):
    model = build_model(
        model_config(FLAT, decoder={**SMALL, "patch": patch}, prior={"kind": "standard_normal", "dim": code}),
        DataSpec(shape, "binary"),
    )
    assert model.sample(2).shape == (2, *shape)


@pytest.mark.parametrize("shape", [(1, 8, 10), (1, 9, 8)], ids=str)
def test_refuses_other_sizes(shape: tuple[int, ...]):
    with pytest.raises(BuildError, match=r"decoder 'vit' cuts pictures into patches of 4 x 4.*\"patch\" that divides"):
        flat_model(shape, decoder=SMALL)


def test_refuses_heads_that_do_not_divide_the_width():
    with pytest.raises(BuildError, match=r"decoder 'vit' splits its width.*no multiple of 3"):
        flat_model(decoder={**SMALL, "heads": 3})


def test_patches_are_those_of_the_encoder():
    """A picture cut by the encoder's `patches` and put together by the decoder is the picture again."""
    shape = (2, 8, 12)
    encoder = flat_model(shape, encoder=SMALL).encoder
    decoder = flat_model(shape, decoder=SMALL).decoder
    x = torch.rand(3, *shape)
    # tokens that are pixels already: nothing is done to them on the way
    decoder.embed = torch.nn.Identity()
    decoder.blocks = torch.nn.Identity()
    decoder.pixels = torch.nn.Identity()
    decoder.position = torch.nn.Parameter(torch.zeros(6, 1))
    assert torch.equal(decoder(encoder.patches(x).flatten(1).unsqueeze(0))[0], x)


def test_a_token_decides_its_own_patch_alone_where_there_are_no_blocks():
    decoder = flat_model(decoder=SMALL).decoder
    decoder.blocks = torch.nn.Identity()
    code = torch.randn(1, 2, 4)
    before = decoder(code)
    with torch.no_grad():
        decoder.position[1] += 1.0
    changed = (decoder(code) != before).flatten(0, 2)[0]
    assert changed[:4, 4:].all()
    assert changed.sum() == 16


def test_attention_spreads_a_change_over_all_patches():
    decoder = flat_model(decoder=SMALL).decoder
    code = torch.randn(1, 2, 4)
    before = decoder(code)
    with torch.no_grad():
        decoder.position[1] += torch.randn(8)
    assert (decoder(code) != before).all()


def test_second_derivatives_of_the_attention():
    """Against finite differences of the gradient, for the posteriors that follow it."""
    decoder = flat_model(decoder=SMALL).decoder.double()
    assert torch.autograd.gradgradcheck(
        lambda z: decoder(z).sum((2, 3, 4)), torch.randn(1, 1, 4).double().requires_grad_()
    )


def test_pairs_with_its_encoder_and_learns():
    model, objective = model_and("elbo", encoder=SMALL, decoder=SMALL)
    batch = bits()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    history = []
    for step in range(40):
        loss = losses(objective, model, batch, seed=step).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        history.append(loss.item())
    assert history[0] == pytest.approx(64 * 0.693, rel=0.2)
    assert sum(history[-5:]) < 0.93 * sum(history[:5])
