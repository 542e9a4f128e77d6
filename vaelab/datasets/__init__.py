"""Data sets: where the data come from, how they are split and binarised."""

from vaelab.datasets.base import Dataset, DatasetConfig

__all__ = ["Dataset", "DatasetConfig"]
