"""The posterior `residual_vq` beside vector-quantize-pytorch used as its authors do: pythae has no residual quantiser."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor
from vector_quantize_pytorch import ResidualVQ

from core.models import CODES, model_and
from parity.pairs import bits
from vaelab.types import Batch, StepContext

Agree = Callable[[str, Tensor, Tensor], None]

_BETA = 0.25
_POSTERIOR = {"kind": "residual_vq", "quantisers": 3, "commitment": _BETA, "threshold_dead": None}
_NUMBERS = 4 * 2 * 2


def test_residual_vq_vae_by_the_library_alone(agree: Agree) -> None:
    """The same loss with the library's own commitment loss and codes, and the same running means."""
    prior = {**CODES["prior"], "codes": 4**3}
    objective = {"kind": "elbo", "divergences": ["commitment"]}
    model, trained = model_and(objective, CODES, posterior=_POSTERIOR, prior=prior)
    library = ResidualVQ(
        dim=4,
        num_quantizers=3,
        codebook_size=4,
        decay=0.99,
        commitment_weight=_BETA,
        threshold_ema_dead_code=0,
        rotation_trick=False,
    )
    x = bits()
    book = model.posterior.books[0]
    with torch.no_grad():
        features = model.posterior.heads[0](model.encoder(x), None)[0].movedim(1, -1).flatten(1, 2)
        for layer in book.layers:  # near the features, so that several codes are chosen
            chosen = features.flatten(0, 1)[torch.randperm(features.numel() // 4)[:4]]
            layer._codebook.embed.copy_(chosen + 0.1 * features.std() * torch.randn(4, 4))
            layer._codebook.embed_avg.copy_(layer._codebook.embed)
    library.load_state_dict(copy.deepcopy(book.state_dict()))
    library.train()
    before = library.codebooks.clone()

    ours = trained(model, Batch(x), StepContext())["model"].value.mean()
    encoded = model.posterior.heads[0](model.encoder(x), None)[0]
    codes, index, losses = library(encoded.movedim(1, -1).flatten(1, 2))
    assert len(index.unique(dim=0)) > 2
    codes = codes.movedim(-1, 1).reshape(encoded.shape)
    # each quantiser of the library passes the gradient on, which makes three of one; here the sum of the codes passes it once
    (through,) = torch.autograd.grad(codes.sum(), encoded, retain_graph=True)
    assert torch.equal(through, 3 * torch.ones_like(through))
    once = encoded + (codes - encoded).detach()
    decoded = model.decoder.distribution(once[None], model.likelihood)
    # the library's losses are means over data, positions and components; a datum's sum is 16 times that
    theirs = _NUMBERS * losses.sum() - decoded.log_prob(x[None]).mean()
    agree("loss", ours, theirs)
    weights = [p for part in (model.encoder, model.posterior.heads, model.decoder) for p in part.parameters()]
    one, two = (torch.autograd.grad(loss, weights) for loss in (ours, theirs))
    agree("gradient", torch.cat([g.flatten() for g in one]), torch.cat([g.flatten() for g in two]))
    agree("codes after the step", book.codebooks, library.codebooks)
    assert not torch.equal(library.codebooks, before)
