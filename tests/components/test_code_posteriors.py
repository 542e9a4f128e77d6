"""FSQ, residual quantisation, the options of VQ, and the prior over codes that is trained along."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from core.models import CODES, bits, losses, model_and
from vaelab.errors import BuildError
from vaelab.model import VAE
from vaelab.registry import POSTERIORS

RVQ: dict[str, Any] = {"kind": "residual_vq", "quantisers": 3}
FSQ: dict[str, Any] = {"kind": "fsq", "levels": [4, 2], "symmetric": True}
ODD: dict[str, Any] = {"kind": "fsq", "levels": [5, 3]}
LEARNED: dict[str, Any] = {"kind": "vq", "codebook": "gradient"}
AUTOREGRESSIVE: dict[str, Any] = {
    "kind": "autoregressive_codes", "codes": 8, "dim": 4, "positions": [2, 2], "hidden": 16,
}  # fmt: skip

#: Each posterior, and the number of codes it is given.
POSTERIOR = pytest.mark.parametrize(("posterior", "codes"), [(RVQ, 8), (FSQ, 8), (ODD, 15), ("vq", 8), (LEARNED, 8)])
MODE = pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])


def objective_of(posterior: Any) -> Any:
    """The plain ELBO, or the term without which learned codes are refused."""
    return {"kind": "elbo", "divergences": ["commitment"]} if "gradient" in str(posterior) else "elbo"


def model_of(posterior: Any, codes: int = 8, training: bool = False, **axes: Any) -> VAE:
    model, _ = model_and(
        objective_of(posterior), CODES, posterior=posterior, prior={**CODES["prior"], "codes": codes}, **axes
    )
    return model.double().train(training)


def vectors(number: int = 12) -> Tensor:
    return torch.randn(number, 5, 4, dtype=torch.float64)


@POSTERIOR
def test_lookup_and_find_are_inverse_over_all_codes(posterior: Any, codes: int):
    head = model_of(posterior, codes).posterior
    index = torch.arange(4 * codes).reshape(codes, 2, 2) % codes
    z = head.lookup(0, index)
    assert z.shape == (codes, 4, 2, 2)
    assert torch.equal(head.find(0, z), index)
    assert len(head.codebook(0).unique(dim=0)) == codes


@POSTERIOR
@MODE
def test_draw_is_the_vector_of_its_index(posterior: Any, codes: int, training: bool):
    model = model_of(posterior, codes, training)
    batch = bits(dtype=torch.float64)
    before = model.posterior.codebook(0).detach().clone()
    q = model.infer(batch).groups[0].q
    assert q is not None
    drawn, table = q.z.movedim(2, -1).detach(), before[q.index]
    torch.testing.assert_close(drawn, table, rtol=1e-5, atol=1e-5)  # the library chooses in single precision
    assert int(q.index.max()) < codes


@POSTERIOR
def test_samples_are_codes_and_usage_is_counted(posterior: Any, codes: int):
    from vaelab.datasets.memory import MemorySplit
    from vaelab.metrics import EvaluationContext
    from vaelab.registry import METRICS

    model = model_of(posterior, codes).float().eval()
    z = model.generate(20).zs[0]
    torch.testing.assert_close(model.posterior.lookup(0, model.posterior.find(0, z)), z)
    batch = bits(40)
    used = model.infer(batch).groups[0].q.index.unique().numel()
    split = MemorySplit(model.data, batch.x.flatten(1), None)
    usage = METRICS.build(METRICS["latent_usage"].config.example())
    assert usage.evaluate(model, split, EvaluationContext())["codes_used"].value == used


@MODE
def test_residual_choice_is_greedy_and_its_penalty_by_hand(training: bool):
    head = model_of(RVQ, training=training).posterior
    books = head.books[0].codebooks.clone()
    x = vectors().requires_grad_()
    chosen, index, penalty = head.quantise(0, x)
    total, expected, distance = torch.zeros_like(x), torch.zeros(12, 5, dtype=torch.int64), 0.0
    for level, book in enumerate(books):
        best = (x - total).unsqueeze(-2).sub(book).square().sum(-1).argmin(-1)
        total = (total + book[best]).detach()
        expected += best * 2**level
        distance = distance + (x - total).square().sum((1, 2))
    assert torch.equal(index, expected)
    torch.testing.assert_close(chosen, total)
    torch.testing.assert_close(penalty, 0.25 * distance)
    # the gradient is the identity once, not once a book
    weight = torch.randn_like(x)
    (through,) = torch.autograd.grad((weight * chosen).sum(), x)
    torch.testing.assert_close(through, weight)


def test_residual_books_move_in_training_only():
    for training in (False, True):
        head = model_of(RVQ, training=training).posterior
        before = head.codebook(0).clone()
        head.quantise(0, vectors())
        assert torch.equal(head.codebook(0), before) == (not training)


def test_fsq_rounds_each_number_and_its_gradient_goes_through_the_bound():
    head = model_of(ODD, 15).posterior
    book = head.books[0]
    x = vectors().requires_grad_()
    chosen, index, penalty = head.quantise(0, x)
    assert penalty is None
    levels = torch.tensor([5.0, 3.0], dtype=torch.float64)
    half = (levels - 1) * 1.001 / 2
    bounded = torch.tanh(book.project_in(x)) * half
    rounded = bounded.round() / (levels // 2)
    torch.testing.assert_close(chosen, book.project_out(rounded))
    digits = bounded.round() + levels // 2
    assert torch.equal(index, (digits[..., 0] + 5 * digits[..., 1]).long())
    (through,) = torch.autograd.grad(chosen.sum(), x)
    smooth = book.project_out(bounded / (levels // 2))
    (expected,) = torch.autograd.grad(smooth.sum(), x)
    torch.testing.assert_close(through, expected)


def test_learned_code_book_gets_the_codebook_loss_and_no_other_gradient():
    head = model_of({**LEARNED, "commitment": 0.5}, training=True).posterior
    x = vectors().requires_grad_()
    parameter = head.books[0]._codebook.embed
    before = parameter.detach().clone()
    chosen, index, penalty = head.quantise(0, x)
    assert torch.equal(parameter, before), "no running mean moves it"
    codes = before[0][index]
    torch.testing.assert_close(penalty, 1.5 * (x - codes).square().sum((1, 2)))
    for_x, for_book = torch.autograd.grad(penalty.sum(), (x, parameter), retain_graph=True)
    torch.testing.assert_close(for_x, (2 * 0.5 * (x - codes)).detach())
    expected = torch.zeros_like(before[0]).index_add_(0, index.flatten(), 2 * (codes - x).detach().flatten(0, 1))
    torch.testing.assert_close(for_book[0], expected)
    through, none = torch.autograd.grad(chosen.sum(), (x, parameter), allow_unused=True)
    torch.testing.assert_close(through, torch.ones_like(x))
    assert none is None


def test_learned_code_book_is_trained_with_the_commitment_term():
    objective = {"kind": "elbo", "divergences": ["kl", "commitment"]}
    model, trained = model_and(objective, CODES, posterior=LEARNED)
    losses(trained, model, bits()).mean().backward()
    assert model.posterior.books[0]._codebook.embed.grad.abs().sum() > 0


def test_kmeans_starts_from_the_first_training_batch():
    """Neither the trial pass of the build nor an evaluation uses it up."""
    torch.manual_seed(1)
    posterior = {"kind": "vq", "initialisation": "kmeans", "threshold_dead": None}
    head = model_of(posterior).posterior
    assert torch.count_nonzero(head.codebook(0)) == 0
    centres = 10 * torch.randn(8, 4, dtype=torch.float64)
    x = centres[torch.arange(400) % 8].reshape(80, 5, 4) + 1e-3 * vectors(80)
    head.quantise(0, x)
    assert torch.count_nonzero(head.codebook(0)) == 0
    head.train()
    _, index, _ = head.quantise(0, x)
    # k-means may join two of the centres, but most are found
    found = torch.cdist(centres, head.codebook(0)).min(1).values < 0.1
    assert found.sum() >= 5
    assert index.unique().numel() >= 5


@pytest.mark.parametrize(
    ("posterior", "codes", "message"),
    [
        (FSQ, 9, r"posterior 'fsq' has the levels \[4, 2\], which make 8 codes, and prior 'uniform_codes' has 9"),
        (RVQ, 9, r"posterior 'residual_vq' makes C\^3 codes .* and prior 'uniform_codes' has 9.* say 8\."),
        ({**RVQ, "quantisers": 1}, 2**17, r"at most 65536, and prior 'uniform_codes' has 131072.* say 65536\."),
    ],
)
def test_a_number_of_codes_that_does_not_fit_is_refused_by_name(posterior: Any, codes: int, message: str):
    with pytest.raises(BuildError, match=message):
        model_of(posterior, codes)


def test_fsq_has_no_penalty_to_weigh():
    with pytest.raises(BuildError, match=r"divergence 'commitment' .* posterior 'fsq' has none"):
        model_and({"kind": "elbo", "divergences": ["commitment"]}, CODES, posterior=FSQ)


@pytest.mark.parametrize("levels", [[2, 5], [1]])
def test_too_few_levels_are_refused(levels: list[int]):
    with pytest.raises(ValidationError, match="at least 3 levels"):
        POSTERIORS["fsq"].config.model_validate({"kind": "fsq", "levels": levels})


@POSTERIOR
def test_autoregressive_prior_scores_the_codes_of_the_posterior(posterior: Any, codes: int):
    prior = {**AUTOREGRESSIVE, "codes": codes}
    model, _ = model_and(objective_of(posterior), CODES, posterior=posterior, prior=prior)
    model = model.double().eval()
    trace = model.infer(bits(dtype=torch.float64), 2)
    group = trace.groups[0]
    torch.testing.assert_close(trace.total_rate(), -group.log_p)
    torch.testing.assert_close(trace.log_weight, trace.log_px + group.log_p)
    with torch.no_grad():
        assert model.generate(3).zs[0].shape == (3, 4, 2, 2)


def test_rate_leaves_encoder_and_codes_alone():
    model, _ = model_and("elbo", CODES, prior=AUTOREGRESSIVE)
    model.infer(bits()).total_rate().mean().backward()
    with_gradient = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None}
    assert with_gradient == {"prior"}


def test_autoregressive_prior_learns_what_codes_follow_one_another():
    """Data of two patterns: the codes of one datum then carry log 2 nats, and not 4 log 8."""
    torch.manual_seed(0)
    model, objective = model_and("elbo", CODES, prior=AUTOREGRESSIVE)
    model.eval()  # the codes stay where they are
    patterns = bits(2).x
    batch = type(bits())(patterns.repeat(8, 1, 1, 1))
    optimiser = torch.optim.Adam(model.prior.parameters(), lr=0.02)
    for _ in range(150):
        optimiser.zero_grad()
        losses(objective, model, batch).mean().backward()
        optimiser.step()
    distinct = model.infer(batch).groups[0].q.index.flatten(2)[0].unique(dim=0)
    expected = math.log(len(distinct))
    assert model.infer(batch).total_rate().mean().item() == pytest.approx(expected, abs=0.1)
    drawn = model.posterior.find(0, model.generate(50).zs[0]).flatten(1)
    hits = (drawn.unsqueeze(1) == distinct).all(2).any(1)
    assert hits.float().mean() > 0.9


def test_learned_codes_without_the_term_that_trains_them_are_refused():
    terms = {"kind": "elbo", "divergences": []}
    with pytest.raises(BuildError) as caught:
        model_and(terms, CODES, posterior=LEARNED)
    for word in ("posterior 'vq'", "objective 'elbo'", "divergence 'commitment'", '"ema"'):
        assert word in str(caught.value)
    model_and(terms, CODES, posterior="vq")  # running means need no loss
    model, objective = model_and({"kind": "elbo", "divergences": ["commitment"]}, CODES, posterior=LEARNED)
    losses(objective, model, bits()).mean().backward()
    assert model.posterior.books[0]._codebook.embed.grad.abs().sum() > 0


def test_learned_codes_inside_a_product_are_refused_too():
    prior = {"kind": "product", "parts": [CODES["prior"], {"kind": "standard_normal", "dim": 3}]}
    posterior = {"kind": "product", "parts": [LEARNED, "diagonal_normal"]}
    axes = {"prior": prior, "posterior": posterior, "encoder": "mlp", "decoder": "mlp"}
    with pytest.raises(BuildError, match=r"posterior 'product'.*only the penalty of its draws trains"):
        model_and({"kind": "elbo", "divergences": []}, CODES, **axes)
