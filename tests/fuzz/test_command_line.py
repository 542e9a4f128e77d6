"""Mutated command lines: each does what it says, or is refused with one message, and then leaves no file behind."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest
import typer
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

import vaelab
from command_line import call
from fuzz.mutations import TEXTS
from fuzz.outcomes import budgets, judge, run_cases, soon
from fuzz.test_data_files import FOLDER
from fuzz.test_run_directories import EXPERIMENT, SWEEP
from vaelab import limits
from vaelab.cli import app

#: What keeps a valid line from minutes of work, by command.
CHEAP = {"run": ["--dry-run"], "sweep": ["--status"], "export": ["--part", "nothing"], "rerun": ["--device", "none"]}

#: Options that change the user's shell, or show tracebacks as they are asked to.
LEFT_OUT = {"--install-completion", "--show-completion", "--debug"}

#: What an argument or option takes, by its name; others are text.
GOOD = {
    "run": ["tiny", "runs/tiny"],
    "runs": ["tiny", "runs/tiny"],
    "resume": ["tiny"],
    "experiment": ["tiny.json"],
    "experiments": ["tiny.json", "plain.json"],
    "sweep": ["sweep.json"],
    "data": ["digits", "a.npz", "a.csv", "pictures", '{"kind": "digits"}', '{"kind": "arrays", "path": "a.npz"}'],
    "family": ["prior", "metric", "dataset"],
    "kind": ["vamp", "normal", "mig"],
    "name": ["mine"],
    "metric": ["negative_elbo", "mig", '{"kind": "importance_nll", "samples": 2}'],
    "set_": ["seed=3", "training.epochs=1", "components=2", "model.prior.dim=3", "data.validation=0"],
    "sampler": ["prior", "gmm", "normal"],
    "split": ["test", "validation", "train"],
    "digit": ["3"],
    "condition": ["3"],
    "temperature": ["0.7"],
    "weights": ["uniform", "fitted"],
    "size": ["small", "large"],
    "variant": ["vae", "vq", "hierarchical"],
    "device": ["cpu", "auto"],
    "package": ["my_package_of_mine"],
    "plugin": ["vaelab.priors.vamp"],
    "format_": ["onnx"],
    "part": ["encoder"],
    "out": ["written", "written.json"],
    "docs": ["https://example.org/vaelab"],
}

#: Where nothing can be written, and names that only look strange. Nothing leads out of the folder of the case.
PLACES = [
    "",
    ".",
    "tiny.json",
    "tiny.json/x",
    "/proc/x",
    "/dev/null/x",
    "x" * 300,
    "x/" * 2100,
    "💥",
    "\udcff",
    "-",
    "a b",
    "[x]",
    "\n",
]
NUMBERS = ["0", "-1", "1", "2", "3", "1e3", "0.5", "nan", "inf", "-inf", "1e-320", "1e400", "99999999999", str(2**63), "1" * 5000, "٣",
           "³", "0x10", "1_000", "", " ", "None"]  # fmt: skip
WORDS = [
    *(text for text in TEXTS if "/" not in text), "x/" * 2100, "~nobody-of-that-name/x", "\udcff", "tiny.json", "bad.json", "empty",
    "prior", "test", "all", "-1", "--", "-", "=", "a=", "=1", "seed=", "seed=NaN", "seed=" + "1" * 5000, "data=" + "[" * 3000,
    "name=\udcff", "model=1", "model.prior.dim=1000000000000", "name=../x", '{"kind": 3}', '{"kind": "digits", "kind": "mnist"}',
    '{"kind": "digits", "x": NaN}', "{" * 3000, '{"a":' * 3000, '{"kind": "arrays", "path": "a.npz\\u0000"}',
    '{"kind": "arrays", "path": "no.npz"}', "mnist", "cuda", "cuda:99", "meta", "cpu:-1", "٣", "1" * 5000, "class", "import",
    "__init__", "torch", "vaelab",
]  # fmt: skip


def _commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))
        yield (*path, name), command


COMMANDS = dict(_commands(typer.main.get_command(app)))


@st.composite
def lines(draw: DrawFn) -> list[str]:
    """A command with arguments and options, some of them wrong, missing, there twice or out of place."""
    path = draw(st.sampled_from(sorted(COMMANDS)))
    parameters = COMMANDS[path].params
    line = [*path, *CHEAP.get(path[0], [])]
    for argument in (parameter for parameter in parameters if isinstance(parameter, click.Argument)):
        for _ in range(draw(st.sampled_from([1, 1, 1, 1, 1, 0, 2]))):
            line.append(_value(draw, argument))
    options = [
        option for option in parameters if isinstance(option, click.Option) and not LEFT_OUT.intersection(option.opts)
    ]
    for option in draw(st.lists(st.sampled_from(options), max_size=3)) if options else []:
        name = draw(st.sampled_from(option.opts))
        if option.is_flag:
            line.append(name)
        else:
            value = _value(draw, option)
            line += [f"{name}={value}"] if draw(st.booleans()) else [name, value]
    for _ in range(draw(st.sampled_from([0, 0, 0, 0, 1, 2]))):
        _scramble(draw, line, fixed=len(path) + len(CHEAP.get(path[0], [])))
    return [word for word in line if "\0" not in word]  # which no process can be given


def _value(draw: DrawFn, parameter: click.Parameter) -> str:
    good = draw(st.sampled_from([True, True, True, False, False]))
    name = str(parameter.name)
    if name in GOOD and good:
        return draw(st.sampled_from(GOOD[name]))
    if isinstance(parameter.type, click.types.IntRange | click.types.IntParamType | click.types.FloatParamType):
        return draw(st.sampled_from(["2", "3"])) if good else draw(st.sampled_from(NUMBERS + WORDS[:20]))
    # what is written never goes out of the folder of the case
    strange = st.sampled_from(PLACES) if name in ("out", "package") else st.sampled_from(WORDS)
    return draw(st.one_of(strange, st.text(max_size=6).filter(lambda text: not {"/", "."} & set(text))))


def _scramble(draw: DrawFn, line: list[str], fixed: int) -> None:
    at = draw(st.integers(fixed, len(line)))
    how = draw(st.sampled_from(["insert", "insert", "remove", "double", "swap"]))
    if how == "insert" or at == len(line):
        line.insert(
            at,
            draw(
                st.sampled_from(["--", "--nope", "-x", "--num", "--set", "--help", "--json", "-q", "-v", *WORDS[:12]])
            ),
        )
    elif how == "remove":
        del line[at]
    elif how == "double":
        line.insert(at, line[at])
    else:
        line[at], line[-1] = line[-1], line[at]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name) / "place"
        (place / "pictures").mkdir(parents=True)
        (place / "empty").mkdir()
        (place / "tiny.json").write_text(json.dumps(EXPERIMENT))
        (place / "plain.json").write_text(json.dumps({**EXPERIMENT, "name": "plain"}))
        (place / "sweep.json").write_text(json.dumps(SWEEP))
        (place / "bad.json").write_text('{"name": ')
        (place / "a.csv").write_text("a,b\n" + "1,2\n3,4\n" * 10)
        np.savez(place / "a.npz", x=np.random.default_rng(0).random((12, 6, 6), dtype=np.float32))
        for file, content in FOLDER.items():
            (place / "pictures" / file).parent.mkdir(exist_ok=True)
            (place / "pictures" / file).write_bytes(content)
        vaelab.train(EXPERIMENT, place / "runs")
        yield place


@pytest.fixture(autouse=True)
def _small_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(limits, "memory", lambda: 2**29)
    monkeypatch.setattr("vaelab.datasets.download._reachable", lambda urls: set())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


#: The parser's own messages name the option, and how to get help.
USAGE = re.compile(r"Try '[^']* --help' for help")


def tree(place: Path) -> set[str]:
    return {str(path.relative_to(place)) for path in place.rglob("*") if "__pycache__" not in path.parts}


def checked(line: list[str], folder: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name) / "a" / "b"
        shutil.copytree(folder, place)
        before = tree(Path(name))
        with soon():
            done = call(*line, cwd=place)
        if done.code == 0:
            return
        if done.code == 2 and (USAGE.search(done.err) or "Usage:" in done.out):
            assert "--help" in done.err + done.out
        else:
            judge(done.err, done.code)
        assert tree(Path(name)) == before, f"left behind: {tree(Path(name)) - before}"


@budgets(30, 5000)
def test_command_lines(folder: Path, cases: int) -> None:
    run_cases(cases, lines(), lambda line: checked(line, folder), fixed=cases < 100)
