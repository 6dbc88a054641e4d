"""Event files in the sweep's directory that other writers have created.

TensorBoard shows each directory with event files as another run, and each HParams record as another row or
other columns. The content of such a file is copied into the trial's own run. So the file gets a name that
TensorBoard does not read. Files of Python's writers get it when they are created (`sweep_event_files.py`),
those of other writers, such as TensorFlow's, when the attempt is over.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from pathlib import Path

from sweep.tracking.events import Span, is_from_sweep
from sweep.tracking.records import CorruptFileError, read_records
from sweep.tracking.tensorboardx import event_pb2, masked_crc32c

_SHOWN, _HIDDEN = "tfevents", "collected"
HPARAMS = "hparams"
"""The name of TensorBoard's HParams plugin in the records that belong to it."""
_PLUGIN = b"\n\x07hparams"
_OTHER_PLUGIN = b"\n\x07ignored"
_TAG, _OTHER_TAG = b"_hparams_/", b"_ignored_/"
_HEAD = 12
"""Bytes before the content of a record."""
_LARGE = 1 << 20
"""Bytes. Larger records, such as images, have no parameters."""


def is_event_file(name: str) -> bool:
    """Whether a file with this name contains events, whether or not TensorBoard reads it."""
    return _SHOWN in name or f"events.out.{_HIDDEN}." in name


def is_shown(name: str) -> bool:
    """Whether TensorBoard reads a file with this name, and the sweep has not written it."""
    return _SHOWN in name and not is_from_sweep(name)


def hide(path: Path) -> None:
    """Give a file a name that TensorBoard does not read. It must not be written to any more."""
    with suppress(OSError):  # it has been removed, or its directory is read-only
        path.rename(path.with_name(path.name.replace(_SHOWN, _HIDDEN)))


def clean_up(run: Path) -> None:
    """Leave a run directory with one run and one row. No file of another writer in it is written to any more.

    Files in subdirectories are hidden. HParams records are disabled in files that the run itself contains.
    """
    for folder, _, names in os.walk(run):
        for path in (Path(folder, name) for name in names if is_shown(name)):
            if path.parent == run:
                _disable_all_hparams(path)
            else:
                hide(path)


def _disable_all_hparams(path: Path) -> None:
    start = 0
    with suppress(OSError, CorruptFileError):
        if path.is_file():  # not a pipe
            for content, end in read_records(path, largest=_LARGE):
                if content is not None and _PLUGIN in content:
                    disable_hparams(path, Span(start, end))
                start = end


def disable_hparams(path: Path, span: Span) -> None:
    """Have TensorBoard ignore an HParams record, in a file that may still be open in another process.

    Its plugin and its tag get other names of the same length, so that nothing else moves. The tag too,
    because the first record of a tag decides the plugin of all. A TensorBoard that has read it keeps it.

    Args:
        path: the file.
        span: the position of the record.
    """
    with suppress(OSError), path.open("r+b", buffering=0) as file:
        content = os.pread(file.fileno(), span.end - span.start - _HEAD - 4, span.start + _HEAD)
        old = content
        while _PLUGIN in content and _has_hparams(content):
            content = content.replace(_PLUGIN, _OTHER_PLUGIN, 1).replace(_TAG, _OTHER_TAG)
        if content != old:
            checksum = struct.pack("<I", masked_crc32c(content))
            os.pwrite(file.fileno(), content + checksum, span.start + _HEAD)


def _has_hparams(content: bytes) -> bool:
    event = event_pb2.Event.FromString(content)
    return any(value.metadata.plugin_data.plugin_name == HPARAMS for value in event.summary.value)
