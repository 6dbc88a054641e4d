"""tensorboardX without torch. The only module that uses private parts of tensorboardX.

`import tensorboardX` imports torch wherever it is installed: 1.9 s instead of 0.1 s on the machine this was
written on, in every worker; boto3 takes another 0.1 s. So torch, boto3 and Google's client are marked as
missing during that import. Histograms, images, graphs and embeddings still work when the objective imports
torch later, and an objective's own writer imports the others when its directory is in an object store.

Private parts of tensorboardX (2.6) that the classes here rely on, because it has no public way to write one
file without threads and without a queue:

* `RecordWriter._writer`, the open file: its constructor truncates an existing file.
* `SummaryWriter._get_file_writer`, the only place where a SummaryWriter creates its FileWriter.
* `FileWriter.event_writer` and `FileWriter._default_metadata`, which its constructor sets.
* `record_writer.boto3` and `storage`, with the flags that say whether they have been imported.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_LATER = [name for name in ("torch", "boto3", "google.cloud") if name not in sys.modules]
sys.modules.update(dict.fromkeys(_LATER))  # type: ignore[arg-type]
try:
    from tensorboardX import SummaryWriter, record_writer
    from tensorboardX.proto import api_pb2, event_pb2, plugin_hparams_pb2, summary_pb2
    from tensorboardX.record_writer import RecordWriter, masked_crc32c
    from tensorboardX.summary import custom_scalars, text
    from tensorboardX.writer import FileWriter
finally:
    for _name in _LATER:
        del sys.modules[_name]


class _ImportedWhenUsed:
    """In place of a module that tensorboardX has not imported."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)


if "boto3" in _LATER:
    record_writer.boto3, record_writer.S3_ENABLED = _ImportedWhenUsed("boto3"), True
if "google.cloud" in _LATER:
    record_writer.storage, record_writer.GCS_ENABLED = _ImportedWhenUsed("google.cloud.storage"), True

__all__ = [
    "RecordFile",
    "TrialSummaryWriter",
    "api_pb2",
    "custom_scalars",
    "event_pb2",
    "masked_crc32c",
    "plugin_hparams_pb2",
    "summary_pb2",
    "text",
]


class RecordFile(RecordWriter):  # type: ignore[misc]
    """Appends records to a file."""

    def __init__(self, path: Path) -> None:
        self._writer = open(path, "ab")  # noqa: SIM115 - closed by `close`

    def push(self) -> None:
        """Pass everything to the operating system, without waiting for the disk as `flush` does."""
        self._writer.flush()


class TrialSummaryWriter(SummaryWriter):  # type: ignore[misc]
    """A tensorboardX `SummaryWriter` whose records go into the trial's event file.

    Objectives receive it as `trial.writer`. Closing it has no effect. Scalars are logged as by `trial.log`.

    Args:
        directory: the run directory.
        add_event: writes an event.
        log: logs a scalar: its tag, its value, its step, which can be None, and whether it is a summary of
            the run.
    """

    def __init__(
        self,
        directory: Path,
        add_event: Callable[[Any], None],
        log: Callable[[str, Any, int | None, bool], None],
    ) -> None:
        self._events = _EventWriter(directory, add_event)
        self._log = log
        super().__init__(logdir=str(directory))

    def add_scalar(
        self, tag: str, scalar_value: Any, global_step: int | None = None, *args: Any, **kwargs: Any
    ) -> None:
        """Log a scalar as `trial.log` does; without a step, at the one after the tag's last, from 0.

        tensorboardX's other arguments have no effect.
        """
        self._log(tag, scalar_value, global_step, False)

    def add_hparams(
        self, hparam_dict: Any, metric_dict: Any, name: str | None = None, global_step: int | None = None
    ) -> None:
        """Write the metrics as scalars; without a step, at the last one that was logged.

        The sweep itself writes the trial's row with the parameters.

        tensorboardX would open another run and declare the columns again. TensorBoard shows either these or
        the sweep's.
        """
        for tag, value in metric_dict.items():
            self._log(tag, value, global_step, True)

    def add_scalars(
        self,
        main_tag: str,
        tag_scalar_dict: Any,
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Write the scalars with the tags `<main_tag>/<tag>`. tensorboardX would open a run for each."""
        for tag, value in tag_scalar_dict.items():
            self.add_scalar(f"{main_tag}/{tag}", value, global_step)

    def _get_file_writer(self) -> FileWriter:
        # Both attributes are None at first and after close().
        self.file_writer: FileWriter | None = self.file_writer or _FileWriter(self._events)
        self.all_writers = {self._events.get_logdir(): self.file_writer}
        return self.file_writer


class _EventWriter:
    """What tensorboardX's `FileWriter` expects of an event writer. There is nothing to flush or to close."""

    def __init__(self, directory: Path, add_event: Callable[[Any], None]) -> None:
        self._directory = directory
        self.add_event = add_event

    def get_logdir(self) -> str:
        return str(self._directory)

    def flush(self) -> None: ...

    def close(self) -> None: ...

    def reopen(self) -> None: ...


class _FileWriter(FileWriter):  # type: ignore[misc]
    def __init__(self, events: _EventWriter) -> None:
        self.event_writer = events
        self._default_metadata: dict[str, Any] = {}
