"""Files that are cut off, flipped, spliced or of another kind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

#: Beginnings of other kinds of file, a pickle among them, and numbers that make headers promise too much.
SPLICES = [
    b"\x80\x04\x95", b"cos\nsystem\n(S'true'\ntR.", b"PK\x03\x04", b"\x1f\x8b\x08", b"\x89PNG\r\n\x1a\n", b"\x93NUMPY\x01\x00", b"BZh9",
    b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x00" * 8, b"\xff" * 8, b"NaN", b"null", b"{}", b"[]", b"-1", b"1e999",
    b"\xed\xa0\x80", b"\n", b"'", b'"',
]  # fmt: skip


@st.composite
def damaged(draw: DrawFn, content: bytes) -> bytes:
    """A content with one or two things wrong, most often near its beginning or its end, where headers are."""
    for _ in range(draw(st.sampled_from([1, 1, 2]))):
        where = draw(st.sampled_from(["start", "end", "anywhere"]))
        last = len(content)
        low, high = {"start": (0, min(last, 200)), "end": (max(0, last - 200), last), "anywhere": (0, last)}[where]
        at = draw(st.integers(low, high))
        how = draw(
            st.sampled_from(
                ["cut", "flip", "flip", "flip", "splice", "splice", "insert", "append", "double", "empty", "other"]
            )
        )
        if how == "cut":
            content = content[:at]
        elif how == "flip":
            content = content[:at] + bytes([draw(st.integers(0, 255))]) + content[at + 1 :]
        elif how == "splice":
            piece = draw(st.sampled_from(SPLICES))
            content = content[:at] + piece + content[at + len(piece) :]
        elif how == "insert":
            content = content[:at] + draw(st.binary(max_size=9)) + content[at:]
        elif how == "append":
            content += draw(st.sampled_from(SPLICES))
        elif how == "double":
            content += content
        elif how == "empty":
            content = b""
        else:
            content = draw(st.sampled_from(SPLICES)) * 20
    return content


@st.composite
def damaged_folder(draw: DrawFn, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Files by their names, of which one is damaged, missing, or takes the place of another."""
    changed = dict(files)
    name = draw(st.sampled_from(sorted(files)))
    how = draw(st.sampled_from(["damage"] * 8 + ["remove", "swap"]))
    if how == "damage":
        changed[name] = draw(damaged(files[name]))
    elif how == "remove":
        del changed[name]
    else:
        changed[name] = files[draw(st.sampled_from(sorted(files)))]
    return changed


def write(files: Mapping[str, bytes], folder: Path) -> None:
    """Put files into an empty folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
