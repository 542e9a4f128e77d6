"""Data sets made of other data sets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vaelab.datasets.hashing import uniform
from vaelab.errors import BuildError, DataError
from vaelab.registry import DATASETS, ComponentConfig
from vaelab.types import Batch, DataSplits

SMALL: dict[str, Any] = {"kind": "digits", "train_limit": 300, "test_limit": 100, "validation": 20}


def build(**content: Any) -> Any:
    config: ComponentConfig = DATASETS[content["kind"]].config.model_validate({"data": SMALL, **content})
    return DATASETS.build(config)


def everything(split: Any, size: int = 64) -> list[Batch]:
    return list(split.batches(torch.arange(len(split)), size))


# hashing


def test_hashed_numbers_are_uniform_and_independent() -> None:
    draws = uniform(3, "train", torch.arange(400), 256).double()
    number = draws.numel()
    assert float(draws.min()) >= 0
    assert float(draws.max()) < 1
    assert abs(float(draws.mean()) - 0.5) < 5 / (12 * number) ** 0.5
    counts = torch.histc(draws, 64, 0, 1)
    chi_square = float(((counts - number / 64) ** 2 / (number / 64)).sum())
    assert abs(chi_square - 63) < 5 * (2 * 63) ** 0.5
    centred = draws - 0.5
    for shifted in (centred.roll(1, 0), centred.roll(1, 1), centred.roll(2, 1)):
        assert abs(float((centred * shifted).mean()) * 12) < 5 / number**0.5


def test_hashed_numbers_depend_on_seed_name_and_position_alone() -> None:
    index = torch.tensor([5, 2, 9])
    one = uniform(0, "train", index, 7)
    torch.testing.assert_close(one[1], uniform(0, "train", torch.tensor([2]), 7)[0], rtol=0, atol=0)
    assert not torch.equal(one, uniform(1, "train", index, 7))
    assert not torch.equal(one, uniform(0, "test", index, 7))


# incomplete


@pytest.mark.parametrize("mechanism", ["pixels", "block", "at_random"])
def test_incomplete_data_hide_what_they_say(mechanism: str) -> None:
    data: DataSplits = build(kind="incomplete", share=0.4, mechanism=mechanism).load()
    first, again = everything(data.train), everything(data.train, 50)
    x = torch.cat([batch.x for batch in first])
    observed = torch.cat([batch.observed for batch in first if batch.observed is not None])
    complete = torch.cat([batch.complete for batch in first if batch.complete is not None])
    assert torch.equal(x[observed], complete[observed])
    assert not bool(x[~observed].any())
    assert torch.equal(observed, torch.cat([batch.observed for batch in again if batch.observed is not None]))
    assert torch.equal(data.train.fetch(torch.tensor([7])).x[0], x[7])
    hidden = (~observed).double().flatten(1).mean(1)
    if mechanism == "pixels":
        assert abs(float(hidden.mean()) - 0.4) < 5 * (0.24 / observed.numel()) ** 0.5
    if mechanism == "block":
        assert torch.equal(hidden, hidden[:1].expand_as(hidden))
        assert float(hidden[0]) == pytest.approx(25 / 64)
        rows = (~observed).any(3)[0, 0].nonzero()[:, 0]
        assert int(rows.max() - rows.min()) + 1 == len(rows) == 5
    if mechanism == "at_random":
        assert bool(observed[:, :, :4].all())
        brightness = complete[:, :, :4].mean((1, 2, 3))
        expected = torch.sigmoid(torch.logit(torch.tensor(0.4)) + 4 * (brightness - 0.5)).double()
        error = (2 * hidden - expected).mean()
        assert abs(float(error)) < 5 * float((expected * (1 - expected)).mean() / (32 * len(hidden))) ** 0.5
        # a datum whose half is brighter loses more
        assert float(torch.corrcoef(torch.stack([brightness.double(), hidden]))[0, 1]) > 0.1


def test_the_bits_under_a_mask_are_those_of_the_wrapped_data() -> None:
    wrapped = {**SMALL, "binarisation": "static"}
    data = build(kind="incomplete", data=wrapped).load()
    plain = DATASETS.build(DATASETS["digits"].config.model_validate(wrapped)).load()
    one, other = data.test.fetch(torch.arange(9)), plain.test.fetch(torch.arange(9))
    assert torch.equal(one.complete, other.x)
    assert data.test.spec.masked
    assert data.provenance["changes"] == [{"kind": "incomplete", "share": 0.5, "mechanism": "pixels", "seed": 0}]


def test_a_block_needs_images(tmp_path: Path) -> None:
    np.savez(tmp_path / "table.npz", x=np.zeros((10, 3), np.float32))
    inner = {"kind": "arrays", "path": str(tmp_path / "table.npz")}
    with pytest.raises(BuildError, match="rectangle"):
        _ = build(kind="incomplete", mechanism="block", data=inner).spec


def test_masks_add_up(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((40, 6), dtype=np.float32)
    x[::2, 0] = np.nan
    np.savez(tmp_path / "table.npz", x=x)
    inner = {"kind": "arrays", "path": str(tmp_path / "table.npz"), "missing": True}
    batch = build(kind="incomplete", data=inner).load().train.fetch(torch.arange(20))
    alone = DATASETS.build(DATASETS["arrays"].config.model_validate(inner)).load().train.fetch(torch.arange(20))
    assert bool((batch.observed <= alone.observed).all())
    assert int(alone.observed.sum()) < alone.observed.numel()
    assert bool(batch.x.isfinite().all())


# missing numbers of arrays


def test_nan_marks_missing_numbers_only_when_asked(tmp_path: Path) -> None:
    x = np.full((30, 4), 0.25, np.float32)
    x[3, 1] = np.nan
    np.savez(tmp_path / "table.npz", x=x)
    content = {"kind": "arrays", "path": str(tmp_path / "table.npz"), "test_fraction": 0.2}
    config = DATASETS["arrays"].config
    with pytest.raises(DataError, match='"missing": true'):
        DATASETS.build(config.model_validate(content)).load()
    data = DATASETS.build(config.model_validate({**content, "missing": True})).load()
    batches = everything(data.train) + everything(data.test)
    hidden = sum(int((~batch.observed).sum()) for batch in batches if batch.observed is not None)
    assert hidden == 1
    assert all(bool(batch.x.isfinite().all()) for batch in batches)
    with pytest.raises(BuildError, match="missing"):
        _ = DATASETS.build(config.model_validate({**content, "missing": True, "binarisation": "static"})).spec


# few labels


def test_few_labels_hides_all_but_the_chosen() -> None:
    data: DataSplits = build(kind="few_labels", labels=30, labelled_batch=50).load()
    torch.manual_seed(0)
    batches = everything(data.train)
    assert all(batch.y is None for batch in batches)
    companions = [batch.companion for batch in batches if batch.companion is not None]
    assert [len(companion) for companion in companions] == [50] * len(batches)
    seen: dict[bytes, int] = {}
    for companion in companions:
        assert companion.y is not None
        for x, y in zip(companion.x, companion.y.tolist(), strict=True):
            seen[x.numpy().tobytes()] = y
    assert len(seen) <= 30
    counts = torch.bincount(torch.tensor(list(seen.values())), minlength=10)
    assert int(counts.max()) <= 3
    test = data.test.fetch(torch.arange(4))
    assert test.y is not None
    assert test.companion is None


def test_few_labels_says_what_is_wrong() -> None:
    with pytest.raises(BuildError, match="multiple of 10"):
        _ = build(kind="few_labels", labels=15).spec
    with pytest.raises(BuildError, match="condition"):
        _ = build(kind="few_labels", data={**SMALL, "condition": "label"}).spec
    with pytest.raises(DataError, match="Lower"):
        build(kind="few_labels", labels=1000).load()


# pairs


def labels_by_picture(split: Any) -> dict[bytes, int]:
    batch = split.fetch(torch.arange(len(split)))
    return {x.numpy().tobytes(): int(y) for x, y in zip(batch.x, batch.y, strict=True)}


def test_pairs_share_their_label_and_are_drawn_anew() -> None:
    data: DataSplits = build(kind="pairs").load()
    known = labels_by_picture(DATASETS.build(DATASETS["digits"].config.model_validate(SMALL)).load().train)
    torch.manual_seed(0)

    def halves() -> Iterator[tuple[Tensor, Tensor]]:
        for batch in everything(data.train):
            assert batch.companion is not None
            assert batch.y is None
            assert batch.companion.y is None
            yield from zip(batch.x, batch.companion.x, strict=True)

    pairs = [list(halves()), list(halves())]
    for one, two in pairs[0]:
        assert known[one.numpy().tobytes()] == known[two.numpy().tobytes()]
    assert any(not torch.equal(a[1], b[1]) for a, b in zip(*pairs, strict=True))
    # every other datum of the class can come
    assert len({two.numpy().tobytes() for _, two in pairs[0] + pairs[1]}) > 200


def test_wrapped_data_can_be_wrapped_again() -> None:
    data = build(kind="pairs", data={"kind": "incomplete", "data": SMALL}).load()
    batch = data.train.fetch(torch.arange(5))
    assert batch.observed is not None
    assert batch.companion is not None
    assert batch.companion.observed is not None
    assert [change["kind"] for change in data.provenance["changes"]] == ["incomplete", "pairs"]
