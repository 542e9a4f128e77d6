"""What is read is never run: pickles planted in every file that vaelab reads, watched by an audit hook."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import vaelab

ROOT = Path(vaelab.__file__).parents[1]

#: Run in a process of its own, since an audit hook stays for good. It prints a line of JSON for each file that it planted.
PROGRAM = r"""
import io, json, os, pickle, sys, tempfile, warnings, zipfile
from pathlib import Path

sys.path.insert(0, sys.argv[1])
warnings.simplefilter("ignore")
import numpy as np
import PIL.Image
import torch

PIL.Image.init()  # its modules make named tuples by exec when they are imported
torch.set_num_threads(1)
from fuzz.test_run_directories import EXPERIMENT, SWEEP, looked_at, resumed
from fuzz.test_data_files import SETS, read
import vaelab
from vaelab.errors import VaelabError
from vaelab.registry import FAMILIES
from vaelab.sweep import run_sweep, sweep_status
import vaelab.likelihoods.perceptual, vaelab.nets.inception, torchvision

ALL = sys.argv[2] == "all"
for registry in FAMILIES.values():
    list(registry)  # imports every component

PLANTED = "planted_module_of_the_test"
WITNESS = Path(tempfile.mkdtemp()) / "witness"


class Payload:
    # os.system, an import, and exec: whichever is reached leaves the witness
    def __reduce__(self):
        code = f"import {PLANTED}; open({str(WITNESS)!r}, 'w').write('run')"
        return (exec, (code,))


class Shell:
    def __reduce__(self):
        return (os.system, (f"touch {WITNESS}",))


PICKLES = {"exec": pickle.dumps(Payload()), "shell": pickle.dumps(Shell(), protocol=0)}
stream = io.BytesIO()
torch.save({"weights": Payload()}, stream)
PICKLES["torch"] = stream.getvalue()
stream = io.BytesIO()
np.save(stream, np.array([Payload()], dtype=object), allow_pickle=True)
PICKLES["numpy"] = stream.getvalue()
stream = io.BytesIO()
np.savez(stream, x=np.array([Payload()] * 3, dtype=object), y=np.arange(3))
PICKLES["npz"] = stream.getvalue()
stream = io.BytesIO()
with zipfile.ZipFile(stream, "w") as archive:
    for name in ("x.npy", "imgs.npy", "latents_classes.npy"):
        archive.writestr(name, PICKLES["exec"])
PICKLES["zip"] = stream.getvalue()

seen = []
watching = False
FORBIDDEN = ("exec", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "pickle.find_class",
             "subprocess.Popen", "marshal.loads")


def hook(event, arguments):
    if not watching:
        return
    if event in FORBIDDEN:
        # modules are executed when they are imported for the first time
        code = arguments[0] if arguments else None
        file = getattr(code, "co_filename", None)
        if event == "subprocess.Popen" and arguments[0] == "git":
            return  # which commit of vaelab this is, for the manifest of a run that is gone on with
        if event in ("exec", "marshal.loads") and trusted(file, event):
            return
        seen.append([event, repr(arguments)[:200]])
    elif event == "import" and PLANTED in str(arguments[0]):
        seen.append([event, repr(arguments)[:200]])


def trusted(file, event):
    # marshal.loads reads the caches of modules that are imported for the first time: their code is then seen by exec
    if event == "marshal.loads":
        return True
    if file is None or isinstance(file, bytes):
        file = (file or b"").decode()
    return file.startswith((sys.prefix, sys.base_prefix, ROOT, "<frozen")) or file in TRUSTED_NAMES


ROOT = str(Path(vaelab.__file__).parents[1])
TRUSTED_NAMES = set()
sys.addaudithook(hook)

# the hook sees what it is there for
watching = True
for content in PICKLES["exec"], PICKLES["shell"]:
    try:
        pickle.loads(content)
    except ModuleNotFoundError:
        pass
watching = False
assert {"pickle.find_class", "exec", "os.system", "import"} <= {event for event, _ in seen}, seen
WITNESS.unlink(missing_ok=True)
seen.clear()


def attempt(what, action):
    global watching
    seen.clear()
    watching = True
    refused = None
    try:
        action()
    except VaelabError as error:
        refused = str(error)
    finally:
        watching = False
    print(json.dumps({"what": what, "refused": refused, "seen": seen, "witness": WITNESS.exists()}), flush=True)


def plant(folder, name, content, action):
    path = Path(folder) / name
    before = path.read_bytes()
    path.write_bytes(content)
    attempt(name, action)
    path.write_bytes(before)


