"""Options, the table of ratios, and what of pytest-benchmark's JSON is kept."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from contest import GOALS, Figures


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--images", type=int, default=60_000, help="images of an epoch beside the loops written by hand")
    parser.addoption("--rounds", type=int, default=3, help="measurements of each, of which the least counts")
    parser.addoption("--compile", action="store_true", help="measure torch.compile too, which takes minutes")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture
def images(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--images"))


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--rounds"))


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """vaelab beside the others, and beside the goal where there is one."""
    if not Figures.all:
        return
    write = terminalreporter.write_line
    write("")
    write(f"{'benchmark':<28}{'beside':<24}{'seconds':>9}{'vaelab':>9}{'ratio':>8}{'goal':>8}")
    for figures in Figures.all:
        for name, seconds in figures.others.items():
            goal = GOALS.get((figures.name, name))
            write(
                f"{figures.name:<28}{name:<24}{seconds:9.3f}{figures.own:9.3f}{figures.own / seconds:8.2f}"
                + (f"{goal:8.2f}{'' if figures.own / seconds <= goal else '  missed'}" if goal else "")
            )


def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    machine_info.pop("node", None)
    machine_info["torch"] = torch.__version__


def pytest_benchmark_update_json(output_json: dict[str, Any]) -> None:
    for key in ("commit_info", "datetime"):
        output_json.pop(key, None)
    for each in output_json["benchmarks"]:
        each.pop("options", None)
        each["stats"] = {key: each["stats"][key] for key in ("min", "median", "mean", "stddev", "rounds")}
