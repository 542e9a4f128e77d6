"""What a command line is expected to do: JSON, completion, colours, levels, help on an empty call, suggestions."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer.main

from command_line import ROOT, Cli, Done, call
from vaelab import errors
from vaelab.cli import app
from vaelab.cli_output import Flags, take_flags


@pytest.fixture
def completed(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], set[str]]:
    """What bash is offered for a line, asked for as the installed script does."""

    def ask(line: str) -> set[str]:
        monkeypatch.setenv("_VAELAB_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
        return set(cli().out.split())

    return ask


def test_completion_knows_commands_experiments_runs_and_kinds(
    completed: Callable[[str], set[str]], tmp_path: Path
) -> None:
    run = tmp_path / "runs" / "mine" / "20260101-000000-abcdef"
    run.mkdir(parents=True)
    (run / "config.json").write_text("{}")
    assert {"sample", "schema", "show", "sweep"} <= completed("vaelab s")
    assert completed("vaelab run t") == {"tiny.json"}
    assert {"mine", str(run.relative_to(tmp_path))} <= completed("vaelab sample ")
    assert "vamp" in completed("vaelab show prior va")
    assert "importance_nll" in completed("vaelab evaluate mine --metric imp")
    assert completed("vaelab evaluate mine --split v") == {"validation"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_completion_is_for_the_command_vaelab(cli: Cli, shell: str) -> None:
    """`python -m vaelab` can install it, and no shell could use one that is named `python -m vaelab`."""
    done = cli("--show-completion", shell)
    assert done.code == 0, done.err
    assert "_VAELAB_COMPLETE" in done.out
    assert "python" not in done.out


def test_an_empty_call_says_what_can_be_asked_for(cli: Cli, tmp_path: Path) -> None:
    done = cli()
    assert done.code == 2
    shown = done.out + done.err
    for word in ("run", "sample", "new experiment NAME", "Exit codes", "70"):
        assert word in shown
    for line, words in {
        "run": ("tiny.json", "--resume", "new experiment NAME"),
        "validate": ("tiny.json",),
        "show": ("show prior vamp", "likelihood"),
        "show prior": ("vamp", "standard_normal"),
        "sample": ("none yet",),
        "evaluate": ("none yet",),
        "compare": ("none yet",),
    }.items():
        done = cli(*line.split())
        assert done.code == 2, line
        for word in words:
            assert word in done.err, (line, done.err)
    folder = tmp_path / "runs" / "mine" / "x"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    for command in ("sample", "reconstruct", "evaluate", "ensemble"):
        assert "runs of: mine" in cli(command).err


@pytest.mark.parametrize(
    ("line", "code", "suggestion"),
    [
        ("rnu", 2, "Did you mean 'run'?"),
        ("run --sett a=1", 2, "--set"),
        ("list prioor", 2, "Did you mean 'prior'?"),
        ("show prior vampp", 2, "Did you mean 'vamp'?"),
        ("show mlp", 2, "show decoder mlp"),
        ("run tiny.json --set training.epoch=1", 2, "Did you mean 'epochs'?"),
        ("run tiny.json --set data.kind=digit", 2, "Did you mean 'digits'?"),
        ("evaluate mien", 4, "Did you mean 'mine'?"),
    ],
)
def test_what_is_mistyped_is_suggested(cli: Cli, tmp_path: Path, line: str, code: int, suggestion: str) -> None:
    folder = tmp_path / "runs" / "mine" / "x"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    done = cli(*line.split())
    assert (done.code, suggestion in " ".join(done.err.split())) == (code, True), done.err


def test_a_kind_alone_is_shown_where_it_is_unique(cli: Cli) -> None:
    assert cli("show", "vamp").out == cli("show", "prior", "vamp").out


def test_json_of_the_catalogue(cli: Cli) -> None:
    listed = json.loads(cli("list", "prior", "--json").out)
    assert {"family": "prior", "kind": "vrnn"}.items() <= listed[-1].items()
    shown = json.loads(cli("show", "prior", "standard_normal", "--json").out)
    assert shown["example"]["kind"] == "standard_normal"
    assert [key["name"] for key in shown["keys"]] == ["dim"]
    done = cli("validate", "tiny.json", "absent.json", "--json")
    assert done.code == 2
    good, bad = json.loads(done.out)
    assert good["valid"]
    assert (bad["valid"], bad["exit_code"]) == (False, 2)
    assert "absent.json" in bad["error"]
    assert json.loads(cli("run", "tiny.json", "--dry-run", "--json").out)["training"]["batch_size"] == 64


def test_json_quiet_and_verbose_of_a_run(cli: Cli, tmp_path: Path) -> None:
    short = ("--set", 'training={"steps":2}', "--set", 'evaluation={"metrics":["negative_elbo"],"figures":[]}')
    done = cli("run", "tiny.json", *short, "--json")
    assert done.code == 0, done.err
    printed = json.loads(done.out)
    run = Path(printed.pop("directory"))
    stored = json.loads((tmp_path / run / "evaluation.json").read_text())
    assert printed == stored
    [measured] = json.loads(cli("evaluate", str(run), "--limit", "50", "--metric", "negative_elbo", "--json").out)
    assert measured["values"]["negative_elbo"]["number"] == 50

    done = cli("-q", "run", "tiny.json", *short)
    assert (done.code, done.out, done.err) == (0, "", "")
    assert len(list(tmp_path.glob("runs/tiny/*/evaluation.json"))) == 2
    done = cli("run", "absent.json", "--quiet")
    assert (done.code, "absent.json" in done.err) == (2, True)
    done = cli("run", "tiny.json", *short, "-v")
    for word in ("parameters", "device", "scikit-learn digits"):
        assert word in done.err, done.err


def test_every_command_that_prints_a_table_has_json() -> None:
    """A new command that prints one imports a table and must take the option."""
    group = typer.main.get_command(app)
    tables = {"list", "show", "run", "evaluate", "compare", "ensemble", "sweep"}
    source = "".join(path.read_text() for path in (ROOT / "vaelab").glob("cli*.py"))
    assert len(re.findall(r"Table\(|table\(", source)) >= len(tables)
    commands = group.commands
    for name in tables:
        assert any("--json" in parameter.opts for parameter in commands[name].params), name


def test_no_color_means_no_colour(tmp_path: Path) -> None:
    def shown(**more: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "FORCE_COLOR": "1", "TERM": "xterm-256color", **more}
        command = [sys.executable, "-m", "vaelab", "list", "nothing"]
        return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True).stderr

    colour = re.compile(r"\x1b\[[0-9;]*3[0-7]")
    assert colour.search(shown())
    assert not colour.search(shown(NO_COLOR="1"))


@pytest.mark.parametrize(
    ("line", "left", "flags"),
    [
        ("run x --debug", "run x", Flags(debug=True)),
        ("-q run x -v", "run x", Flags(quiet=True, verbose=True)),
        ("run -- --quiet", "run -- --quiet", Flags()),
    ],
)
def test_flags_stand_anywhere(line: str, left: str, flags: Flags) -> None:
    assert take_flags(line.split()) == (left.split(), flags)


def test_help_names_every_exit_code(cli: Cli) -> None:
    shown = " ".join(cli("--help").out.split())
    codes = {
        value.exit_code for value in vars(errors).values() if isinstance(value, type) and hasattr(value, "exit_code")
    }
    for code in codes:
        assert re.search(rf"\b{code} ", shown.partition("Exit codes")[2]), code


def test_version(cli: Cli) -> None:
    import vaelab

    assert cli("--version").out.strip() == f"vaelab {vaelab.__version__}"


def test_output_of_a_refused_call_is_on_the_error_stream(tmp_path: Path) -> None:
    done: Done = call("show", "prior", "nothing", "--json", cwd=tmp_path)
    assert (done.code, done.out) == (2, "")
