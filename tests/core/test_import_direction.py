"""Which way imports point, read from the source: lower layers know nothing of higher ones, components not of each other.

Imports under TYPE_CHECKING are left out: they exist for the type checker alone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import vaelab

ROOT = Path(vaelab.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

#: From the bottom to the top; the names of one line may import one another. A module or a package of vaelab that is
#: new needs a place here, and may import from its own line and from those before it.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "files", "history", "index", "interrupts", "migrations", "pages", "wording"),
    ("processes", "shared_batch"),
    ("reading", "section"),
    ("registry", "plugins"),
    ("slots", "records", "lines"),
    ("types", "limits"),
    ("distributions", "nets", "schedules"),
    ("optimisers",),
    ("inference",),
    ("model",),
    ("latents",),
    ("imputation",),
    ("encoders", "posteriors", "priors", "likelihoods", "decoders", "divergences", "objectives"),
    ("metrics", "trackers"),
    ("config",),
    ("build", "provenance"),
    ("run_directory",),
    ("training",),
    # data sets may be made of runs, and samplers train models
    ("datasets", "runs"),
    ("health",),
    ("samplers", "extractors"),
    ("figures",),
    ("evaluation",),
    ("card",),
    ("export",),
    ("profiling",),
    ("session", "determinism"),
    ("assistance",),
    ("experiment", "catalogue", "generation", "ensembles", "comparison", "scaffold", "watch", "report", "explorer"),
    ("sweep", "rerun", "reproduce"),
    (
        "cli",
        "cli_options",
        "cli_output",
        "cli_catalogue",
        "cli_compare",
        "cli_explore",
        "cli_export",
        "cli_reproduce",
        "cli_rerun",
        "cli_sampling",
        "cli_scaffold",
        "cli_sweep",
        "cli_watch",
        "__main__",
        "__init__",
    ),
)

RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

#: Packages whose modules register components.
FAMILIES = {
    "encoders", "posteriors", "priors", "decoders", "likelihoods", "divergences", "objectives",
    "datasets", "schedules", "optimisers", "metrics", "figures", "samplers", "extractors", "trackers",
}  # fmt: skip


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not _is_type_checking(child):
            yield child
            yield from _nodes(child)


NAMES = frozenset(map(name_of, MODULES))


@cache
def imports(path: Path) -> frozenset[tuple[str, str]]:
    """The modules of vaelab that a file imports, with the imported name where it is no module."""
    found = set()
    for node in _nodes(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {(alias.name, "") for alias in node.names if alias.name.split(".")[0] == "vaelab"}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} line {node.lineno}: write the whole path of an import"
            if node.module and node.module.split(".")[0] == "vaelab":
                for alias in node.names:
                    whole = f"{node.module}.{alias.name}"
                    is_module = whole in NAMES
                    found.add((whole, "") if is_module else (node.module, alias.name))
    return frozenset(found)


@cache
def is_component(module: str) -> bool:
    """Whether a module registers something."""
    [path] = [path for path in MODULES if name_of(path) == module] or [None]
    if path is None:
        return False
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for decorator in getattr(node, "decorator_list", ()):
            if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).endswith(".register"):
                return True
    return False


EACH = pytest.mark.parametrize("path", MODULES, ids=name_of)


def test_the_rules_have_something_to_bite_on():
    assert is_component("vaelab.priors.vamp")
    assert not is_component("vaelab.priors.base")
    assert ("vaelab.priors.base", "FlatPrior") in imports(ROOT / "priors" / "vamp.py")
    assert ("vaelab.model", "VAE") not in imports(ROOT / "inference.py"), "only the type checker imports it there"


@EACH
def test_every_module_has_a_place(path: Path):
    assert layer_of(name_of(path)) in RANK, "give the new module a place in LAYERS"


@EACH
def test_imports_point_down(path: Path):
    here = layer_of(name_of(path))
    for module, _ in imports(path):
        there = layer_of(module)
        assert RANK[there] <= RANK[here], f"{name_of(path)} imports {module}, which lies above it"


@EACH
def test_nobody_imports_a_component(path: Path):
    """A component is reached through its registry. What two share belongs to nets/, distributions/ or base.py."""
    wrong = [module for module, _ in imports(path) if is_component(module)]
    assert not wrong, f"{name_of(path)} imports the component files {wrong}"


@EACH
def test_a_family_enters_another_by_its_front_door(path: Path):
    """Between families only the package or its base is imported, no inner module."""
    here = layer_of(name_of(path))
    for module, _ in imports(path):
        parts = module.split(".")
        if here in FAMILIES and len(parts) > 2 and parts[1] in FAMILIES and parts[1] != here:
            assert parts[2] == "base", f"{name_of(path)} imports {module}, the inside of another family"


@EACH
def test_components_live_in_families(path: Path):
    if is_component(name_of(path)):
        assert layer_of(name_of(path)) in FAMILIES


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if layer_of(name_of(path)) in {"training", "evaluation", "inference"}],
    ids=name_of,
)
def test_trainer_and_evaluation_ask_for_no_kind(path: Path):
    """A comparison with a kind, or a kind written out, would be the beginning of an if/elif ladder."""
    from vaelab.registry import FAMILIES as REGISTRIES

    axes = ("encoder", "posterior", "prior", "decoder", "likelihood", "divergence", "objective")
    kinds = {entry.kind for axis in axes for entry in REGISTRIES[axis]}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            asks = any(isinstance(side, ast.Attribute) and side.attr == "kind" for side in sides)
            written = {side.value for side in sides if isinstance(side, ast.Constant)} & kinds
            assert not asks, f"{name_of(path)} line {node.lineno} compares a kind"
            assert not written, f"{name_of(path)} line {node.lineno} compares with {written}"


def test_importing_vaelab_is_light():
    """`vaelab --help` must not pay for torch."""
    import subprocess
    import sys

    code = "import sys, vaelab; print([m for m in ('torch', 'sklearn', 'matplotlib', 'wandb') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
