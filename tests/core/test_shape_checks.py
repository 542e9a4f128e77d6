"""The shapes in signatures are enforced under test; without these tests a broken hook would pass unnoticed."""

from __future__ import annotations

import pytest
import torch
from jaxtyping import TypeCheckError

from core.models import flat_model
from vaelab.types import Batch, StepContext


def test_a_wrong_dtype_is_refused_by_a_signature():
    model = flat_model()
    with pytest.raises(TypeCheckError):
        model.encode(torch.zeros(2, 1, 8, 8, dtype=torch.int64))


def test_an_override_keeps_the_shapes_of_its_base():
    model = flat_model()
    with pytest.raises(TypeCheckError):
        model.decoder.forward(torch.zeros(4))  # no [K, B] in front


def test_a_divergence_must_be_a_value_a_datum(monkeypatch):
    from vaelab.divergences.kl import KL, KLConfig
    from vaelab.types import BuildContext, DataSpec

    model = flat_model()
    term = KL(KLConfig(), BuildContext(DataSpec((1, 8, 8), "binary")))
    trace = model.infer(Batch(torch.rand(5, 1, 8, 8).round()), 2)
    assert term(trace, StepContext()).shape == (5,)
    trace._rates[0] = torch.zeros(2, 5, 3)
    with pytest.raises(TypeCheckError):
        term(trace, StepContext())
