"""Prints the relative differences that the comparison with pythae measures: `python tests/parity/table.py`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest


class _Rows:
    """A plugin that keeps what the tests recorded."""

    def __init__(self) -> None:
        self.rows: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            name = report.nodeid.split("::")[-1]
            self.rows += [f"| {name} | {what} | {difference:.1e} |" for what, difference in report.user_properties]


def main() -> int:
    rows = _Rows()
    status = pytest.main([str(Path(__file__).parent), "-m", "pythae"], plugins=[rows])
    print("\n| test | what | relative difference |\n| --- | --- | --- |", *rows.rows, sep="\n")
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
