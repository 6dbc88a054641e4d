"""Adapts Python's writers of TensorBoard event files (torch's and tensorboardX's) to a trial.

It is used in every Python process of a trial: a script's processes and the child processes of a function
(`sitecustomize.py`), and the process that calls the function (`sweep.objective.event_files`). Outside a trial
the writers work as usual. What is adapted, and why:

* They are flushed to disk after two minutes by default, too late for pruning. torch loses the last events if
  the writer is not closed.
* tensorboardX names its files by second and host. Two trials with the same log directory, started in the same
  second, would write to the same file (tensorboardX#776), or fail to create that directory.
* The sweep cannot find out which process wrote a file: torch does not keep it open. So each is announced.
* TensorBoard shows every directory with event files as another run. The sweep copies their content into the
  trial's own run. So a file in the sweep's directory gets a name that TensorBoard does not read, from its
  first moment on: each curve is shown once.
* Each rank of a distributed training can have a writer. Those of other ranks than 0 are announced separately.
* HParams records would add rows and columns to the sweep's table. In the sweep's directory they are left out.

Only the standard library is used, because it runs in any Python environment. Private attributes are used,
because there are no public ones: tensorboardX's `EventFileWriter._ev_writer` with its `_file_name` and open
file, torch's `_file_name` and `_general_file_writer` (whose `filename` is used for each write, unless
TensorFlow is installed: its file stays open).
"""

from __future__ import annotations

import atexit
import os
import sys
from importlib.machinery import PathFinder

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would slow down every Python process of a script
    from typing import Any

SPLITS = ("train", "training", "validation", "valid", "val", "eval", "test")
"""Names that frameworks give to directories of curves, not of runs."""
_FLUSH_SECONDS = 1
_TRIAL = "SWEEP_TRIAL_DIR"
trial_of_script = ""
"""The trial's directory in a process of a script, which may clear its environment."""
_count = 0
_pid = 0
"""The process that has created `_writers`."""
_writers: list[Any] = []
"""The writers that this process has created for its trial, also those that were discarded unclosed."""


outside = ""
"""The directory of a writer from before the trial that has logged something in it, if there is one."""


