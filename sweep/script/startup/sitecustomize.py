"""Runs at the start of every Python process of a script, and reads its settings from the environment.

The script is not changed, but event files written in Python (by torch or tensorboardX) need adaptation:

* They are flushed to disk after two minutes by default, too late for pruning. torch loses the last events if
  the writer is not closed.
* tensorboardX names them by second and host. Two trials with the same log directory, started in the same
  second, would write to the same file (tensorboardX#776), or fail to create that directory.
* The sweep cannot find out which process wrote them: torch does not keep them open.
* In the sweep's own directory the script's HParams records would conflict with the sweep's.

W&B's package is kept offline (`_sweep_wandb`), also in child processes with another environment
(`_sweep_children`).

Only the standard library is used, because the script can run in any Python environment. The
environment's own `sitecustomize` runs too. tensorboardX's private `EventFileWriter._ev_writer._file_name` and
torch's `_file_name` are read, because neither has a public attribute for the path of the file.
"""

from __future__ import annotations

import atexit
import os
import sys
from importlib.machinery import PathFinder

import _sweep_children  # type: ignore[import-not-found]  # beside this file
import _sweep_wandb  # type: ignore[import-not-found]

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would slow down every Python process of a script
    from typing import Any

_FLUSH_SECONDS = 1
_TRIAL = os.environ.get("SWEEP_TRIAL_DIR", "")  # read now, because the script may clear its environment
_count = 0


class _Finder:
    """An import hook that adapts modules when they are imported."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
        adapt = _MODULES.get(name)
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


def _adapt(cls: Any, is_tensorboardx: bool) -> None:
    initialise, add_event = cls.__init__, cls.add_event
    trial = _TRIAL
    sweep = os.path.dirname(os.path.realpath(trial)) + os.sep

    def __init__(
        self: Any, logdir: Any, max_queue_size: int = 10, flush_secs: float = 120, filename_suffix: str = ""
    ) -> None:
        global _count
        if is_tensorboardx:
            _count += 1
            if "://" not in str(logdir):
                os.makedirs(str(logdir), exist_ok=True)  # tensorboardX fails if it exists
            filename_suffix = ".%d.%d%s" % (os.getpid(), _count, filename_suffix)  # noqa: UP031
        initialise(self, logdir, max_queue_size, min(flush_secs, _FLUSH_SECONDS), filename_suffix)
        place = os.path.realpath(str(logdir))
        self._sweep_drops_hparams = (place + os.sep).startswith(sweep)
        name = self._ev_writer._file_name if is_tensorboardx else self._file_name
        _announce(trial, os.path.join(place, os.path.basename(name)))
        pid = os.getpid()
        # A forked child has the writer, but not its thread.
        atexit.register(lambda: _finish(self, is_tensorboardx) if os.getpid() == pid else None)

    def add_event_of_script(self: Any, event: Any) -> None:
        plugins = [value.metadata.plugin_data.plugin_name for value in event.summary.value]
        if not (getattr(self, "_sweep_drops_hparams", False) and "hparams" in plugins):
            add_event(self, event)

    cls.__init__, cls.add_event = __init__, add_event_of_script


def _announce(trial: str, path: str) -> None:
    """Tell the sweep the path of an event file. One write, so that lines of several processes do not mix."""
    try:
        with open(os.path.join(trial, ".event-files"), "ab", buffering=0) as file:
            file.write(os.fsencode(path) + b"\n")
    except OSError:
        return


def _finish(writer: Any, is_tensorboardx: bool) -> None:
    try:
        if is_tensorboardx:
            writer.close()  # its flush does not wait for the queue
        else:
            writer.flush()
    except Exception:  # noqa: BLE001 - it has been closed
        pass


_MODULES = {**_sweep_wandb.modules(), **_sweep_children.keep_variables()}
if _TRIAL:
    _MODULES["tensorboard.summary.writer.event_file_writer"] = lambda module: _adapt(
        module.EventFileWriter, False
    )
    _MODULES["tensorboardX.event_file_writer"] = lambda module: _adapt(module.EventFileWriter, True)


def _run_own() -> None:
    """Run the `sitecustomize` that Python would have loaded: it loads only one."""
    here = os.path.dirname(os.path.abspath(__file__))
    path = [place for place in sys.path if os.path.abspath(place) != here]
    spec = PathFinder.find_spec("sitecustomize", path)
    if spec is not None and spec.loader is not None:
        from importlib.util import module_from_spec

        spec.loader.exec_module(module_from_spec(spec))


def _write_whole_lines() -> None:
    """Print each line with one write, so that lines of several processes do not mix."""
    streams: Any = (sys.stdout, sys.stderr)
    for stream in streams:
        try:  # noqa: SIM105 - importing contextlib takes time
            stream.reconfigure(line_buffering=True, write_through=False)
        except Exception:  # noqa: BLE001 - it is closed, or of another type
            pass


for _name in _MODULES.keys() & sys.modules.keys():
    _MODULES[_name](sys.modules[_name])
sys.meta_path.insert(0, _Finder)
if _TRIAL:
    _write_whole_lines()
_run_own()
