"""The tables of scikit-learn."""

from __future__ import annotations

import pytest
import torch

from vaelab.registry import DATASETS


@pytest.mark.parametrize("with_label", [False, True])
@pytest.mark.parametrize("table", ["iris", "wine", "breast_cancer", "diabetes"])
def test_tables_are_what_their_specification_says(table: str, with_label: bool) -> None:
    config = {"kind": "small_tables", "table": table, "with_label": with_label}
    dataset = DATASETS.build(DATASETS._validate(config))
    data = dataset.load()
    parts = [split.fetch(torch.arange(len(split))) for split in (data.train, data.test)]
    x = torch.cat([part.x for part in parts])
    assert x.shape[1:] == dataset.spec.shape
    number = dataset.spec.num_classes
    reals = x if number is None or not with_label else x[:, :-1]
    torch.testing.assert_close(reals.mean(0), torch.zeros(reals.shape[1]), atol=1e-4, rtol=0)
    torch.testing.assert_close(reals.std(0, correction=0), torch.ones(reals.shape[1]), atol=1e-4, rtol=0)
    if number is not None:
        y = torch.cat([part.y for part in parts if part.y is not None])
        assert sorted(set(y.tolist())) == list(range(number))
        assert not with_label or torch.equal(x[:, -1].long(), y)
