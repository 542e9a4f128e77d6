"""What the pages show works: Python runs, experiments validate, commands parse, links lead somewhere."""

from __future__ import annotations

import importlib
import json
import posixpath
import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import typer.main

from docs.blocks import DOCS, PAGES, ROOT, WRITTEN, Block, blocks, name_of
from vaelab.cli import app
from vaelab.config import parse_experiment

#: Pages that exist in the built documentation only.
GENERATED = ("results.md", "gallery.md", "studies.md", "papers.md", "leaderboard.md")
RUNNABLE = [page for page in PAGES if blocks(page, "python")]
EXPERIMENTS = [block for page in PAGES for block in blocks(page, "json") if "model" in json.loads(block.text)]
COMMANDS = [
    pytest.param(block, line, id=f"{block}: {line}")
    for page in PAGES
    for block in blocks(page, "bash")
    for line in block.text.splitlines()
    if "vaelab " in line and "pip install -e . &&" not in line
]


def test_the_pages_hold_blocks():
    """Were the fences written in another way, all tests below would have nothing to do."""
    assert len(RUNNABLE) >= 6
    assert len(EXPERIMENTS) >= 6
    assert len(COMMANDS) >= 25


def _write_files(page: Path) -> None:
    for block in blocks(page, "python", "json"):
        if block.title and "/" not in block.title:
            Path(block.title).write_text(block.text)


@pytest.mark.parametrize("page", RUNNABLE, ids=name_of)
def test_python_of_a_page_runs(page: Path, workplace: Path):
    _write_files(page)
    importlib.invalidate_caches()
    namespace: dict[str, Any] = {"__name__": "docs_" + re.sub(r"\W", "_", name_of(page))}
    for block in blocks(page, "python"):
        if block.title:  # a file is imported, as a reader would import it
            importlib.import_module(block.title.removesuffix(".py"))
        else:
            # blank lines in front, so that a traceback names the line of the page
            text = "\n" * (block.line - 1) + block.text
            exec(compile(text, str(page), "exec", dont_inherit=True), namespace)


@pytest.mark.parametrize("block", EXPERIMENTS, ids=str)
def test_experiment_in_a_page_validates(block: Block, workplace: Path):
    _write_files(block.page)
    importlib.invalidate_caches()
    experiment = parse_experiment(json.loads(block.text), str(block))
    assert experiment.to_json()
    if block.title and block.title.startswith("experiments/"):
        assert json.loads(block.text) == json.loads((ROOT / block.title).read_text())


def test_notebook_in_the_tutorial_is_the_experiment():
    shown = [json.loads(block.text) for block in EXPERIMENTS if block.page.name == "one-vae-twice.md"]
    notebook = next(content for content in shown if content["name"] == "notebook")
    stored = json.loads((ROOT / "experiments" / "notebook.json").read_text())
    assert notebook["model"] == stored["model"]
    assert notebook["objective"] == stored["objective"]
    assert notebook["training"] == stored["training"]


@pytest.mark.parametrize(("block", "line"), COMMANDS)
def test_command_parses(block: Block, line: str):
    _parse(line)


def _parse(line: str) -> None:
    words = shlex.split(line.split("&&")[-1])
    while "=" in words[0]:  # variables of the environment
        words.pop(0)
    if words[0] == "torchrun":  # which runs python
        words = ["python", *words[words.index("-m") :]]
    assert words[:3] == ["python", "-m", "vaelab"], f"commands are shown as 'python -m vaelab': {line}"
    group = typer.main.get_command(app)
    name, arguments = words[3], words[4:]
    command = group.get_command(group.make_context("vaelab", [], resilient_parsing=True), name)
    assert command is not None, f"no command '{name}': {line}"
    # parses options and arguments and refuses unknown ones; invokes nothing
    command.make_context(name, list(arguments))
    for experiment in re.findall(r"experiments/\w+\.json", line):
        assert (ROOT / experiment).is_file(), line


@pytest.mark.parametrize("line", ["python -m vaelab fly", "python -m vaelab run x.json --epochs 3"])
def test_wrong_command_is_found(line: str):
    with pytest.raises((AssertionError, click.ClickException, Exception), match=r"no command|[Nn]o such option"):
        _parse(line)


def _anchor(title: str) -> str:
    return re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", title.replace("`", "")).strip().lower())


@pytest.mark.parametrize("page", WRITTEN, ids=name_of)
def test_links_lead_somewhere(page: Path):
    from vaelab.registry import FAMILIES

    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith("http"):
            continue
        linked, _, anchor = target.partition("#")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(name_of(page)), linked)) if linked else name_of(page)
        if path.startswith("components/"):
            family = path.removeprefix("components/").removesuffix(".md")
            assert family == "index" or family in FAMILIES, target
            assert not anchor or anchor in FAMILIES[family], target
        elif path not in GENERATED:
            assert (DOCS / path).is_file(), target
            titles = re.findall(r"^#+ (.*)$", (DOCS / path).read_text(), re.M) if anchor else []
            assert not anchor or anchor in map(_anchor, titles), target


def test_experiments_that_the_pages_name_exist_and_all_are_listed():
    stored = {path.name for path in (ROOT / "experiments").glob("*.json")}
    named = set(re.findall(r"`(?:experiments/)?(\w+\.json)`", (DOCS / "limits.md").read_text()))
    assert named
    assert named <= stored
    readme = (ROOT / "README.md").read_text()
    assert not [name for name in stored if name not in readme]


def test_readme_gives_the_two_commands_as_they_are():
    lines = [line for block in blocks(ROOT / "README.md", "bash") for line in block.text.splitlines()]
    assert "pip install -e . && python -m vaelab run experiments/baseline.json" in lines
    assert "pip install -e '.[dev]' && pytest" in lines
    assert len((ROOT / "README.md").read_text().splitlines()) < 120


def test_exit_codes_in_the_docs_are_those_of_the_classes():
    from vaelab import errors

    text = (DOCS / "errors.md").read_text()
    rows = re.findall(r"^\| (\d+) \| `(\w+)`", text, re.M)
    documented = {name: int(code) for code, name in rows}
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, errors.VaelabError):
            assert documented[name] == value.exit_code, name


def test_the_french_page_shows_what_the_english_one_does():
    english, french = DOCS / "getting-started.md", DOCS / "fr" / "getting-started.md"

    def shown(page: Path) -> tuple[list[str], set[str]]:
        commands = [line for block in blocks(page, "bash") for line in block.text.splitlines() if "path/to" not in line]
        return [line for line in commands if "chemin" not in line], set(
            re.findall(r"^\| (`[^|]+) \|", page.read_text(), re.M)
        )

    assert shown(english) == shown(french)
