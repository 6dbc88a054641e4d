"""The processes of a distributed training: their environment variables, as torchrun sets them.

https://docs.pytorch.org/docs/stable/elastic/run.html#environment-variables
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Rank:
    """The place of one worker among those that run a trial together.

    Args:
        rank: its index, from 0. The workers of a machine follow each other.
        world_size: the number of workers.
        local_rank: its index among the trial's workers on its machine.
        local_world_size: their number.
        node_rank: the index of its machine among those of the trial.
        master_addr: the address of the machine of rank 0.
        master_port: a port that is free there.
    """

    rank: int
    world_size: int
    local_rank: int
    local_world_size: int
    node_rank: int
    master_addr: str
    master_port: int

    @classmethod
    def only(cls, master_port: int) -> Rank:
        """The place of the only worker of a trial."""
        return cls(0, 1, 0, 1, 0, LOCALHOST, master_port)

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> Rank:
        """The place that environment variables describe."""
        return cls(
            int(variables["RANK"]),
            int(variables["WORLD_SIZE"]),
            int(variables["LOCAL_RANK"]),
            int(variables["LOCAL_WORLD_SIZE"]),
            int(variables["NODE_RANK"]),
            variables["MASTER_ADDR"],
            int(variables["MASTER_PORT"]),
        )

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables from which torch and others read it."""
        return {
            "RANK": str(self.rank),
            "WORLD_SIZE": str(self.world_size),
            "LOCAL_RANK": str(self.local_rank),
            "LOCAL_WORLD_SIZE": str(self.local_world_size),
            "NODE_RANK": str(self.node_rank),
            "GROUP_RANK": str(self.node_rank),
            "MASTER_ADDR": self.master_addr,
            "MASTER_PORT": str(self.master_port),
            WORKER_RANK: str(self.rank),
        }


LOCALHOST = "127.0.0.1"
WORKER_RANK = "SWEEP_RANK"
"""Environment variable with the rank of a worker, inherited by everything that the worker starts."""
