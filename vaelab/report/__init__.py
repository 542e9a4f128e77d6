"""Report: all of a run, or of several, on one page that stands for itself."""

from vaelab.report.make import map_latents, report
from vaelab.report.page import write_report

__all__ = ["map_latents", "report", "write_report"]
