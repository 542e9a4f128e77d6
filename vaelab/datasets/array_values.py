"""Whether the numbers of an array are what they are said to be."""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from vaelab.datasets.array_files import Number
from vaelab.errors import DataError
from vaelab.types import Values

_log = logging.getLogger("vaelab")


def checked_values(
    x: Tensor, number: Number, values: Values, where: str, missing: Tensor | None
) -> tuple[Tensor, float]:
    """The numbers in the form in which they are kept, and the number that stands for 1.

    Args:
        x: `[N, ...]`, as `array_files.read` gives them.
        number: what they were in the file.
        values: what they are to be.
        where: they come from, for messages.
        missing: True where a number is missing and not checked, or None.

    Raises:
        DataError: they are not finite, or outside the range that `values` promises.
    """
    if missing is not None:
        x = x.masked_fill(missing, 0.0)
    if x.is_floating_point() and not bool(x.isfinite().all()):
        first = int((~x.isfinite()).flatten(1).any(dim=1).nonzero()[0])
        remedy = (
            ". Remove or replace those data"
            if missing is not None
            else '. If NaN marks what was not observed, set "missing": true'
        )
        raise DataError(f"{where} holds numbers that are not finite (as float32), the first in datum {first}{remedy}")
    if values == "real":
        return x.to(torch.float32), 1.0
    low, high = float(x.min()), float(x.max())
    if values == "binary":
        if not bool(((x == 0) | (x == 1)).all()):
            raise DataError(
                f"{where} was declared binary and holds numbers other than 0 and 1 ({low:g} to {high:g}). "
                'Set "values" to what they are.'
            )
        return x.to(torch.uint8), 1.0
    if number == "bool":
        return x, 1.0
    if number == "uint8":
        if high <= 1:
            _log.warning(
                "%s holds bytes of 0 and 1 only, which are taken for the two darkest of 256 grey levels. "
                'Set "values": "binary" if they are bits.',
                where,
            )
        return x, 255.0
    if low < 0 or high > 1:
        raise DataError(
            f"{where} holds numbers from {low:g} to {high:g}; grey levels lie in [0, 1]. Scale them, store "
            'bytes, or set "values": "real".'
        )
    return x.to(torch.float32), 1.0
