"""Findings while a model trains."""

from __future__ import annotations

import logging
from typing import Any

from vaelab.health.finding import Finding
from vaelab.health.latents import of_latents
from vaelab.health.probe import Probe
from vaelab.health.rules import Rules
from vaelab.health.weights import Movement, Sizes
from vaelab.lines import LineWriter, keep_until
from vaelab.model import VAE
from vaelab.runs import RunDirectory
from vaelab.types import DataSplits

Line = dict[str, Any]

_log = logging.getLogger(__name__)


class Monitor:
    """Looks at each line of a training and tells what is new in it.

    Nothing happens between two lines. Probes and findings go to health.jsonl, from which the report and `watch` take them.

    Args:
        directory: of the run; what health.jsonl holds of later steps is dropped.
        model: as it is at `step`.
        data: of the run.
        seed: of the probes' draws.
        batch: data a step.
        step: steps done before.
        total_steps: of the training.
    """

    def __init__(
        self,
        directory: RunDirectory,
        model: VAE,
        data: DataSplits,
        *,
        seed: int,
        batch: int,
        step: int,
        total_steps: int,
    ) -> None:
        self._file = directory.health
        keep_until(self._file, step)
        self._rules = Rules()
        self._rules.look(directory.history())
        recorded = directory.health_lines()
        self._probes = [line for line in recorded if line["split"] == "probe"]
        self._known = {Finding.from_json(line["finding"]).key for line in recorded if line["split"] == "finding"}
        last = max((line["step"] for line in self._probes), default=0)
        self._probe: Probe | None = Probe(model, data, seed, batch, total_steps, last)
        # how far weights move at first says something, how far they move later does not
        self._movement = Movement(model) if step == 0 else None
        self._sizes = Sizes(model)

    def line(self, line: Line) -> list[Finding]:
        """What is new with this line of metrics.jsonl."""
        self._rules.look([line])
        found = self._rules.findings()
        if line["split"] == "train":
            found += self._movement.look(line) if self._movement else []
            found += self._sizes.look(line)
            if self._take_probe(line):
                # what a unit never did is known at the end
                found += [finding for finding in of_latents(self._probes) if finding.kind == "unit_collapsing"]
        new = [finding for finding in found if finding.key not in self._known and finding.until is None]
        for finding in new:
            self._known.add(finding.key)
            self._write({"split": "finding", "step": line["step"], "finding": finding.to_json()})
        return new

    def _take_probe(self, line: Line) -> bool:
        try:
            probe = self._probe and self._probe.line(line["step"], line["epoch"])
        except Exception as error:  # nobody asked for the probe, and the training goes on without it
            _log.warning("latents are not watched: %s: %s", type(error).__name__, error)
            self._probe = None
            return False
        if not probe:
            return False
        self._probes.append(probe)
        self._write(probe)
        return True

    def _write(self, content: Line) -> None:
        with LineWriter(self._file) as file:
            file.append(content)
