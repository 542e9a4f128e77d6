"""One of several processes: does what it is told and leaves what came out in a folder.

    python member.py FOLDER CASE CASE ...

A case is a training of `cases`, or `run`: a whole run, once in one go, once stopped by a signal to another process than the
main one and resumed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from safetensors.torch import save_file

from distributed.cases import RUN, train
from vaelab.processes import Processes, start

torch.set_num_threads(1)


def case(name: str, folder: Path, processes: Processes) -> None:
    lines, tensors = train(name, folder, processes)
    if processes.main:
        (folder / f"{name}.json").write_text(json.dumps(lines))
        save_file({key: value.contiguous().clone() for key, value in tensors.items()}, folder / f"{name}.safetensors")


def run(folder: Path, processes: Processes) -> None:
    import vaelab
    from vaelab.errors import StoppedError
    from vaelab.training.shared import SharedUpdate

    through = vaelab.train(RUN, folder / "through")
    take = SharedUpdate.take

    def signalled(self, micro_batches, context):
        if context.step == 7 and processes.rank == processes.number - 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return take(self, micro_batches, context)

    SharedUpdate.take = signalled
    try:
        vaelab.train(RUN, folder / "stopped")
    except StoppedError as error:
        message = str(error)
    SharedUpdate.take = take
    [stopped] = (folder / "stopped").glob("*/*")
    vaelab.resume(stopped)
    if processes.main:
        (folder / "run.json").write_text(json.dumps([str(through.path), str(stopped), message]))


def main(folder: Path, names: list[str]) -> None:
    processes = start()
    for name in names:
        if name == "run":
            run(folder, processes)
        else:
            case(name, folder, processes)


main(Path(sys.argv[1]), sys.argv[2:])
