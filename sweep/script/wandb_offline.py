"""Scripts that use W&B's package, without W&B: they get their parameters from it, and log by means of it.

`wandb.init` in offline mode reads parameters from a YAML file (`WANDB_SWEEP_PARAM_PATH`), and writes all that
is logged into `wandb/offline-run-*/run-*.wandb`: a log in LevelDB's format (blocks of 32 KiB, records in
fragments) of protobuf messages, of which only the few fields needed here are read
(`wandb/proto/wandb_internal.proto`).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import yaml

from sweep.script.process import written_files

_PARAMETERS = ".wandb-params.yaml"
RUN_ID = "WANDB_RUN_ID"


class Record(NamedTuple):
    """Numbers that a script has reported together; `step` is None if it did not say."""

    step: int | None
    values: dict[str, float]


def wandb_variables(directory: Path, sweep: str, number: int, label: str, seed: int) -> dict[str, str]:
    """What makes W&B's package in a script serve a trial: no network, no questions, the trial's parameters.

    Args:
        directory: the trial's.
        sweep: the sweep's name.
        number: the trial's.
        label: that of the trial's repeat; empty without repeats.
        seed: the trial's; with it, runs of different sweeps differ even if they have the same place.
    """
    name = "-".join(filter(None, [sweep, f"{number:04d}", label]))
    digest = hashlib.sha256(f"{directory}|{seed}".encode()).hexdigest()[:8]
    return {
        "WANDB_MODE": "offline",
        "WANDB_DIR": str(directory),
        "WANDB_SWEEP_PARAM_PATH": str(directory / _PARAMETERS),
        RUN_ID: f"{name[-55:].lstrip('-')}-{digest}",
        "WANDB_SWEEP_ID": sweep,
        "WANDB_NAME": name,
        "WANDB_SILENT": "true",
        # Seconds between writes to the disk; 15 unless said, or only at the end. Pruning needs them earlier.
        "WANDB_X_TRANSACTION_LOG_FLUSH_INTERVAL": "1",
    }


def write_parameters(directory: Path, params: Mapping[str, Any]) -> None:
    """Write what `wandb.config` is to hold."""
    text = yaml.safe_dump(
        {name: {"value": value} for name, value in params.items()}, sort_keys=False, allow_unicode=True
    )
    (directory / _PARAMETERS).write_text(f"wandb_version: 1\n\n{text}", encoding="utf-8")


class OfflineRuns:
    """What the script of a trial logs by means of W&B's package.

    They are in the trial's directory, unless `wandb.init(dir=...)` names another one. Then the trial's run is
    found by its id in the working directory, and elsewhere while a process has its file open.

    Args:
        directory: the trial's; runs that are there already belong to earlier attempts.
        cwd: where the script runs.
        run_id: the trial's.
    """

    def __init__(self, directory: Path, cwd: Path | None = None, run_id: str = "") -> None:
        self._directory = directory
        self._cwd = cwd
        self._file_name = f"run-{run_id}.wandb" if run_id else ""
        self._earlier = set(self._files())
        self._runs: dict[Path, _Run] = {}

    def read(self, family: Iterable[psutil.Process] = ()) -> list[Record]:
        """What has been logged since the last time.

        Args:
            family: the script's processes.
        """
        opened = written_files(family, self._file_name) if self._file_name else ()
        for file in [*self._files(), *map(Path, map(os.path.realpath, opened))]:
            if file not in self._earlier and file not in self._runs:
                self._runs[file] = _Run(file)
        return [record for run in self._runs.values() for record in run.read()]

    def summary(self) -> list[Record]:
        """What was put into `wandb.run.summary` by hand."""
        return [Record(None, run.set_by_hand) for run in self._runs.values() if run.set_by_hand]

    def _files(self) -> list[Path]:
        # The folder has a dot in its name where W&B cannot make the other one; `latest-run` is a link.
        found = list(self._directory.resolve().glob("*wandb/*run-[0-9]*/run-*.wandb"))
        if self._cwd is not None and self._file_name:
            found += self._cwd.resolve().glob(f"*wandb/*run-[0-9]*/{self._file_name}")
        return sorted(set(found))


_BLOCK = 32768
_FILE_HEADER = 7
_RECORD_HEADER = struct.Struct("<IHB")  # checksum, length, kind
_FULL, _FIRST, _LAST = 1, 2, 4

_HISTORY, _SUMMARY = 2, 3  # of Record
_ITEM, _STEP = 1, 2  # of HistoryRecord; SummaryRecord's `update` is 1 too
_REMOVE = 2  # of SummaryRecord
_KEY, _NESTED_KEY, _INTEGER, _NUMBER, _JSON = 1, 2, 5, 6, 16  # of HistoryItem and SummaryItem


@dataclass
class _Run:
    """One run's file, read as far as it has been written."""

    file: Path

    def __post_init__(self) -> None:
        self._at = _FILE_HEADER
        self._fragments = b""
        self._logged: dict[str, float] = {}
        self._summary: dict[str, float] = {}

    @property
    def set_by_hand(self) -> dict[str, float]:
        """Of itself a summary has what was logged last."""
        return {
            name: value
            for name, value in self._summary.items()
            if name not in self._logged or (value != self._logged[name] and not math.isnan(value))
        }

    def read(self) -> Iterator[Record]:
        for message in self._messages():
            # A step that is none; mappings that are nested too deeply.
            with suppress(_Malformed, ValueError, OverflowError, RecursionError):
                for number, value in _fields(message):
                    if number == _HISTORY and isinstance(value, bytes):
                        record = _history(value)
                        self._logged.update(record.values)
                        for name in record.values:  # what was set before that is replaced by it
                            self._summary.pop(name, None)
                        if record.values:
                            yield record
                    elif number == _SUMMARY and isinstance(value, bytes):
                        values, removed = _summary(value)
                        below = tuple(f"{name}." for name in removed)
                        for name in list(self._summary):
                            if name in removed or name.startswith(below):
                                del self._summary[name]
                        self._summary.update(values)

    def _messages(self) -> Iterator[bytes]:
        try:
            with self.file.open("rb") as file:
                file.seek(self._at)
                data = file.read()
        except OSError:
            return
        begin, at = self._at, 0
        while True:
            left = _BLOCK - (begin + at) % _BLOCK
            if left < _RECORD_HEADER.size:
                at += left  # the rest of a block is too short for a record
                continue
            if at + _RECORD_HEADER.size > len(data):
                return
            _, length, kind = _RECORD_HEADER.unpack_from(data, at)
            end = at + _RECORD_HEADER.size + length
            if end > len(data):
                return  # it is being written
            fragment = data[at + _RECORD_HEADER.size : end]
            self._fragments = fragment if kind in (_FULL, _FIRST) else self._fragments + fragment
            at = end
            self._at = begin + at
            if kind in (_FULL, _LAST):
                yield self._fragments


