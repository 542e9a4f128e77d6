"""Data sets: where the data come from, how they are split and binarised."""

from vaelab.datasets.base import Dataset, DatasetConfig
from vaelab.datasets.download import Remote
from vaelab.datasets.locate import cached_file
from vaelab.datasets.memory import MemorySplit

__all__ = ["Dataset", "DatasetConfig", "MemorySplit", "Remote", "cached_file"]
