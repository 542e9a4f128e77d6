"""Health: what goes wrong in a training, in words, with numbers, a likely cause and a remedy."""

from vaelab.health.diagnosis import diagnose
from vaelab.health.finding import Finding
from vaelab.health.monitor import Monitor

__all__ = ["Finding", "Monitor", "diagnose"]
