"""The folder of a sweep on a machine that does not have the sweep's directory: its trials run there.

It is below the folder for temporary files (TMPDIR). Its path follows from the path and machine of the sweep,
so that what a killed run has left is found, and has the ID of the node, because several can share a machine.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from sweep.errors import SweepError
from sweep.system import processes
from sweep.system.directory import SweepDirectory
from sweep.system.trees import remove_tree


def create_local_directory(
    directory: SweepDirectory, host: str, node_id: str, alive: Collection[str] = ()
) -> SweepDirectory:
    """Create the directory of a sweep on this machine, unless it exists.

    Those of nodes that are dead are removed: Ray has been started again on this machine.

    Args:
        directory: the sweep's own directory.
        host: the machine that has it.
        node_id: Ray's ID of this machine.
        alive: the IDs of all nodes that are alive.

    Raises:
        SweepError: its place belongs to another user.
    """
    folder = _folder(directory, host)
    with suppress(FileExistsError):
        folder.parent.mkdir(mode=0o700)
    status = folder.parent.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise SweepError(
            f"{folder.parent}: can be changed by other users; remove it, or start Ray on this machine with "
            "another TMPDIR"
        )
    for other in folder.glob("*") if alive else ():
        if other.name not in {node_id, *alive}:
            remove_tree(other)
    local = SweepDirectory(folder / node_id / directory.name)
    local.root.mkdir(parents=True, exist_ok=True)
    return local


def clean_up_machine(directory: SweepDirectory, host: str) -> None:
    """Kill the processes of a sweep that is over on this machine, and remove its folder.

    Args:
        directory: the sweep's own directory.
        host: the machine that has it.
    """
    folder = _folder(directory, host)
    fences = [directory.fence, *(SweepDirectory(path).fence for path in folder.glob("*/*"))]
    processes.terminate(processes.find([directory.root, folder], fences))
    remove_tree(folder)


def _folder(directory: SweepDirectory, host: str) -> Path:
    key = hashlib.blake2b(f"{host}\0{directory.root}".encode(), digest_size=8).hexdigest()
    return Path(tempfile.gettempdir()) / f"sweep-{os.geteuid()}" / key
