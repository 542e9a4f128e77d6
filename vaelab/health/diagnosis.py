"""All findings of a run, from what its directory holds."""

from __future__ import annotations

from typing import Any

from vaelab.health.evaluation import of_evaluation, of_manifest
from vaelab.health.finding import Finding
from vaelab.health.latents import of_latents
from vaelab.health.rules import while_training
from vaelab.health.training import at_the_end
from vaelab.reading import read_json
from vaelab.runs import RunDirectory


def diagnose(directory: RunDirectory) -> list[Finding]:
    """The worst and earliest first.

    Args:
        directory: of a run that is going, or that ended in any way.
    """
    lines, health, manifest = directory.history(), directory.health_lines(), directory.read_manifest()
    config: Any = read_json(directory.config)
    found = [Finding.from_json(line["finding"]) for line in health if line["split"] == "finding"]
    probes = [line for line in health if line["split"] == "probe"]
    found += while_training(lines + probes)
    if manifest.get("status") != "running":
        found += of_latents(probes or lines)
    if manifest.get("status") == "finished":
        found += at_the_end(lines)
    evaluation = directory.read_evaluation()
    if evaluation is not None:
        found += of_evaluation(evaluation["values"], _codes(config))
    found += of_manifest(manifest)
    # what the rules say of the whole history is newer than what was recorded on the way
    return sorted({finding.key: finding for finding in found}.values(), key=lambda finding: finding.rank)


def _codes(config: Any) -> int | None:
    codes = config.get("model", {}).get("prior", {}).get("codes")
    return codes if isinstance(codes, int) else None
