"""Isolation of trials that run in one process: the state of the process is restored after each."""

from __future__ import annotations

import faulthandler
import gc
import logging
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any

import psutil

from sweep.system import processes

_CHILD_GRACE = 0.5
"""Time between SIGTERM and SIGKILL for child processes that a trial has left behind, in seconds."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)

_Restore = Callable[[], None]
"""Restores the state that was saved when this function was created."""


def seed_generators(seed: int) -> None:
    """Seed the generators of `random`, and of NumPy and torch if they are imported."""
    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)


@contextmanager
def isolated(env: Mapping[str, str], kill_children: bool = True) -> Iterator[list[str]]:
    """Set environment variables, and restore the state of the process at the end of the block.

    Restored are the working directory, the environment, sys.argv and sys.path, random generators, torch's
    settings, the handlers of the root logger, signal handlers and timers.

    Args:
        env: the environment variables to set.
        kill_children: whether to kill child processes that were started in the block.

    Yields:
        A list, to which errors of the restoration are added at the end of the block.
    """
    problems: list[str] = []

    def run(restore: _Restore) -> None:
        try:
            restore()
        except Exception as error:  # noqa: BLE001 - logging handlers and the like are user code
            problems.append(f"{type(error).__name__}: {error}")

    with ExitStack() as exits:
        exits.callback(run, partial(_release_memory, processes.count_descriptors()))
        for save in (_save_directory, _save_env, _save_argv, _save_generators, _save_torch, _save_logging):
            exits.callback(run, save())
        exits.callback(run, _save_signals())
        if kill_children:
            exits.callback(run, _save_children())
        os.environ.update(env)
        yield problems


def _save_directory() -> _Restore:
    return partial(os.chdir, os.getcwd())


def _save_env() -> _Restore:
    before = dict(os.environ)

    def restore() -> None:
        now = dict(os.environ)
        for name in now.keys() - before.keys():
            del os.environ[name]
        for name, value in before.items():
            if now.get(name) != value:
                os.environ[name] = value

    return restore


def _save_argv() -> _Restore:
    argv, path = list(sys.argv), list(sys.path)

    def restore() -> None:
        sys.argv[:] = argv
        sys.path[:] = path

    return restore


def _save_generators() -> _Restore:
    states: list[tuple[Callable[[Any], Any], Any]] = [(random.setstate, random.getstate())]
    if "numpy" in sys.modules:
        generator = sys.modules["numpy"].random
        states.append((generator.set_state, generator.get_state()))
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        states.append((torch.set_rng_state, torch.get_rng_state()))

    def restore() -> None:
        for set_state, state in states:
            set_state(state)

    return restore


def _save_torch() -> _Restore:
    torch = sys.modules.get("torch")
    before = None if torch is None else [get() for _, get, _ in _torch_settings(torch)]

    def restore() -> None:
        torch = sys.modules.get("torch")
        if torch is None:
            return
        settings = _torch_settings(torch)
        # If the trial has imported torch, there is no earlier value.
        values = [default for _, _, default in settings] if before is None else before
        for (set_value, get, _), value in zip(settings, values, strict=True):
            if get() != value:
                set_value(value)

    return restore


def _torch_settings(torch: Any) -> list[tuple[Callable[[Any], Any], Callable[[], Any], Any]]:
    """The setter, the getter and the default of each of torch's global settings."""
    cudnn = torch.backends.cudnn

    def set_device(device: Any) -> None:
        # A default device of "cpu" costs time in each operation, unlike None.
        torch.set_default_device(None if device.type == "cpu" else device)

    return [
        (torch.set_grad_enabled, torch.is_grad_enabled, True),
        (torch.set_default_dtype, torch.get_default_dtype, torch.float32),
        (set_device, torch.get_default_device, torch.device("cpu")),
        (torch.set_num_threads, torch.get_num_threads, torch.get_num_threads()),
        (torch.use_deterministic_algorithms, torch.are_deterministic_algorithms_enabled, False),
        (torch.set_anomaly_enabled, torch.is_anomaly_enabled, False),
        (torch.set_float32_matmul_precision, torch.get_float32_matmul_precision, "highest"),
        (partial(setattr, cudnn, "benchmark"), lambda: cudnn.benchmark, False),
        (partial(setattr, cudnn, "deterministic"), lambda: cudnn.deterministic, False),
    ]


def _save_logging() -> _Restore:
    """Save the root logger's settings: a trial's log file must not receive the messages of later trials."""
    root = logging.getLogger()
    handlers, level, disabled = list(root.handlers), root.level, root.manager.disable

    def restore() -> None:
        new = [handler for handler in root.handlers if handler not in handlers]
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.disable(disabled)
        for handler in new:
            handler.close()

    return restore


def _save_signals() -> _Restore:
    """Save signal handlers and timers: an alarm that a trial has set must not terminate a later trial."""
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def restore() -> None:
        for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
            signal.setitimer(timer, 0)
        faulthandler.cancel_dump_traceback_later()
        for number, handler in before.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)

    return restore


def _save_children() -> _Restore:
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


def _release_memory(descriptors: int) -> None:
    """Free unreachable objects that hold GPU memory or files, without waiting for the garbage collector."""
    torch = sys.modules.get("torch")
    gpu = torch.cuda if torch is not None and torch.cuda.is_initialized() else None
    if gpu is not None or processes.count_descriptors() > descriptors:
        gc.collect()
    if gpu is not None:
        gpu.empty_cache()