def _history(message: bytes) -> Record:
    """What a HistoryRecord has."""
    step: int | None = None
    items: dict[str, Any] = {}
    for number, value in _fields(message):
        if number == _STEP and isinstance(value, bytes):
            step = next((int(found) for one, found in _fields(value) if one == 1), 0)  # 0 is not written
        elif number == _ITEM and isinstance(value, bytes):
            name, items[name] = _item(value)
    if (named := _as_number(items.get("_step"))) is not None:
        step = int(named)
    return Record(step, _metrics(items))


def _summary(message: bytes) -> tuple[dict[str, float], tuple[str, ...]]:
    """The numbers that a SummaryRecord sets, and the names that it removes."""
    found = [
        (number, _item(value))
        for number, value in _fields(message)
        if isinstance(value, bytes) and number in (_ITEM, _REMOVE)
    ]
    items = {name: item for number, (name, item) in found if number == _ITEM}
    return _metrics(items), tuple(name for number, (name, _) in found if number == _REMOVE)


def _metrics(items: Mapping[str, Any]) -> dict[str, float]:
    """The numbers among the items of a record, but for W&B's own and those of pictures and tables.

    Mappings are either items of their own, with dotted names, or JSON.
    """
    media = (name.removesuffix("_type") for name in items if name.endswith("._type"))
    others = ("_", *media)  # _runtime, _timestamp, _wandb
    return {
        dotted: number
        for name, item in items.items()
        if not name.startswith(others)
        for dotted, number in _numbers(name, item)
    }


def _numbers(name: str, item: Any) -> Iterator[tuple[str, float]]:
    """The numbers in something out of JSON, by dotted names."""
    if isinstance(item, dict):
        if "_type" not in item:  # that of a picture, a table
            for key, value in item.items():
                dotted = f"{name}.{key.encode('utf-8', 'replace').decode()}"  # JSON can name half a letter
                yield from _numbers(dotted, value)
    elif (number := _as_number(item)) is not None:
        yield name, number


def _item(message: bytes) -> tuple[str, Any]:
    """The name and the value of a HistoryItem or SummaryItem."""
    names: list[str] = []
    found: Any = None
    for number, value in _fields(message):
        if number in (_KEY, _NESTED_KEY) and isinstance(value, bytes):
            names.append(value.decode("utf-8", "replace"))
        elif number == _JSON and isinstance(value, bytes):
            with suppress(ValueError, RecursionError):
                found = json.loads(value)
        elif number == _INTEGER and isinstance(value, int):
            found = (value >> 1) ^ -(value & 1)
        elif number == _NUMBER and isinstance(value, bytes) and len(value) == 8:
            found = struct.unpack("<d", value)[0]
    return ".".join(names), found


def _as_number(value: Any) -> float | None:
    if value in ("NaN", "Infinity", "-Infinity"):  # JSON has no such numbers
        return float(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        with suppress(OverflowError):
            return float(value)
    return None


class _Malformed(Exception):
    """This is no protobuf message."""


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protobuf message: numbers for varints, bytes for everything else."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        match tag & 7:
            case 0:
                value, at = _varint(message, at)
                yield tag >> 3, value
                continue
            case 1:
                length = 8
            case 2:
                length, at = _varint(message, at)
            case 5:
                length = 4
            case _:
                raise _Malformed
        if at + length > len(message):
            raise _Malformed
        yield tag >> 3, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 70:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise _Malformed
