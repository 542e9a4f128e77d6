"""What the process that workers are forked from imports, once for all of them: it takes seconds."""

from __future__ import annotations

import sklearn.datasets  # noqa: F401

import sweep.workers  # noqa: F401
import vaelab.cli
import vaelab.sweep  # noqa: F401
from vaelab.registry import FAMILIES

for _registry in FAMILIES.values():
    len(_registry)
