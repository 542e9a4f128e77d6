"""Kinds that have no picture, and why."""

from __future__ import annotations

_FILES = "its files are not part of the repository, and its licence or size speaks against a copy of some pictures"
_OWN = "what it shows are the user's own data"
#: By (family, kind), or by family where no kind has one.
REASONS: dict[tuple[str, str] | str, str] = {
    "tracker": "it computes nothing that could be drawn",
    "encoder": "the page draws its layers when it is built",
    "decoder": "the page draws its layers when it is built",
    "schedule": "the page draws its curve when it is built",
    **{
        ("dataset", kind): _FILES
        for kind in ("cifar10", "dsprites", "fashion_mnist", "kmnist", "omniglot", "shapes3d", "smallnorb")
    },
    **{("dataset", kind): _OWN for kind in ("arrays", "huggingface", "image_folder", "table")},
    ("extractor", "inception"): "its weights, 92 MB, are not part of the repository",
}


def reason(family: str, kind: str) -> str | None:
    """Why a kind has no stored picture; None where it has one."""
    return REASONS.get(family) or REASONS.get((family, kind))
