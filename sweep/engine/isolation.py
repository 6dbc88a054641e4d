"""Isolation of trials that run in one process: the state of the process is restored after each."""

from __future__ import annotations

import faulthandler
import gc
import os
import random
import signal
import sys
import threading
import time
from _signal import getsignal  # type: ignore[import-not-found]  # that of `signal` looks up enum members
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cache, partial
from typing import Any

import psutil

from sweep.engine.process_state import ProcessState
from sweep.system import processes
from sweep.system.libraries import is_library

_CHILD_GRACE = 0.5
"""Time between SIGTERM and SIGKILL for child processes that a trial has left behind, in seconds."""
_THREAD_GRACE = 1.0
"""How long threads that a trial has started may run on, in seconds."""
_PROCESS_GROUP_GRACE = 3.0
"""How long torch may take to leave a process group, in seconds."""
_SIGNALS = [int(number) for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}]
Restore = Callable[[], None]
"""Restores the state that was read when this function was created. It raises if that is impossible."""


def seed_generators(seed: int) -> None:
    """Seed the generators of `random`, and of NumPy and torch if they are imported."""
    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed)
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        (torch.manual_seed if _has_device(torch) else torch.default_generator.manual_seed)(seed)


@cache
def _has_device(torch: Any) -> bool:
    """Whether torch has generators to seed besides that of the CPU.

    Without a device `torch.manual_seed` takes 0.2 ms: for each kind of device it formats the call stack.
    """
    accelerator = getattr(torch, "accelerator", None)  # torch 2.6 or later
    return accelerator is None or accelerator.device_count() > 0


@contextmanager
def isolated(
    env: Mapping[str, str], kill_children: bool = True, state: ProcessState | None = None
) -> Iterator[list[str]]:
    """Set environment variables, and restore the state of the process at the end of the block.

    Restored are the parts that `process_state` lists, signal handlers and timers, and children.

    Args:
        env: the environment variables to set.
        kill_children: whether to kill child processes that were started in the block.
        state: the state that the block before has restored, if nothing has changed it since then.

    Yields:
        A list, to which errors of the restoration are added at the end of the block.
    """
    problems: list[str] = []
    state = state or ProcessState()

    def note(error: Exception) -> None:
        problems.append(f"{type(error).__name__}: {error}")

    def run(restore: Restore) -> None:
        try:
            restore()
        except Exception as error:  # noqa: BLE001 - logging handlers and the like are user code
            note(error)

    with ExitStack() as exits:
        exits.callback(run, partial(_release_memory, processes.count_descriptors()))
        state.save()
        exits.callback(state.restore, note)
        exits.callback(run, _save_threads())  # before: a thread can change the state until it has ended
        exits.callback(run, _save_signals())
        if kill_children:
            exits.callback(run, _save_figures())
            exits.callback(run, _save_children())
        exits.callback(run, _save_process_group())
        os.environ.update(env)
        yield problems


def _save_signals() -> Restore:
    """Save signal handlers and timers: an alarm that a trial has set must not terminate a later trial."""
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    before = [(number, getsignal(number)) for number in _SIGNALS]
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())

    def restore() -> None:
        for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
            signal.setitimer(timer, 0)
        faulthandler.cancel_dump_traceback_later()
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for number, handler in before:
            if getsignal(number) is not handler:
                if handler is None:  # it was not set from Python
                    raise RuntimeError(f"the handler of {signal.Signals(number).name} was replaced")
                signal.signal(number, handler)

    return restore


def _save_threads() -> Restore:
    before = set(threading.enumerate())

    def restore() -> None:
        end = time.monotonic() + _THREAD_GRACE
        for thread in set(threading.enumerate()) - before:
            while thread.is_alive() and _runs_user_code(thread):
                if time.monotonic() >= end:
                    raise RuntimeError(f"the thread {thread.name} is still running")
                thread.join(0.05)

    return restore


def _runs_user_code(thread: threading.Thread) -> bool:
    """Whether a thread is in code of the user, or starts the processes of a pool again and again."""
    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None:
        file = frame.f_code.co_filename
        if not is_library(file) or file.endswith("multiprocessing/pool.py"):
            return True
        frame = frame.f_back
    return False


def _save_figures() -> Restore:
    """Save which figures are open: a later trial would draw on one that a trial has left."""
    before = _open_figures()

    def restore() -> None:
        for number in _open_figures() - before:
            sys.modules["matplotlib.pyplot"].close(number)

    return restore


def _open_figures() -> set[int]:
    pyplot = sys.modules.get("matplotlib.pyplot")
    return set() if pyplot is None else set(pyplot.get_fignums())


def _save_children() -> Restore:
    before = {process.pid for process in processes.descendants()}

    def restore() -> None:
        _shut_down_services()
        kept = before | _helper_pids()
        leftover = [process for process in processes.descendants() if not _is_kept(process, kept)]
        processes.terminate(leftover, grace=_CHILD_GRACE)
        processes.reap(leftover)

    return restore


def _shut_down_services() -> None:
    """Shut down process pools of libraries, which would wait forever for processes that are killed."""
    if getattr(sys.modules.get("wandb.sdk.wandb_setup"), "_singleton", None) is not None:
        sys.modules["wandb"].teardown()
    compiler = sys.modules.get("torch._inductor.async_compile")
    if compiler is not None:
        compiler.shutdown_compile_workers()
    for module in ("joblib.externals.loky.reusable_executor", "loky.reusable_executor"):
        executor = getattr(sys.modules.get(module), "_executor", None)
        if executor is not None:
            executor.shutdown(wait=True, kill_workers=True)


def _is_kept(process: psutil.Process, kept: set[int]) -> bool:
    with suppress(psutil.Error):
        # torch starts torch_shm_manager once, for the sharing strategy `file_system`, and stops it at exit.
        return process.pid in kept or process.name() == "torch_shm_manager"
    return False


def _helper_pids() -> set[Any]:
    """The processes that Python and joblib start once, reuse, and stop when this process exits."""
    helpers = {
        "multiprocessing.resource_tracker": ("_resource_tracker", "_pid"),
        "multiprocessing.forkserver": ("_forkserver", "_forkserver_pid"),
        "joblib.externals.loky.backend.resource_tracker": ("_resource_tracker", "_pid"),
    }
    return {
        getattr(getattr(sys.modules.get(module), owner, None), attribute, None)
        for module, (owner, attribute) in helpers.items()
    }


def _save_process_group() -> Restore:
    """Leave torch's process group that the trial has not destroyed: the next trial would get its error.

    The ranks that wait for this one get an error, too, instead of waiting for it until they are killed.
    """
    had_one = _distributed() is not None

    def restore() -> None:
        distributed = None if had_one else _distributed()
        if distributed is not None:  # with NCCL it can wait for other ranks that no longer answer
            thread = threading.Thread(target=distributed.destroy_process_group, daemon=True)
            thread.start()
            thread.join(_PROCESS_GROUP_GRACE)
            if thread.is_alive():
                raise RuntimeError("torch's process group cannot be destroyed")

    return restore


def _distributed() -> Any:
    """The module `torch.distributed` if this process is in a process group; otherwise None."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return None
    return distributed


def _release_memory(descriptors: int) -> None:
    """Free unreachable objects that hold GPU memory or files, without waiting for the garbage collector."""
    torch = sys.modules.get("torch")
    gpu = torch.cuda if torch is not None and torch.cuda.is_initialized() else None
    if gpu is not None or processes.count_descriptors() > descriptors:
        gc.collect()
    if gpu is not None:
        gpu.empty_cache()
