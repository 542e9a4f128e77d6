"""What the scores share: checked arrays, mutual information, the gap between the two best codes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaelab.errors import DataError

Array = NDArray[Any]


def checked(codes: Array, factors: Array, least_codes: int = 1, least_factors: int = 1) -> tuple[Array, Array]:
    """The arrays as float64 `[N, D]` and int64 `[N, F]`.

    Raises:
        DataError: they do not fit, there are too few codes or factors, a number is not finite, or a factor takes one value only.
    """
    codes, factors = np.asarray(codes, np.float64), np.asarray(factors)
    if codes.ndim != 2 or factors.ndim != 2 or len(codes) != len(factors):
        raise DataError(
            f"disentanglement scores take codes [N, D] and factors [N, F], not arrays of the shapes {codes.shape} and "
            f"{factors.shape}"
        )
    if codes.shape[1] < least_codes:
        raise DataError(f"this score compares {least_codes} codes or more, and there are {codes.shape[1]}")
    if factors.shape[1] < least_factors:
        raise DataError(f"this score compares {least_factors} factors or more, and there are {factors.shape[1]}")
    if not np.isfinite(codes).all():
        raise DataError("some of the codes are NaN or infinite")
    if not len(factors) or bool((factors == factors[:1]).all(0).any()):
        raise DataError("a factor takes one value only in these data; leave it out, or use more data")
    return codes, factors.astype(np.int64)


def halves(number: int) -> tuple[slice, slice]:
    """The first two thirds of the data to learn from, the others to test on."""
    first = number - number // 3
    return slice(0, first), slice(first, number)


def discretised(codes: Array, bins: int) -> Array:
    """The number of each code's bin `[N, D]`; the bins are of equal width from its lowest to its highest value."""
    return np.stack([np.digitize(code, np.histogram_bin_edges(code, bins)[1:-1]) for code in codes.T], 1)


def mutual_information(discrete: Array, factors: Array) -> Array:
    """The plug-in estimate of the mutual information of each code with each factor `[D, F]`, in nats."""
    from sklearn.metrics import mutual_info_score

    return np.array([[mutual_info_score(factor, code) for factor in factors.T] for code in discrete.T])


def information(joint: Array) -> float:
    """The mutual information of the rows and columns of a table of weights, in nats."""
    # scikit-learn's function takes counts alone
    joint = joint / joint.sum()
    some = joint > 0
    independent = joint.sum(1, keepdims=True) * joint.sum(0)
    return float((joint[some] * np.log(joint[some] / independent[some])).sum())


def entropies(factors: Array) -> Array:
    """The plug-in estimate of each factor's entropy `[F]`, in nats."""
    shares = [np.unique(factor, return_counts=True)[1] / len(factor) for factor in factors.T]
    return np.array([-(share * np.log(share)).sum() for share in shares])


def top_two_gap(scores: Array) -> Array:
    """For each factor how far the best code is ahead of the second, `[F]` of `[D, F]`."""
    ordered = np.sort(scores, axis=0)
    gap: Array = ordered[-1] - ordered[-2]
    return gap
