"""Options of a training beside the same training without; a ratio above 1 is a gain of the option.

`--compile` adds torch.compile, which takes minutes before its first step.
"""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from contest import contest
from ours import digits, epochs, experiment_of, training

from vaelab.config import load_experiment

MLP = {"kind": "mlp", "hidden": [200]}
CONV = {"kind": "conv", "channels": [32, 64], "hidden": [256]}
NETS: dict[str, dict[str, Any]] = {
    "mlp": {"encoder": MLP, "decoder": MLP, "dim": 20, "batch": 64, "limit": 3200},
    "conv": {"encoder": CONV, "decoder": {**CONV, "channels": [64, 32]}, "dim": 20, "batch": 128, "limit": 1280},
}


def _optimiser(**arguments: Any) -> Any:
    def change(trainer: Any) -> None:
        for optimiser in trainer.update.optimisers.values():
            optimiser.torch = torch.optim.Adam(optimiser.parameters, **arguments)
            optimiser.take = optimiser.torch.step

    return change


#: Model, name of the option, keys of the training, and what is changed in the trainer where there is no key.
OPTIONS: list[tuple[str, str, dict[str, Any], Any]] = [
    ("mlp", "torch's own fused Adam", {}, _optimiser(fused=True)),
    ("mlp", "foreach Adam", {}, _optimiser(foreach=True)),
    ("mlp", "for-loop Adam", {}, _optimiser(foreach=False)),
    ("mlp", "bfloat16", {"precision": "bfloat16"}, None),
    ("conv", "channels_last", {"memory_format": "channels_last"}, None),
    ("conv", "gradient_checkpointing", {"gradient_checkpointing": True}, None),
    ("mlp", "ema", {"ema": 0.999}, None),
]
COMPILED: list[tuple[str, str, dict[str, Any], Any]] = [
    ("mlp", "compile", {"compile": True}, None),
    ("conv", "compile", {"compile": True}, None),
]


def _contest(benchmark: Any, model: str, options: list[tuple[str, str, dict[str, Any], Any]], folder: Path) -> None:
    with ExitStack() as stack:
        data = digits(NETS[model]["limit"])
        plain = stack.enter_context(training(experiment_of(**NETS[model], data=data), folder))
        others = {}
        for name, keys, change in [option[1:] for option in options if option[0] == model]:
            experiment = experiment_of(**NETS[model], data=data, training=keys)
            trainer = stack.enter_context(training(experiment, folder, plain.data))
            if change is not None:
                change(trainer)
            others[name] = epochs(trainer)
            others[name]()  # compiles, and allocates the moments
        contest(benchmark, f"options, {model}", epochs(plain), others, 5)


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize("model", ["mlp", "conv"])
def bench_options(benchmark: Any, model: str, tmp_path: Path) -> None:
    _contest(benchmark, model, OPTIONS, tmp_path)


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize("model", ["mlp", "conv"])
def bench_compiled(benchmark: Any, model: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("--compile"):
        pytest.skip("takes minutes; --compile asks for it")
    _contest(benchmark, model, COMPILED, tmp_path)


@pytest.mark.benchmark(timer=time.process_time)
def bench_many_samples(benchmark: Any, tmp_path: Path) -> None:
    """The gradient of IWAE through all of 50 samples; through 5 and 1 drawn by their weights; and with layers in bfloat16."""
    deep = {"kind": "mlp", "hidden": [200, 200]}
    with ExitStack() as stack:

        def of(backward: int | None = None, precision: str = "float32") -> Any:
            changes = {
                "objective": {"kind": "iwae", "samples": 50, "backward": backward},
                "training": {"precision": precision},
            }
            return epochs(stack.enter_context(training(experiment_of(deep, deep, 50, 20, 600, **changes), tmp_path)))

        others = {"backward 5": of(5), "backward 1": of(1), "bfloat16": of(precision="bfloat16")}
        contest(benchmark, "iwae, K = 50", of(), others, 5)


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize("samples", [1, 5])
def bench_soap(benchmark: Any, tmp_path: Path, samples: int) -> None:
    """Adam's epoch and SOAP's, in the networks of Burda et al. and batches of 100."""
    deep = {"kind": "mlp", "hidden": [200, 200]}
    with ExitStack() as stack:

        def of(kind: str) -> Any:
            changes = {"objective": {"kind": "iwae", "samples": samples}, "training": {"optimiser": kind}}
            return epochs(stack.enter_context(training(experiment_of(deep, deep, 50, 100, 2000, **changes), tmp_path)))

        contest(benchmark, f"Adam, K = {samples}", of("adam"), {"soap": of("soap")}, 5)


@pytest.mark.benchmark(timer=time.process_time)
def bench_deep_hierarchy(benchmark: Any, tmp_path: Path) -> None:
    """Gradient checkpointing where it is meant for: time, and the activations that wait for the backward pass."""
    sets = ["training.batch_size=32", f"data={json.dumps(digits(160))}", "training.epochs=20"]
    with ExitStack() as stack:
        made = {}
        for again in (False, True):
            experiment = load_experiment(
                "experiments/ladder_conv.json", [*sets, f"training.gradient_checkpointing={str(again).lower()}"]
            )
            made[again] = stack.enter_context(training(experiment, tmp_path))
        contest(benchmark, "hierarchy of maps", epochs(made[False]), {"gradient_checkpointing": epochs(made[True])}, 4)
        benchmark.extra_info["kept_bytes"] = {str(again): _kept(trainer) for again, trainer in made.items()}
        print("bytes kept for the backward pass:", benchmark.extra_info["kept_bytes"])


def _kept(trainer: Any) -> int:
    seen: list[torch.Tensor] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        seen.append(tensor)
        return tensor

    batch = next(iter(trainer.data.train.batches(torch.arange(32), 32)))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        trainer.update.run(batch, trainer._context())
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in seen}.values())
