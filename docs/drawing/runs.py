"""Short runs on the small digits, of which pictures are drawn."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import vaelab

_MODEL: dict[str, Any] = {
    "encoder": {"kind": "mlp", "hidden": [128]},
    "posterior": "diagonal_normal",
    "prior": {"kind": "standard_normal", "dim": 2},
    "decoder": {"kind": "mlp", "hidden": [128]},
    "likelihood": "bernoulli",
}


@contextmanager
def trained(
    *,
    data: Mapping[str, Any] | None = None,
    model: Mapping[str, Any] | None = None,
    objective: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    figures: tuple[str, ...] = (),
) -> Iterator[vaelab.Run]:
    """A finished run, whose folder goes with the block; its model and data stay.

    Args:
        data: in place of the dynamically binarised digits.
        model: parts in place of those of a VAE with two latent numbers.
        objective: keys of the ELBO.
        training: keys in place of 60 epochs with batches of 64.
        figures: to be drawn.
    """
    content = {
        "name": "drawing",
        "data": data or {"kind": "digits", "binarisation": "dynamic"},
        "model": {**_MODEL, **(model or {})},
        "objective": {"kind": "elbo", **(objective or {})},
        "training": {
            "epochs": 60,
            "batch_size": 64,
            "optimiser": {"kind": "adam", "lr": 0.002},
            **(training or {}),
        },
        "evaluation": {"metrics": ["reconstruction"], "figures": list(figures)},
    }
    with tempfile.TemporaryDirectory() as folder:
        run = vaelab.train(content, folder, device="cpu")
        run.model.eval()
        assert run.data  # read before the folder goes
        yield run
