"""One attempt on a machine that does not have the sweep's directory: its files travel in both directions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from sweep.engine.transfer.fetch import fetch
from sweep.engine.transfer.messages import SentRun, StaleAttemptError, Store
from sweep.engine.transfer.sender import INTERVAL, Sender
from sweep.system.directory import SweepDirectory
from sweep.system.repeating import RepeatedCall
from sweep.system.trees import remove_tree


def new_file_sender() -> RepeatedCall:
    """The thread in which a worker sends the files of its attempts."""
    return RepeatedCall(INTERVAL, "sweep-files")


@contextmanager
def sent(
    local: SweepDirectory, run: SentRun, store: Store, repeated: RepeatedCall
) -> Iterator[dict[str, str]]:
    """Create the directory of an attempt, and send its files while the block runs.

    At the end of the block everything has arrived, and the directory is removed.

    Args:
        local: the directory of the sweep on this machine.
        run: the attempt.
        store: where the files of the sweep are kept.
        repeated: the thread that sends them.

    Yields:
        the entries that cannot be sent, each with the reason; complete at the end of the block.
    """
    root = local.trial(run.number, run.label).root
    known = fetch(store, run, root)
    snapshots_of(local, run).mkdir(parents=True, exist_ok=True)
    sender = Sender(root, run, store, snapshots_of(local, run))
    sender.adopt(known)
    repeated.start(partial(_send, sender))
    try:
        yield sender.problems
    finally:
        repeated.stop()
    _finish(sender, local, run, store)


def _send(sender: Sender) -> None:
    with suppress(Exception):  # it is tried again, and the last time it counts
        sender.send_if_due()


@contextmanager
def fetched(local: SweepDirectory, run: SentRun, store: Store) -> Iterator[dict[str, str]]:
    """Create the directory of an attempt for a worker that sends nothing, and remove it after the block.

    Args:
        local: the directory of the sweep for that worker.
        run: the attempt.
        store: where the files of the sweep are kept.

    Yields:
        an empty mapping; see `sent`.
    """
    root = local.trial(run.number, run.label).root
    fetch(store, run, root)
    try:
        yield {}
    finally:
        remove_tree(root)


def send_rest(local: SweepDirectory, run: SentRun, store: Store) -> None:
    """Send what an attempt whose process was killed has not sent, and remove its directory.

    Args:
        local: the directory of the sweep on this machine.
        run: the attempt.
        store: where the files of the sweep are kept.
    """
    root = local.trial(run.number, run.label).root
    with suppress(StaleAttemptError):  # its process was killed when it had sent everything
        known = store.open(run)
        if snapshots_of(local, run).is_dir():  # otherwise the directory is that of an earlier attempt
            sender = Sender(root, run, store, snapshots_of(local, run))
            sender.adopt(known)
            _finish(sender, local, run, store)


def _finish(sender: Sender, local: SweepDirectory, run: SentRun, store: Store) -> None:
    sender.finish()
    store.close(run)
    remove_tree(local.trial(run.number, run.label).root)
    remove_tree(snapshots_of(local, run))


def snapshots_of(local: SweepDirectory, run: SentRun) -> Path:
    """The folder for the snapshots of an attempt. It exists from its beginning to its end."""
    return local.arriving / f"{run.number}.{run.attempt}.{run.label}"