with tempfile.TemporaryDirectory() as folder:
    run = vaelab.train(EXPERIMENT, folder).path
    looked_at(run), resumed(run)
    attempt("intact", lambda: looked_at(run))
    whole = {str(file.relative_to(run)): file.read_bytes() for file in run.rglob("*") if file.is_file()}
    newest = max(name for name in whole if name.startswith("checkpoints")).rpartition("/")[0]
    for name in sorted(name for name in whole if not name.startswith((".", "figures", "report", "checkpoints")) or newest in name):
        action = resumed if name.startswith("checkpoints") else looked_at
        for kind in ("exec", "torch") if ALL else ("exec",):
            plant(run, name, PICKLES[kind], lambda: action(run))
            for other, content in whole.items():  # resuming writes some of them
                (run / other).write_bytes(content)
    if ALL:
        run_sweep(SWEEP, folder)
        sweep = Path(folder) / "tiny_sweep"
        for name in ("journal.log", "config.json"):
            plant(sweep, name, PICKLES["exec"], lambda: sweep_status(SWEEP, folder))

os.environ.pop("VAELAB_DATA", None)
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp()
for name, (files, content) in SETS.items():
    with tempfile.TemporaryDirectory() as folder:
        for file, data in files.items():
            (Path(folder) / file).parent.mkdir(parents=True, exist_ok=True)
            (Path(folder) / file).write_bytes(data)
        places = {key: f"{folder}/{content[key]}" for key in ("path", "test_path", "root") if key in content}
        first = sorted(files)[0]
        for kind in ("exec", "shell", "torch", "numpy", "npz", "zip") if ALL else ("exec", "numpy", "zip"):
            plant(folder, first, PICKLES[kind], lambda: read({**content, **places}))

with tempfile.TemporaryDirectory() as folder:
    weights = Path(folder) / "weights.pth"
    for kind in ("exec", "torch") if ALL else ():
        weights.write_bytes(PICKLES[kind])
        attempt("weights of vgg11", lambda: vaelab.nets.frozen.torchvision_network("vgg11", weights, (0,)))
        attempt("weights of inception", lambda: vaelab.nets.inception.InceptionFeatures(weights))
"""


@pytest.fixture(scope="module", params=["some", pytest.param("all", marks=pytest.mark.slow)])
def outcomes(request: pytest.FixtureRequest) -> list[dict[str, object]]:
    """What came of every file, with some kinds of pickle or all of them."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(ROOT / "tests"), request.param],
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def test_no_planted_code_ran(outcomes: list[dict[str, object]]) -> None:
    assert len(outcomes) > 50
    for outcome in outcomes:
        assert not outcome["witness"], outcome
        assert outcome["seen"] == [], outcome


def test_planted_files_are_refused(outcomes: list[dict[str, object]]) -> None:
    accepted = {str(outcome["what"]) for outcome in outcomes if outcome["refused"] is None}
    assert accepted <= {"intact", *NOT_READ}


#: Files of a run that are written for people.
NOT_READ = {"README.md"}


def _calls(path: Path) -> list[tuple[str, ast.Call]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [(ast.unparse(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call)]


def test_the_source_reads_no_pickle() -> None:
    """Every way of reading that could run code, in the whole of the source; each exception has its reason."""
    allowed = {
        ("__init__.py", "import_module"),  # vaelab's own names, the first time that they are asked for
        ("plugins.py", "importlib.import_module"),  # plugins are code, and named by the user
        ("registry.py", "importlib.import_module"),  # vaelab's own packages
        ("flows.py", "import_module"),  # a module of zuko by its whole name, which no config gives
        ("inception.py", "torch.load"),  # a file whose whole SHA-256 was compared, and weights_only besides
    }
    for path in sorted((ROOT / "vaelab").rglob("*.py")):
        for name, node in _calls(path):
            last = name.rpartition(".")[2]
            keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            wrong = (name in ("eval", "exec", "compile", "__import__")) or last in (
                "Unpickler",
                "system",
                "popen",
                "import_module",
            )
            wrong |= name.startswith(("pickle.", "marshal.", "shelve.", "dill.", "joblib.", "cloudpickle."))
            wrong |= name == "np.load" and keywords.get("allow_pickle") != "False"
            wrong |= name == "torch.load" and (
                (path.name, name) not in allowed or keywords.get("weights_only") != "True"
            )
            wrong |= keywords.get("shell") == "True"
            assert not wrong or (path.name, name) in allowed, f"{path} line {node.lineno}: {name}"
