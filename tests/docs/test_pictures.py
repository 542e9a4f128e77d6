"""Every kind has a picture on its page, or a reason why not; stored ones are small, described and still wanted."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

from docs.blocks import DOCS
from vaelab.registry import FAMILIES

pytest.importorskip("latex2mathml", reason="the documentation's extra is not installed")

OWN = [
    (family, entry) for family, registry in FAMILIES.items() for entry in registry if entry.module.startswith("vaelab.")
]
PICTURES = sorted((DOCS / "pictures").rglob("*.png"))


@pytest.fixture(scope="module")
def pages() -> dict[str, Any]:
    return runpy.run_path(str(DOCS / "gen_pages.py"), run_name="gen_pages")


@pytest.fixture(scope="module")
def undrawn() -> dict[str, Any]:
    return runpy.run_path(str(DOCS / "drawing" / "undrawn.py"))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_kind_has_a_picture_or_a_reason(family: str, pages: dict[str, Any], undrawn: dict[str, Any]):
    entries = [entry for name, entry in OWN if name == family]
    missing = [e.kind for e in entries if not pages["drawing"](family, e) and not undrawn["reason"](family, e.kind)]
    assert missing == [], f"draw them: python docs/draw_pictures.py {family} {' '.join(missing)}"


def test_reasons_are_for_kinds_that_have_no_picture(undrawn: dict[str, Any]):
    for key in undrawn["REASONS"]:
        family, kind = key if isinstance(key, tuple) else (key, None)
        assert family in FAMILIES
        assert kind is None or kind in FAMILIES[family]
        assert not (DOCS / "pictures" / family / f"{kind}.png").exists()


def test_stored_pictures_are_small_and_each_belongs_to_a_kind(pages: dict[str, Any]):
    sizes = {path: path.stat().st_size for path in PICTURES}
    assert not {path.name: size for path, size in sizes.items() if size > 30_000}
    assert sum(sizes.values()) < 2_500_000
    strangers = [str(path) for path in PICTURES if path.stem not in FAMILIES[path.parent.name]]
    assert strangers == [], "no component has this name; remove the picture"
    words = [pages["described"](path.parent.name, path.stem)[1] for path in PICTURES]
    assert all(len(text.split()) >= 8 and text.endswith(".") for text in words)


def test_formulas_in_descriptions_become_mathml(pages: dict[str, Any]):
    from vaelab.report.mathematics import mathml

    for path in PICTURES:
        for formula in re.findall(r"\$([^$]+)\$", pages["described"](path.parent.name, path.stem)[1]):
            assert "<math" in mathml(formula, block=False), path


def test_layers_are_those_of_the_module(pages: dict[str, Any]):
    text = pages["drawing"]("encoder", FAMILIES["encoder"]["mlp"])
    assert "linear" in text
    assert f"{784 * 200 + 200:,} in all" in text
    text = pages["drawing"]("decoder", FAMILIES["decoder"]["conv"])
    assert "transposed convolution 3×3, stride 2" in text
    assert "1 × 28 × 28" in text


def test_layers_that_repeat_are_counted_once(pages: dict[str, Any]):
    layers = sys.modules["layers"]
    a, b, c = (layers.Layer(name, (3,), 7) for name in "abc")
    assert layers._repeated([a, b, c, b, c, b, c, a]) == [(1, a), (3, b), (3, c), (1, a)]


def test_a_picture_is_drawn_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    script = runpy.run_path(str(DOCS / "draw_pictures.py"), run_name="draw_pictures")
    monkeypatch.setitem(script["main"].__globals__, "PICTURES", tmp_path)
    script["main"]("likelihood", "normal", "beta")
    assert sorted(path.name for path in (tmp_path / "likelihood").iterdir()) == ["beta.png", "normal.png"]
    assert (tmp_path / "likelihood" / "normal.png").stat().st_size < 15_000
