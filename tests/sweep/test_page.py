"""The sweeps that the documentation shows are valid, and its tables hold every key."""

from __future__ import annotations

import json
import re

import pytest

from docs.blocks import DOCS, ROOT, Block, blocks
from vaelab.sweep import Dimension, Pruning, Sweep, parse_sweep
from vaelab.sweep.check import check_sweep

PAGE = DOCS / "sweeps.md"
SWEEPS = blocks(PAGE, "json")


@pytest.mark.parametrize("block", SWEEPS, ids=str)
def test_sweep_in_the_page_can_run(block: Block):
    content = json.loads(block.text)
    assert block.title == f"{content['name']}.json"
    sweep = parse_sweep(content, str(block), ROOT)
    # on data that are read in no time
    small = {**content["set"], "data": {"kind": "digits", "validation": 50}, "data.validation": 50}
    assert check_sweep(sweep.model_copy(update={"set": small}), str(block)) == "lower"


def test_tables_hold_every_key():
    text = PAGE.read_text()
    for section in (Sweep, Pruning):
        for key in section.model_fields:
            assert key == "schema_url" or f"\n| `{key}` |" in text, key
    for key in Dimension.model_fields:
        assert f"`{key}`" in text, key
    for key, default in re.findall(r"\n\| `(\w+)` \| `(.+?)` \|", text):
        field = {**Pruning.model_fields, **Sweep.model_fields}[key]
        value = json.loads(default)
        assert field.get_default(call_default_factory=True) == (tuple(value) if isinstance(value, list) else value), key
