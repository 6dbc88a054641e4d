"""The surroundings of an objective in its process: what one trial changes, the next one finds as it was."""

from __future__ import annotations

import faulthandler
import gc
import logging
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any

import psutil

from sweep.system import processes

_SECONDS_FOR_CHILDREN = 0.5
"""How long children that a trial left behind have between SIGTERM and SIGKILL."""


def seed_generators(seed: int) -> None:
    """Seed random, and numpy and torch if they are loaded."""
    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)


@contextmanager
def restored(variables: Mapping[str, str], ends_children: bool = True) -> Iterator[list[str]]:
    """Set some environment variables, and put things back afterwards.

    Put back are the working directory, the environment, sys.argv and sys.path, the random generators, torch's
    switches, the root logger's handlers, signal handlers and timers.

    Args:
        variables: what to set.
        ends_children: whether to end child processes that were not there before.

    Yields:
        a list into which it writes, at the end, what could not be put back.
    """
    problems: list[str] = []

    def put_back(restore: _Restore) -> None:
        try:
            restore()
        except Exception as error:  # noqa: BLE001 - handlers and the like are user code
            problems.append(f"{type(error).__name__}: {error}")

    with ExitStack() as exits:
        exits.callback(put_back, partial(_release_memory, count_descriptors()))
        for keep in (_directory, _environment, _arguments, _generators, _torch, _logging, _signals):
            exits.callback(put_back, keep())
        if ends_children:
            exits.callback(put_back, _children())
        os.environ.update(variables)
        yield problems


_Restore = Callable[[], None]


def _directory() -> _Restore:
    before = os.getcwd()
    return lambda: os.chdir(before)


def _environment() -> _Restore:
    before = dict(os.environ)

    def restore() -> None:
        now = dict(os.environ)
        for name in now.keys() - before.keys():
            del os.environ[name]
        for name, value in before.items():
            if now.get(name) != value:
                os.environ[name] = value

    return restore


def _arguments() -> _Restore:
    argv, path = list(sys.argv), list(sys.path)

    def restore() -> None:
        sys.argv[:] = argv
        sys.path[:] = path

    return restore


def _generators() -> _Restore:
    states: list[tuple[Callable[[Any], Any], Any]] = [(random.setstate, random.getstate())]
    if "numpy" in sys.modules:
        generator = sys.modules["numpy"].random
        states.append((generator.set_state, generator.get_state()))
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        states.append((torch.set_rng_state, torch.get_rng_state()))

    def restore() -> None:
        for put, state in states:
            put(state)

    return restore


def _torch() -> _Restore:
    before = _torch_switches(sys.modules["torch"]) if "torch" in sys.modules else None

    def restore() -> None:
        if "torch" not in sys.modules:
            return
        if before is None:  # the trial has imported it
            _reset_torch(sys.modules["torch"])
            return
        for (put, value), (_, now) in zip(before, _torch_switches(sys.modules["torch"]), strict=True):
            if value != now:
                put(value)

    return restore


def _reset_torch(torch: Any) -> None:
    """Torch's switches as they are when it has been imported."""
    torch.set_grad_enabled(True)
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.use_deterministic_algorithms(False)
    torch.set_anomaly_enabled(False)
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = False


def _torch_switches(torch: Any) -> list[tuple[Callable[[Any], Any], Any]]:
    """Torch's global switches: how each one is set, and how it stands."""

    def set_device(device: Any) -> None:
        torch.set_default_device(None if device.type == "cpu" else device)  # "cpu" itself would cost time

    return [
        (torch.set_grad_enabled, torch.is_grad_enabled()),
        (torch.set_default_dtype, torch.get_default_dtype()),
        (set_device, torch.get_default_device()),
        (torch.set_num_threads, torch.get_num_threads()),
        (torch.use_deterministic_algorithms, torch.are_deterministic_algorithms_enabled()),
        (torch.set_anomaly_enabled, torch.is_anomaly_enabled()),
        (torch.set_float32_matmul_precision, torch.get_float32_matmul_precision()),
        (partial(setattr, torch.backends.cudnn, "benchmark"), torch.backends.cudnn.benchmark),
        (partial(setattr, torch.backends.cudnn, "deterministic"), torch.backends.cudnn.deterministic),
    ]


def _logging() -> _Restore:
    """A log file that a trial configures would get the lines of all later trials."""
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


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)


def _signals() -> _Restore:
    """An alarm that a trial has set would end the next one."""
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


def _children() -> _Restore:
    before = {process.pid for process in processes.descendants()}

    def restore() -> None:
        _shut_down_services()
        spared = {*before, *_helpers()}
        left = [process for process in processes.descendants() if not _is_spared(process, spared)]
        processes.terminate(left, grace=_SECONDS_FOR_CHILDREN)
        processes.reap(left)

    return restore


def _shut_down_services() -> None:
    """Have libraries end processes that they keep for the next call: they would wait for them for ever."""
    if getattr(sys.modules.get("wandb.sdk.wandb_setup"), "_singleton", None) is not None:
        sys.modules["wandb"].teardown()
    compiler = sys.modules.get("torch._inductor.async_compile")
    if compiler is not None:
        compiler.shutdown_compile_workers()
    for module in ("joblib.externals.loky.reusable_executor", "loky.reusable_executor"):
        executor = getattr(sys.modules.get(module), "_executor", None)
        if executor is not None:
            executor.shutdown(wait=True, kill_workers=True)


def _is_spared(process: psutil.Process, spared: Container[int | None]) -> bool:
    with suppress(psutil.Error):
        # torch starts it once for the sharing strategy `file_system`, and ends it with this process.
        return process.pid in spared or process.name() == "torch_shm_manager"
    return False


def _helpers() -> set[int | None]:
    """Processes that Python starts once and then relies on. They end with this one."""
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
    """Have what nobody can reach any more closed and freed: it waits for Python's collector otherwise."""
    torch = sys.modules.get("torch")
    gpu = torch.cuda if torch is not None and torch.cuda.is_initialized() else None
    if gpu is not None or count_descriptors() > descriptors:
        gc.collect()
    if gpu is not None:
        gpu.empty_cache()


def count_descriptors() -> int:
    """How many files, sockets and pipes this process has open, as far as the system tells."""
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0