class Finder:
    """An import hook that adapts modules when they are imported. Entered in `sys.meta_path`."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
        adapt = MODULES.get(name)
        if adapt is None:
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: Any) -> None:
                execute(module)
                try:
                    adapt(module)
                except Exception as error:  # noqa: BLE001 - another version of the library: the script must not fail
                    sys.stderr.write("sweep: cannot adapt %s: %r\n" % (name, error))  # noqa: UP031

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def other_rank() -> int:
    """The rank of this process in a distributed training; 0 also if it is not part of one.

    The same as `sweep.trial.reporting.other_rank`.
    """
    try:
        rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    except (KeyError, ValueError):
        return 0
    return rank if 0 < rank < size else 0


def install() -> None:
    """Adapt the writers of this process, whether their modules are imported already or later."""
    if Finder not in sys.meta_path:
        sys.meta_path.insert(0, Finder)
        for name, adapt in list(MODULES.items()):
            if name in sys.modules:
                adapt(sys.modules[name])


def finish_writers(is_over: bool = True) -> None:
    """Pass to the operating system what the writers of this process have received.

    tensorboardX's have done so with each event. Their own `flush` would wait for the disk.

    Args:
        is_over: whether the trial is over, so that these writers are forgotten.
    """
    for writer in list(_writers):
        if not hasattr(writer, "_ev_writer"):
            _try(writer.flush)
    if is_over:
        _writers.clear()


def _finish_at_exit(pid: int) -> None:
    if os.getpid() == pid:  # a forked child has the writers, but not their threads
        for writer in _writers:
            _try(writer.close if hasattr(writer, "_ev_writer") else writer.flush)


def _try(finish: Any) -> None:
    try:  # noqa: SIM105 - importing contextlib takes time
        finish()
    except Exception:  # noqa: BLE001 - it has been closed, or its disk is full
        pass


def _adapt(cls: Any, is_tensorboardx: bool) -> None:
    if hasattr(cls, "_sweep_pid"):
        return
    initialise, put_event = cls.__init__, cls.add_event
    cls._sweep_pid = None

    def __init__(
        self: Any, logdir: Any, max_queue_size: int = 10, flush_secs: float = 120, filename_suffix: str = ""
    ) -> None:
        global _count
        trial = os.environ.get(_TRIAL) or trial_of_script
        if not trial or "://" in str(logdir):
            initialise(self, logdir, max_queue_size, flush_secs, filename_suffix)
            return
        if is_tensorboardx:
            _count += 1
            os.makedirs(str(logdir), exist_ok=True)  # tensorboardX fails if it exists
            filename_suffix = ".%d.%d%s" % (os.getpid(), _count, filename_suffix)  # noqa: UP031
        initialise(self, logdir, max_queue_size, min(flush_secs, _FLUSH_SECONDS), filename_suffix)
        self._sweep_pid = os.getpid()
        self._sweep_is_hidden = is_in_sweep(trial, str(logdir))
        owner = self._ev_writer if is_tensorboardx else self
        if self._sweep_is_hidden:
            _hide(owner, getattr(self, "_general_file_writer", None))
        _announce(trial, os.path.join(os.path.realpath(str(logdir)), os.path.basename(owner._file_name)))
        _remember(self)

    def add_event(self: Any, event: Any) -> None:
        global outside
        if self._sweep_pid is not None:
            plugins = [value.metadata.plugin_data.plugin_name for value in event.summary.value]
            if self._sweep_is_hidden and "hparams" in plugins:
                return
            # tensorboardX's queue cannot be waited for. A forked process has the queue, but must not write.
            if is_tensorboardx and not self._closed and self._sweep_pid == os.getpid():
                self._ev_writer.write_event(event)
                self._ev_writer._py_recordio_writer._writer.flush()  # its own flush waits for the disk
                return
        elif _TRIAL in os.environ and "://" not in str(self.get_logdir()):
            outside = str(self.get_logdir())
        put_event(self, event)

    cls.__init__, cls.add_event = __init__, add_event


def _remember(writer: Any) -> None:
    global _pid
    if _pid != os.getpid():
        _pid = os.getpid()
        _writers.clear()  # those of the process that has forked this one
        atexit.register(_finish_at_exit, _pid)
    _writers.append(writer)


def is_in_sweep(trial: str, logdir: str) -> bool:
    """Whether TensorBoard finds a directory in that of the sweep. It follows symbolic links.

    Args:
        trial: the directory of one of the sweep's trials, or of its repeat.
        logdir: the directory.
    """
    sweep = os.path.dirname(trial)
    if not os.path.basename(trial).startswith("trial-"):  # the directory of a repeat in the trial's
        sweep = os.path.dirname(sweep)
    roots = (sweep + os.sep, os.path.realpath(sweep) + os.sep)
    places = (os.path.abspath(logdir), os.path.realpath(logdir))
    return any((place + os.sep).startswith(roots) for place in places)


def _hide(owner: Any, file: Any) -> None:
    """Rename the new file of a writer, before anything has been logged."""
    folder, name = os.path.split(owner._file_name)
    hidden = os.path.join(folder, name.replace("tfevents", "collected"))
    try:  # noqa: SIM105 - importing contextlib takes time
        os.rename(owner._file_name, hidden)
    except FileNotFoundError:  # the worker of rank 0 has hidden what was there when it started
        pass
    owner._file_name = hidden
    if hasattr(file, "filename"):
        file.filename = os.fsencode(hidden)


def _announce(trial: str, path: str) -> None:
    """Tell the sweep the path of an event file. One write, so that lines of several processes do not mix."""
    name = ".other-event-files" if other_rank() else ".event-files"
    newest = newest_addition(os.path.dirname(path))
    try:
        with open(os.path.join(trial, name), "ab", buffering=0) as file:
            file.write(b"%d %s\n" % (newest, os.fsencode(path)))
    except OSError:
        return


def newest_addition(folder: str) -> int:
    """When a folder named after a split got what it contains besides event files, in ns since the epoch.

    Returns:
        the time of the newest; 0 if there are none, or if the folder has another name.
    """
    newest = 0
    if os.path.basename(folder) in SPLITS:
        try:
            for entry in os.scandir(folder):
                is_of_events = "tfevents" in entry.name or "events.out.collected." in entry.name
                if not is_of_events and entry.name != "plugins":
                    newest = max(newest, entry.stat(follow_symlinks=False).st_mtime_ns)
        except OSError:  # removed meanwhile
            pass
    return newest


MODULES: dict[str, Any] = {
    "tensorboard.summary.writer.event_file_writer": lambda module: _adapt(module.EventFileWriter, False),
    "tensorboardX.event_file_writer": lambda module: _adapt(module.EventFileWriter, True),
}
