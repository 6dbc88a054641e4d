"""What kind of end an exception means for an attempt."""

from __future__ import annotations

import errno
import shutil
import sys
from pathlib import Path

from sweep.errors import SweepError
from sweep.messages import OutcomeKind
from sweep.script.errors import NeverReported, ScriptCrash, ScriptError
from sweep.trial.channel import Interrupted

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
"""What an OSError says if a disk is full."""
_LITTLE = 1 << 16
"""Bytes; with less than these the disk is full."""

_OUT_OF_MEMORY = (
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "DefaultCPUAllocator: can't allocate memory",  # torch on the CPU
    "DefaultCPUAllocator: not enough memory",
    "RESOURCE_EXHAUSTED",  # JAX
)
_NAMES_IN_SCRIPTS = ("MemoryError", "OutOfMemoryError")
"""Of a script nothing is known but what it printed."""


def classify(error: BaseException, directory: Path) -> OutcomeKind:
    """What an exception that an objective raised says about its attempt.

    Args:
        error: the exception.
        directory: the trial's; its disk is asked, for not everything that fails to write says why.
    """
    if isinstance(error, Interrupted):
        return "interrupted"
    # If nothing has imported Optuna, nothing can have raised its exception; importing it takes 0.3 s.
    optuna = sys.modules.get("optuna")
    if optuna is not None and isinstance(error, optuna.TrialPruned):
        return "pruned"
    if any(_is_out_of_memory(link) for link in _chain(error)):
        return "oom"
    if any(isinstance(link, OSError) and link.errno in NO_SPACE for link in _chain(error)):
        return "disk_full"
    if isinstance(error, ScriptError) and "No space left on device" in str(error):
        return "disk_full"
    if _is_full(directory):
        return "disk_full"
    if isinstance(error, NeverReported):
        return "unreported"
    return "crash" if isinstance(error, ScriptCrash) else "error"


def not_recorded(error: BaseException) -> SweepError:
    """What is said of a sweep whose study could not be written."""
    if isinstance(error, OSError) and error.errno in NO_SPACE:
        return SweepError(
            f"{error.strerror}; nothing more was recorded. Make room, then the same command goes on"
        )
    return SweepError(
        f"{type(error).__name__}: {error}; nothing more was recorded. "
        "Once that is mended, the same command goes on"
    )


def _chain(error: BaseException) -> list[BaseException]:
    """An exception and those it was raised from, or while they were handled."""
    chain = [error]
    while True:
        last = chain[-1]
        cause = last.__cause__ or (None if last.__suppress_context__ else last.__context__)
        if cause is None or cause in chain:
            return chain
        chain.append(cause)


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's, CuPy's
        return True
    texts = (*_OUT_OF_MEMORY, *_NAMES_IN_SCRIPTS) if isinstance(error, ScriptError) else _OUT_OF_MEMORY
    return isinstance(error, RuntimeError) and any(text in str(error) for text in texts)


def _is_full(directory: Path) -> bool:
    try:
        return shutil.disk_usage(directory).free < _LITTLE
    except OSError:
        return False
