"""Copy finished runs into docs/results, without what tells of the machine: `python docs/add_result.py RUN...`."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results")
PAPERS = RESULTS.parents[1] / "experiments" / "papers"


def copy(run: Path, target: Path, *, figures: bool = True) -> Path:
    """Copy a finished run to `target`, replacing what is there; without weights and checkpoints."""
    manifest = manifest_of(run)
    if manifest["status"] != "finished":
        raise SystemExit(f"{run}: its status is {manifest['status']}, and only a finished run is a result")
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    if figures:
        shutil.copytree(run / "figures", target / "figures")
    for name in ("config.json", "metrics.jsonl"):
        shutil.copy(run / name, target / name)
    for name in ("manifest.json", "evaluation.json"):
        content = without_places(json.loads((run / name).read_text()))
        (target / name).write_text(json.dumps(content, indent=2) + "\n")
    return target


def manifest_of(run: Path) -> dict[str, Any]:
    """What the run says of itself."""
    try:
        manifest: dict[str, Any] = json.loads((run / "manifest.json").read_text())
    except (OSError, ValueError) as error:
        raise SystemExit(
            f"{run}: no directory of a run ({error}). Give one, such as runs/baseline/20260101-120000-1a2b3c."
        ) from error
    return manifest


def without_places(content: Any) -> Any:
    """The content without folders of the machine."""
    if isinstance(content, dict):
        return {key: without_places(value) for key, value in content.items() if key not in ("root", "platform")}
    return [without_places(value) for value in content] if isinstance(content, list) else content


def place(name: str) -> Path:
    """Where the run of an experiment is stored: those of papers by paper."""
    papers = [path.parent.name for path in PAPERS.glob(f"*/{name}.json")]
    return RESULTS.joinpath(*(("papers", papers[0]) if papers else ()), name)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        run = Path(argument)
        print(copy(run, place(manifest_of(run)["name"])))
