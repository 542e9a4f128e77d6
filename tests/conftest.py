"""What all tests share: shape checks, seeds and a tiny data set."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

# A test's matrices are tiny: threads cost more than they give, and the machine may be shared.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# shared modules lie beside the tests, and pytest's importlib mode puts no folder on the path
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import pytest
import torch
from hypothesis import settings
from jaxtyping import install_import_hook

import shape_checks

# before the first import of vaelab; see `shape_checks.checked` for why it is not beartype itself
install_import_hook("vaelab", f"{shape_checks.__name__}.checked")

from made_up import make_splits  # noqa: E402
from vaelab.types import DataSplits  # noqa: E402

torch.set_num_threads(1)
settings.register_profile("vaelab", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("vaelab")


@pytest.fixture(scope="session", autouse=True)
def _shapes_of_overrides() -> None:
    from vaelab.decoders import Decoder
    from vaelab.divergences import Adversary, Divergence
    from vaelab.encoders import Encoder
    from vaelab.registry import DECODERS, DIVERGENCES, ENCODERS

    for registry in (DECODERS, DIVERGENCES, ENCODERS):
        list(registry)  # imports the built-in components
    for base in (Encoder, Decoder, Divergence, Adversary):
        shape_checks.enforce_inherited(base)


@pytest.fixture(scope="session", autouse=True)
def _small_maps() -> None:
    """Reports are written by many runs; t-SNE of 1,000 data would take seconds of each."""
    from vaelab.report import latent_map

    latent_map.NUMBER = 24


@pytest.fixture(autouse=True)
def _seeded() -> None:
    # torch.manual_seed also notes the stack of its caller for devices that are not there, which takes milliseconds
    torch.default_generator.manual_seed(0)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(0)
    np.random.seed(0)


@pytest.fixture
def tiny_splits() -> Callable[..., DataSplits]:
    """Makes small splits in memory: `tiny_splits((1, 8, 8), "binary", 48)`."""
    return make_splits
