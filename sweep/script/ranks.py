"""What the launchers of distributed trainings (torchrun, accelerate) read, so that trials do not collide."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from sweep.sweepfile.command import RANK_MACROS, Command
from sweep.system.ports import reserved_port
from sweep.system.ranks import LOCALHOST, Rank

_DEFAULT_PORT = 29500
_CHOSEN = re.compile(r"--?master[-_](addr|port)")


_LAUNCHERS = re.compile(r"torchrun|torch\.distributed\.(run|launch)|accelerate|deepspeed|colossalai")


def example_rank(workers: int) -> Rank:
    """The place of a worker in a command line that is only shown."""
    return Rank(0, workers, 0, 1, 0, LOCALHOST, _DEFAULT_PORT)


def starts_ranks(command: Command) -> bool:
    """Whether a command starts the ranks of its machine itself, as torchrun does, and is not one of them."""
    names = (os.path.basename(item) for item in command.items)
    return command.uses("node_rank") or any(map(_LAUNCHERS.fullmatch, names))


@contextmanager
def own_rank(workers: int) -> Iterator[Rank]:
    """The place of this worker among those that run the trial.

    While the context is entered, the trial's port is reserved.

    Args:
        workers: how many there are. If there are several, the engine has set the variables of each.
    """
    if workers > 1:
        yield Rank.of(os.environ)
    else:
        with reserved_port() as port:
            yield Rank.only(port)


def rank_variables(command: Command, rank: Rank) -> dict[str, str]:
    """Environment variables with which the processes of a trial find each other.

    torchrun reads its options from variables that begin with PET_, and accelerate starts torchrun. Options
    in the command line take precedence. Each worker is a node for torchrun, also if two are on one machine.

    Args:
        command: the command.
        rank: the place of this worker.
    """
    variables = {"MASTER_ADDR": rank.master_addr, "MASTER_PORT": str(rank.master_port)}
    if not any(map(_CHOSEN.match, command.items)):  # torchrun would prefer the endpoint to its other options
        variables["PET_RDZV_ENDPOINT"] = f"{rank.master_addr}:{rank.master_port}"
    if rank.world_size > 1:
        variables |= {"PET_NNODES": str(rank.world_size), "PET_NODE_RANK": str(rank.rank)}
    return variables


def rank_macros(gpus: int, rank: Rank) -> dict[str, str]:
    """The values of `RANK_MACROS` in a command.

    Args:
        gpus: the number of GPUs of each worker.
        rank: the place of this worker.
    """
    values = (gpus, rank.world_size, rank.rank, rank.master_addr, rank.master_port)
    return dict(zip(RANK_MACROS, map(str, values), strict=True))
