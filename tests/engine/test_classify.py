"""Classification of the exceptions of objectives."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from joblib.externals.loky.process_executor import TerminatedWorkerError
from torch.multiprocessing.spawn import ProcessExitedException

from sweep.engine import classify as module
from sweep.engine.classify import classify_exception, classify_worker_error, is_gpu_error
from sweep.script.errors import ScriptError
from sweep.trial.channel import Interrupted


def caused_by(cause: BaseException) -> RuntimeError:
    error = RuntimeError("training failed")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("no"), "error"),
        (SystemExit(1), "error"),
        (optuna.TrialPruned(), "pruned"),
        (Interrupted(), "interrupted"),
        (MemoryError(), "oom"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"), "oom"),
        (RuntimeError("CUDA error: out of memory"), "oom"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), "oom"),
        (caused_by(torch.OutOfMemoryError("CUDA out of memory")), "oom"),
        (ValueError("the phrase CUDA out of memory in another exception"), "error"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk_full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk_full"),
        (caused_by(OSError(errno.ENOSPC, "No space left on device")), "disk_full"),
        (OSError(errno.ENOENT, "No such file"), "error"),
        (RuntimeError("DataLoader worker (pid 46794) is killed by signal: Bus error. It is"), "crash"),
        (RuntimeError("DataLoader worker (pid 46794) is killed by signal: Killed. "), "crash"),
        (RuntimeError("DataLoader worker (pid 46794) is killed by signal: Terminated. "), "error"),
        (ProcessExitedException("process 0 terminated with signal SIGKILL", 0, 1, -9), "crash"),
        (caused_by(TerminatedWorkerError("The exit codes of the workers are {SIGKILL(-9)}")), "crash"),
        (
            ScriptError("exit status 1", "RuntimeError: DataLoader worker killed by signal: Killed."),
            "crash",
        ),
        (ScriptError("exit status 1", "the server was killed by a signal"), "error"),
    ],
)
def test_exceptions_are_classified(error: BaseException, kind: str, tmp_path: Path) -> None:
    assert classify_exception(error, tmp_path) == kind


@pytest.mark.parametrize(
    ("error", "is_of_gpu"),
    [
        (torch.AcceleratorError("CUDA error: device-side assert triggered"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`"), True),
        (RuntimeError("INTERNAL: stream is unusable: CUDA_ERROR_ILLEGAL_ADDRESS"), True),
        (caused_by(RuntimeError("cudaErrorIllegalAddress: an illegal memory access")), True),
        (RuntimeError("CUDA error: out of memory"), False),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"), False),
        (ValueError("no"), False),
    ],
)
def test_errors_of_a_gpu_are_told_from_those_of_its_memory(error: BaseException, is_of_gpu: bool) -> None:
    assert is_gpu_error(error) == is_of_gpu


def test_an_out_of_memory_error_that_torch_raises_is_recognized(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert classify_exception(caught.value, tmp_path) == "oom"


def test_any_error_while_the_disk_is_full_is_classified_as_disk_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Any) -> Any:
        return module.shutil._ntuple_diskusage(10**9, 10**9, 0)  # type: ignore[attr-defined]

    monkeypatch.setattr(module.shutil, "disk_usage", full)
    assert (
        classify_exception(RuntimeError("PytorchStreamWriter failed writing file"), tmp_path) == "disk_full"
    )


def test_a_worker_that_cannot_write_is_no_crash_of_the_trial() -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    assert classify_worker_error(full)[0] == "disk_full"
    assert classify_worker_error(OSError(errno.EIO, "I/O error")) == ("crash", "OSError: [Errno 5] I/O error")
