"""The fenced blocks of the documentation."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
#: Folders of docs/ that hold no pages: what generated pages are made of, and packages with tests of their own.
_NO_PAGES = ("results", "gallery", "examples")
WRITTEN = sorted(page for page in DOCS.rglob("*.md") if page.relative_to(DOCS).parts[0] not in _NO_PAGES)
PAGES = [ROOT / "README.md", *WRITTEN]


def name_of(page: Path) -> str:
    """The page below `docs/`, which is unique where file names are not: `fr/getting-started.md`."""
    return page.relative_to(DOCS).as_posix() if page.is_relative_to(DOCS) else page.name


_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w+)(?P<info>[^\n]*)\n(?P<text>.*?)^(?P=indent)```$", re.S | re.M)
_TITLE = re.compile(r'title="([^"]+)"')


@dataclass(frozen=True)
class Block:
    """One fenced block; `title` is the name of the file that it shows, or None."""

    page: Path
    line: int
    language: str
    title: str | None
    text: str

    def __str__(self) -> str:
        return f"{name_of(self.page)}:{self.line}"


def blocks(page: Path, *languages: str) -> list[Block]:
    """The blocks of a page in these languages, in their order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        if match["language"] in languages:
            title = _TITLE.search(match["info"])
            line = text.count("\n", 0, match.start()) + 2
            found.append(
                Block(page, line, match["language"], title[1] if title else None, textwrap.dedent(match["text"]))
            )
    return found
