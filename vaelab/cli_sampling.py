"""The commands that draw new data: `sample` and `ensemble`. Heavy modules are imported where they are needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from vaelab.cli_options import (
    DeviceOption,
    JsonOption,
    OutOption,
    RunArgument,
    RunsArgument,
    SamplerOption,
    SamplerSetOption,
    SeedOption,
)
from vaelab.cli_output import print_json, say
from vaelab.errors import ConfigError


def register(app: typer.Typer, console: Callable[[], Console]) -> None:
    """Add the commands to the command line.

    Args:
        app: the command line.
        console: where they print.
    """

    @app.command()
    def sample(
        run: RunArgument = "",
        num: Annotated[int, typer.Option(min=1, max=100_000, help="How many pictures (of each digit).")] = 8,
        digit: Annotated[
            str | None, typer.Option(help="Vary an example of this label instead of drawing from the prior; or 'all'.")
        ] = None,
        sampler: SamplerOption = "prior",
        set_: SamplerSetOption = None,
        temperature: Annotated[float, typer.Option(help="Of the latents; 1 is the model itself.")] = 1.0,
        condition: Annotated[
            str | None, typer.Option(metavar="LABEL", help="What a conditional model is given; drawn where left out.")
        ] = None,
        seed: SeedOption = 0,
        out: OutOption = None,
        device: DeviceOption = None,
    ) -> None:
        """Draw pictures from the prior or from a density fitted to the latents, or around an example of each digit."""
        from vaelab.generation import around_examples, from_sampler, sampler_config
        from vaelab.runs import load_run

        if digit is not None and (sampler != "prior" or set_ or condition is not None):
            raise ConfigError(
                "--digit varies an example and draws from no sampler: leave out --sampler, --set and --condition"
            )
        config = sampler_config(sampler, set_ or ())

        loaded = load_run(run, device or "auto")
        folder = out or loaded.path / "samples"
        if digit is None:
            written = from_sampler(
                loaded,
                num,
                folder,
                sampler=config,
                temperature=temperature,
                condition=condition,
                seed=seed,
                report=lambda text: say(console(), text),
            )
        else:
            written = around_examples(loaded, digit, num, folder, seed=seed)
        *pictures, grid = written
        say(console(), f"{len(pictures)} pictures in {folder}, {grid.name} shows them together")

    @app.command()
    def ensemble(
        runs: RunsArgument = None,
        weights: Annotated[str, typer.Option(help="uniform, or fitted to the validation data by EM.")] = "uniform",
        samples: Annotated[
            int, typer.Option(min=1, max=1_000_000, help="Importance samples a datum and member.")
        ] = 128,
        limit: Annotated[int | None, typer.Option(min=1, help="Use the first so many data of each split.")] = None,
        num: Annotated[int, typer.Option(min=1, max=10_000, help="Pictures drawn from the mixture.")] = 64,
        seed: SeedOption = 0,
        out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("ensemble"),
        json_: JsonOption = False,
        device: DeviceOption = None,
    ) -> None:
        """Evaluate several runs as one density, their mixture."""
        from vaelab.ensembles import ensemble as combine

        mixture = combine(runs or (), weights=weights, samples=samples, limit=limit, seed=seed, device=device or "auto")
        written = mixture.write(out, pictures=num)
        if json_:
            print_json(mixture.to_json())
            return
        console().print(mixture.table())
        for path in written:
            say(console(), str(path))
