"""What the comparisons with pythae share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from torch import Tensor

from parity.pairs import relative_difference

TOLERANCE = 1e-4


@pytest.fixture
def agree(record_property: Callable[[str, object], None]) -> Callable[[str, Tensor, Tensor], None]:
    """Asserts that two tensors agree, and records how well under a name, for `table.py`."""

    def check(what: str, ours: Tensor, theirs: Tensor) -> None:
        difference = relative_difference(ours, theirs)
        record_property(what, difference)
        assert difference < TOLERANCE, f"{what}: {ours} here, {theirs} in pythae"

    return check
