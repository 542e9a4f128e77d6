"""A run behind the explorer's server."""

from explorer.conftest import served, trained

__all__ = ["served", "trained"]
