"""Several processes that train one model: who they are, and what they tell one another.

Nothing else in vaelab talks to torch.distributed, but `vaelab.shared_batch`, which does so within a step.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from vaelab.errors import ConfigError, PeerError, StoppedError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

#: How long a process waits for another. One that dies is noticed at once, so this is for one that hangs; it has to be
#: longer than the longest metric that one process computes alone.
PATIENCE = timedelta(hours=6)

_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Processes:
    """The processes of a training. With one of them each method is an identity and none communicates.

    Attributes:
        rank: number of this one, from 0.
        number: of all.
        local_rank: number of this one on its machine.
    """

    rank: int = 0
    number: int = 1
    local_rank: int = 0

    @property
    def many(self) -> bool:
        """Whether there are others."""
        return self.number > 1

    @property
    def main(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def sum_(self, tensor: Tensor) -> Tensor:
        """The sum over the processes, in place."""
        if self.many:
            from torch import distributed

            with told():
                distributed.all_reduce(tensor)
        return tensor

    def sum_later(self, tensor: Tensor) -> Callable[[], None]:
        """Begin `sum_`; the tensor may be read, and nothing may be written to it before, once the result was called."""
        from torch import distributed

        with told():
            work = distributed.all_reduce(tensor, async_op=True)

        def arrive() -> None:
            with told():
                work.wait()

        return arrive

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in one of them."""
        if not self.many:
            return flag
        import torch

        return bool(self.sum_(torch.tensor([float(flag)])))

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """Tensors of one shape from all, in the order of the ranks."""
        if not self.many:
            return [tensor]
        import torch
        from torch import distributed

        found = [torch.empty_like(tensor) for _ in range(self.number)]
        with told():
            distributed.all_gather(found, tensor.contiguous())
        return found

    def gather_rows(self, tensor: Tensor) -> list[Tensor]:
        """Tensors of all that differ in the length of their first axis."""
        if not self.many:
            return [tensor]
        import torch

        lengths = [int(length) for length in self.gather(torch.tensor([len(tensor)]))]
        padded = tensor.new_zeros(max(lengths), *tensor.shape[1:])
        padded[: len(tensor)] = tensor
        return [part[:length] for part, length in zip(self.gather(padded), lengths, strict=True)]

    def gather_json(self, content: Any) -> list[Any]:
        """What JSON can hold, from all. No pickle travels."""
        if not self.many:
            return [content]
        import torch

        text = torch.frombuffer(bytearray(json.dumps(content).encode()), dtype=torch.uint8)
        return [json.loads(bytes(part.tolist())) for part in self.gather_rows(text)]

    def from_main(self, content: Any = None) -> Any:
        """What the main process gives, in all."""
        return self.gather_json(content if self.main else None)[0]

    def wait(self) -> None:
        """Until all are here."""
        self.any(False)

    @contextmanager
    def first_on_machine(self) -> Iterator[None]:
        """The first process of each machine runs the block before the others do: it may fetch files that all read."""
        if self.local_rank > 0:
            self.wait()
        yield
        if self.local_rank == 0:
            self.wait()

    def difference(self, content: dict[str, Any]) -> str | None:
        """The first name under which the processes hold different content, or None."""
        found = self.gather_json(content)
        return next((name for name in found[0] if any(theirs.get(name) != found[0][name] for theirs in found)), None)


#: A process on its own.
ALONE = Processes()

_started = ALONE


def launched() -> bool:
    """Whether torchrun, or whoever sets its environment variables, has started several processes."""
    return os.environ.get("WORLD_SIZE", "1") != "1" and "RANK" in os.environ


def current() -> Processes:
    """The processes that `start` has joined, or this one alone."""
    return _started


def start() -> Processes:
    """Join the processes that torchrun has started. Without torchrun, and the second time, it does nothing.

    Raises:
        ConfigError: the environment is not as torchrun sets it, or the others cannot be reached.
    """
    global _started
    if not launched() or _started.many:
        return _started
    import torch
    from torch import distributed

    if missing := [name for name in _VARIABLES if name not in os.environ]:
        raise ConfigError(
            f"WORLD_SIZE says that there are several processes, and {', '.join(missing)} is not set. Start them with "
            "torchrun, or unset WORLD_SIZE."
        )
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        rank, number = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        local = int(os.environ.get("LOCAL_RANK", "0"))
        distributed.init_process_group(backend, timeout=PATIENCE)
    except (ValueError, RuntimeError) as error:
        raise ConfigError(f"the processes do not find one another: {error}") from error
    atexit.register(_leave)
    _started = Processes(rank, number, local)
    if not _started.main:
        logging.getLogger("vaelab").setLevel(logging.ERROR)  # what all would say is said by one
    return _started


def _leave() -> None:
    from torch import distributed

    if distributed.is_initialized():
        distributed.destroy_process_group()


@contextmanager
def told() -> Iterator[None]:
    """What torch raises when another process is gone becomes a `PeerError`."""
    try:
        yield
    except RuntimeError as error:
        raise PeerError(
            f"process {_started.rank} of {_started.number} has lost another one, which has stopped or cannot be reached "
            f"({str(error).splitlines()[0]}). What it said stands above."
        ) from error


def speaks(error: BaseException) -> bool:
    """Whether this process is the one to print an error: the first that fails with one of its own."""
    if not _started.many:
        return True
    if isinstance(error, StoppedError | KeyboardInterrupt):
        return _started.main  # all stop together, and the main one says how to go on
    from torch import distributed

    try:
        # the store lives with torchrun, or with the process of rank 0
        first = distributed.distributed_c10d._get_default_store().add("vaelab/failed", 1) == 1
    except RuntimeError:
        return not isinstance(error, PeerError)
    return first


def device_of(name: str) -> str:
    """The device of this process, where several share a machine: `cuda` is the GPU of its own number.

    Raises:
        ConfigError: there are more processes than GPUs, or all are to share one.
    """
    if not _started.many or not name.startswith("cuda"):
        return name
    import torch

    if name != "cuda":
        raise ConfigError(f"{_started.number} processes cannot share the device '{name}'. Choose cuda or cpu.")
    if _started.local_rank >= torch.cuda.device_count():
        raise ConfigError(
            f"process {_started.local_rank} on this machine has no GPU of its own: there are {torch.cuda.device_count()}. "
            "Start fewer (--nproc-per-node), or choose --device cpu."
        )
    device = f"cuda:{_started.local_rank}"
    torch.cuda.set_device(device)
    return device


def share(count: int, number: int, rank: int) -> range:
    """Part `rank` of `number` equal parts of `range(count)`; the first ones have one more where it is uneven."""
    size, more = divmod(count, number)
    start = rank * size + min(rank, more)
    return range(start, start + size + (rank < more))


def stream_seed(seed: int, rank: int, step: int = 0) -> int:
    """Seed of the random stream of one process from a step on; other seeds, ranks and steps give unrelated ones."""
    import hashlib

    text = f"vaelab {seed} {rank} {step}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "little") % 2**63


def checksums(tensors: dict[str, torch.Tensor]) -> dict[str, int]:
    """A number for each tensor that changes with any one of its bytes; cheap, on the tensor's device."""
    import torch

    found = {}
    for name, tensor in tensors.items():
        flat = tensor.detach().contiguous().flatten().view(torch.uint8)
        found[name] = int(flat.sum(dtype=torch.int64)) if flat.numel() else 0
    return found
