"""Capturing the functions of a model as graphs, checking them against the model, and writing them."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vaelab.card import write_card
from vaelab.errors import BuildError, ConfigError, VaelabError
from vaelab.export.parts import PARTS, Part
from vaelab.files import replacing, write_json
from vaelab.runs import Run

FORMATS = {"onnx": ".onnx", "torch": ".pt2"}

#: Difference between a graph and the model, relative to the greatest number of an output, above which it is not written.
_TOLERANCE = 1e-3
#: Sizes of the batches on which a graph is checked; it is captured with another one.
_CHECKED = (2, 5)
_CAPTURED = 3


@dataclass(frozen=True)
class Exported:
    """One graph.

    Attributes:
        part: `encoder`, `decoder` or `sampler`.
        format: `onnx` or `torch`.
        file: name of the file, or None where the part cannot be exported.
        inputs: name to shape; the batch, of any size, is the first axis and written as `N`.
        outputs: likewise.
        difference: greatest absolute difference to the model over all outputs; None where nothing could run the graph.
        reason: why there is no file, or why it was not checked.
    """

    part: str
    format: str
    file: str | None
    inputs: dict[str, list[int | str]]
    outputs: dict[str, list[int | str]]
    difference: float | None
    reason: str | None = None


def export_run(
    run: Run, folder: Path | None = None, *, parts: Sequence[str] = (), formats: Sequence[str] = ("onnx", "torch")
) -> list[Exported]:
    """Write the graphs of a run's model, and `export.json` with their inputs and outputs.

    Each graph takes batches of any size. It is run on two batches, and written only if its outputs are those of the model;
    ONNX graphs are run with onnxruntime.

    Args:
        run: whose model.
        folder: where they go; `export` in the run's directory where None.
        parts: of `PARTS`; all that can be exported where empty.
        formats: of `FORMATS`.

    Raises:
        ConfigError: there is no such part or format.
        BuildError: a part that was asked for, or each of them, cannot be exported; the message says why.
        VaelabError: a package of the extra `export` is missing, or a graph does not do what the model does.
    """
    for what, given, known in (("part", parts, PARTS), ("format", formats, FORMATS)):
        if wrong := [name for name in given if name not in known]:
            raise ConfigError(f"there is no {what} '{wrong[0]}' to export. Known: {', '.join(known)}.")
    if "onnx" in formats:
        _require_onnx()
    folder = folder or run.path / "export"
    model = run.model.cpu().eval()
    exported: list[Exported] = []
    for name in parts or PARTS:
        try:
            exported += _export(name, PARTS[name], model, formats, folder)
        except BuildError as error:
            exported += [Exported(name, format_, None, {}, {}, None, str(error)) for format_ in formats]
    failed = {item.part: item.reason for item in exported if item.file is None}
    if failed and (parts or all(item.file is None for item in exported)):
        raise BuildError(
            "; ".join(f"the {part} cannot be exported: {reason}" for part, reason in failed.items())
            + ". What can be exported is written where no --part is asked for."
        )
    content = {"run": run.path.name, "name": run.experiment.name, "graphs": [asdict(item) for item in exported]}
    write_json(folder / "export.json", content)
    if folder == run.path / "export":
        write_card(run.directory, run.experiment)
    return exported


def _export(name: str, kind: type[Part], model: Any, formats: Sequence[str], folder: Path) -> list[Exported]:
    with _explained(model), torch.no_grad(), torch.random.fork_rng(devices=[]), _quiet():
        torch.manual_seed(0)
        part = kind(model)
        example = part.example(_CAPTURED)
        outputs = part(*example)
        dynamic = {"tensors": tuple({0: torch.export.Dim.DYNAMIC} for _ in example)}
        program = torch.export.export(part, example, dynamic_shapes=dynamic, strict=False)
        checks = [(batch, part(*batch)) for batch in map(part.example, _CHECKED)]
    shapes: tuple[dict[str, list[int | str]], dict[str, list[int | str]]] = (
        {given: ["N", *shape] for given, shape, _ in part.inputs},
        {given: ["N", *tensor.shape[1:]] for given, tensor in outputs.items()},
    )
    found = []
    for format_ in formats:
        path = folder / f"{name}{FORMATS[format_]}"
        with replacing(path) as temporary, _explained(model), torch.no_grad(), _quiet():
            if format_ == "onnx":
                # the exporter looks at the name
                run = _onnx(program, part, list(outputs), temporary)
            else:
                torch.export.save(program, temporary.with_suffix(".pt2"))
                temporary.with_suffix(".pt2").rename(temporary)
                run = program.module()
            differences = [_difference(name, run(*batch), expected) for batch, expected in checks]
        found.append(Exported(name, format_, path.name, *shapes, max(differences)))
    return found


def _onnx(
    program: torch.export.ExportedProgram, part: Part, outputs: list[str], path: Path
) -> Callable[..., dict[str, Tensor]]:
    """Write an ONNX graph, and return what runs it with onnxruntime."""
    import onnxruntime

    names = [name for name, _, _ in part.inputs]
    graph = torch.onnx.export(program, dynamo=True, verbose=False, input_names=names, output_names=outputs)
    assert graph is not None
    graph.save(path, external_data=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])

    def run(*tensors: Tensor) -> dict[str, Tensor]:
        given = {entry.name: tensor.numpy() for entry, tensor in zip(session.get_inputs(), tensors, strict=True)}
        return {name: torch.as_tensor(value) for name, value in zip(outputs, session.run(None, given), strict=True)}

    return run


def _difference(part: str, found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """The greatest difference between outputs.

    Raises:
        VaelabError: it is more than rounding.
    """
    worst = 0.0
    for name, value in expected.items():
        gap = (found[name].double() - value.double()).abs()
        # a draw that falls on the other side of an edge differs as a whole; rounding may do that to few of many
        allowed = _TOLERANCE * max(1.0, float(value.abs().max()))
        share = float((gap > allowed).double().mean())
        if found[name].shape != value.shape or not share <= (1e-3 if part == "sampler" else 0.0):
            raise VaelabError(
                f"the graph of the {part} does not do what the model does: '{name}' differs by {float(gap.max()):.3g}. It was "
                "not written; please report the model."
            )
        worst = max(worst, float(gap[gap <= allowed].max()) if bool((gap <= allowed).any()) else 0.0)
    return worst


@contextmanager
def _explained(model: Any) -> Iterator[None]:
    """What torch's exporters raise, in a sentence that names the components."""
    try:
        yield
    except VaelabError:
        raise
    except (
        Exception
    ) as error:  # the exporters raise errors of many kinds, and what a component raises in a graph besides
        kinds = ", ".join(f"{axis} '{part.config.kind}'" for axis, part in model.named_children())
        first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
        raise BuildError(f"torch makes no graph of {kinds} ({type(error).__name__}: {first[:200]})") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporters tell of their own progress."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _require_onnx() -> None:
    from importlib.util import find_spec

    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise VaelabError(
            f"ONNX needs {', '.join(missing)}, not installed: pip install 'vaelab[export]', or export with --format torch"
        )
