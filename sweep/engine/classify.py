"""Classification of the exceptions that an objective raises: pruned, out of memory, disk full, error."""

from __future__ import annotations

import errno
import re
import shutil
import sys
from pathlib import Path

from sweep.errors import SweepStopped
from sweep.messages import Outcome, OutcomeKind
from sweep.script.errors import NeverReported, ScriptCrash, ScriptError
from sweep.trial.channel import Interrupted

DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT)
_DISK_FULL_BELOW = 1 << 16
"""A disk with less free space than this, in bytes, counts as full."""

FREE_SPACE = "Free some disk space first"

_OUT_OF_GPU_MEMORY = (
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "RESOURCE_EXHAUSTED",  # JAX
)
_GPU_ERRORS = (
    "CUDA error",  # torch
    "CUDA_ERROR_",  # JAX, Numba
    "cudaError",  # CuPy
    "CUBLAS_STATUS_",
    "CUDNN_STATUS_",
)
_OUT_OF_MEMORY = (
    *_OUT_OF_GPU_MEMORY,
    "DefaultCPUAllocator: can't allocate memory",  # torch on the CPU
    "DefaultCPUAllocator: not enough memory",
)
_OUT_OF_MEMORY_IN_SCRIPTS = (*_OUT_OF_MEMORY, "MemoryError", "OutOfMemoryError")
"""For a script only the output is known, not the type of the exception."""
_KILLED_CHILD = re.compile(
    r"killed by signal: (?:Killed|Aborted|Bus error|Segmentation fault)"  # torch's DataLoader
    r"|terminated with signal SIG(?:KILL|ABRT|BUS|SEGV)"  # torch.multiprocessing.spawn
    r"|\{.*SIG(?:KILL|ABRT|BUS|SEGV)\(-\d+\)"  # joblib
)
"""How libraries report that a signal killed one of their processes, for example when memory ran out."""


def classify_exception(error: BaseException, directory: Path) -> OutcomeKind:
    """Determine the outcome of an attempt from the exception that its objective raised.

    Args:
        error: the exception.
        directory: the trial's directory. If its disk is full, that counts as the cause, because not every
            library reports why it failed to write.
    """
    if isinstance(error, Interrupted):
        return "interrupted"
    # Importing Optuna takes 0.3 s. If nothing has imported it, nothing can have raised its exception.
    optuna = sys.modules.get("optuna")
    if optuna is not None and isinstance(error, optuna.TrialPruned):
        return "pruned"
    chain = _chain(error)
    if any(_is_out_of_memory(link) for link in chain):
        return "oom"
    if (
        any(isinstance(link, OSError) and link.errno in DISK_FULL_ERRNOS for link in chain)
        or (isinstance(error, ScriptError) and "No space left on device" in str(error))
        or _is_full(directory)
    ):
        return "disk_full"
    if isinstance(error, NeverReported):
        return "unreported"
    if isinstance(error, ScriptCrash) or any(_KILLED_CHILD.search(_text(link)) for link in chain):
        return "crash"
    return "error"


def classify_worker_error(error: BaseException) -> tuple[OutcomeKind, str]:
    """The outcome and its reason if a worker has failed outside the objective, for example while it wrote."""
    is_full = getattr(error, "errno", None) in DISK_FULL_ERRNOS
    return "disk_full" if is_full else "crash", f"{type(error).__name__}: {error}"


def is_gpu_memory_error(error: BaseException) -> bool:
    """Whether an exception says that a GPU, and not the machine, ran out of memory."""
    return any(
        type(link).__name__ == "OutOfMemoryError"
        or (
            isinstance(link, RuntimeError)
            and any(text in _text(link) for text in (*_OUT_OF_GPU_MEMORY, "OutOfMemoryError"))
        )
        for link in _chain(error)
    )


def is_gpu_error(error: BaseException) -> bool:
    """Whether an exception says that a GPU has failed, or code on it. Often nothing can use the GPU in this
    process afterwards."""
    return not is_gpu_memory_error(error) and any(
        type(link).__name__ == "AcceleratorError" or any(text in _text(link) for text in _GPU_ERRORS)
        for link in _chain(error)
    )


def disk_full_error(outcome: Outcome) -> SweepStopped:
    """Create the error for a sweep that stops because a trial could not write."""
    return SweepStopped(f"{outcome.reason}; trial {outcome.number} is not marked as failed. {FREE_SPACE}")


def _chain(error: BaseException) -> list[BaseException]:
    """An exception, its cause or context, and so on."""
    chain = [error]
    while True:
        last = chain[-1]
        cause = last.__cause__ or (None if last.__suppress_context__ else last.__context__)
        if cause is None or cause in chain:
            return chain
        chain.append(cause)


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # of torch and CuPy
        return True
    texts = _OUT_OF_MEMORY_IN_SCRIPTS if isinstance(error, ScriptError) else _OUT_OF_MEMORY
    return isinstance(error, RuntimeError) and any(text in _text(error) for text in texts)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - the method of a user's exception
        return ""


def _is_full(directory: Path) -> bool:
    try:
        return shutil.disk_usage(directory).free < _DISK_FULL_BELOW
    except OSError:
        return False
