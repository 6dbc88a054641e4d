"""`ResourceWatch`: what the attempts of one process use of the machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sweep.engine.gpu_memory import GpuMemoryMeter
from sweep.engine.system_scalars import SystemScalars
from sweep.messages import GpuUse
from sweep.system.gpus import visible_gpus


class ResourceWatch:
    """Watches one attempt after another.

    Args:
        gpu_share: the GPUs of the attempts, or their share of one; 0 for none.
        is_gpu_measured: whether the largest use of GPU memory decides about other attempts.
        writes_scalars: whether what an attempt uses is written to its run directory.
    """

    def __init__(self, gpu_share: float, is_gpu_measured: bool, writes_scalars: bool) -> None:
        gpus = visible_gpus() if gpu_share > 0 else []
        self._scalars = SystemScalars(gpus) if writes_scalars else None
        self._memory = GpuMemoryMeter(gpus, gpu_share) if gpu_share > 0 else None
        self._is_gpu_measured = is_gpu_measured

    @contextmanager
    def watching(self, run: Path) -> Iterator[None]:
        """Watch the attempt in the block.

        Args:
            run: the run directory for the scalars.
        """
        with ExitStack() as exits:
            if self._scalars is not None:
                exits.enter_context(self._scalars.written(run))
            if self._memory is not None and self._is_gpu_measured:
                exits.enter_context(self._memory.measuring())
            yield

    def gpu_use(self, error: BaseException | None = None) -> GpuUse | None:
        """The GPU memory of the last attempt, which has raised `error`; None if it has no GPU."""
        return None if self._memory is None else self._memory.use(error)

    def gpu_leftover(self) -> int:
        """How many bytes of GPU memory an attempt has not given back; 0 if unknown."""
        return 0 if self._memory is None else self._memory.leftover()
