"""Metrics that a script logs with W&B's package, which runs in offline mode: no server, no account.

`wandb.init` reads the parameters from a YAML file (`WANDB_SWEEP_PARAM_PATH`), and everything that is logged
is written to `wandb/offline-run-*/run-*.wandb`: a log in LevelDB's format (blocks of 32 KiB, records in
fragments) of protobuf messages (`wandb/proto/wandb_internal.proto`).
"""

# Why the file is read here, and not by W&B's package: wandb 0.19 to 0.31 has no public interface to what an
# offline run has logged. Its own reader (`wandb.sdk.internal.datastore`) is private, and the environment of
# the sweep need not have wandb, nor the version that the script uses. In the script's process, a replacement
# of the methods of `wandb.Run` and of its summary would see the calls, but not the result: steps, rows of
# several calls (`commit=False`) and the summaries of `define_metric` are made by wandb's service process,
# which writes them to this file only. The few fields that are needed have kept their numbers.

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from sweep.script.json_lines import replace_surrogates, to_float
from sweep.script.metric_sources import MetricRecord
from sweep.script.process import written_files

_PARAMETERS = ".wandb-params.yaml"
RUN_ID = "WANDB_RUN_ID"
_MODE = "WANDB_MODE"
_ONLINE = ("online", "shared", "run")
_HELD_MODE = "SWEEP_WANDB_MODE"
"""The mode as `startup/_sweep_wandb.py` reads it: scripts remove the variables of W&B."""
_NO_SERVER = "http://127.0.0.1:9"
"""For a Python that ignores `startup/_sweep_wandb.py`, which holds the same address in W&B's settings."""


def wandb_variables(
    directory: Path, sweep: str, number: int, label: str, seed: int, env: Mapping[str, str]
) -> dict[str, str]:
    """Environment variables with which W&B's package runs offline and receives the trial's parameters.

    The sweep file's `env` takes precedence. If it sets another mode, nothing is kept offline.

    Args:
        directory: the trial's directory.
        sweep: the sweep's name.
        number: the trial's number.
        label: the repeat's name; empty without repeats.
        seed: the trial's seed, so that runs of different sweeps with the same directory differ.
        env: the variables of the sweep file's `env`.
    """
    name = "-".join(filter(None, [sweep, f"{number:04d}", label]))
    digest = hashlib.sha256(f"{directory}|{seed}".encode()).hexdigest()[:8]
    mode = env.get(_MODE, "offline")
    variables = {
        _MODE: mode,
        _HELD_MODE: mode,
        "WANDB_DIR": str(directory),
        "WANDB_SWEEP_PARAM_PATH": str(directory / _PARAMETERS),
        RUN_ID: f"{name[-55:].lstrip('-')}-{digest}",
        "WANDB_SWEEP_ID": sweep,
        "WANDB_NAME": name,
        "WANDB_SILENT": "true",
        # Seconds between writes to the file. The default of 15 s is too late for pruning.
        "WANDB_X_TRANSACTION_LOG_FLUSH_INTERVAL": "1",
    }
    if mode not in _ONLINE:
        variables |= {"WANDB_BASE_URL": _NO_SERVER, "WANDB_ERROR_REPORTING": "false"}
    return {**variables, **{name: env[name] for name in variables.keys() & env.keys()}}


def write_parameters(directory: Path, params: Mapping[str, Any]) -> None:
    """Write the file from which `wandb.config` is read."""
    text = yaml.safe_dump(
        {name: {"value": value} for name, value in params.items()}, sort_keys=False, allow_unicode=True
    )
    (directory / _PARAMETERS).write_text(f"wandb_version: 1\n\n{text}", encoding="utf-8")


class OfflineRuns:
    """Reads the metrics that a trial's script logs with W&B's package.

    Its runs are in the trial's directory, unless `wandb.init(dir=...)` names another one. Then the run with
    the trial's id is found in the working directory, or anywhere while a process has its file open.

    Args:
        directory: the trial's directory; existing runs belong to earlier attempts.
        cwd: the script's working directory.
        run_id: the trial's run id.
    """

    def __init__(self, directory: Path, cwd: Path | None = None, run_id: str = "") -> None:
        self._directory = directory
        self._cwd = cwd
        self._file_name = f"run-{run_id}.wandb" if run_id else ""
        self._earlier = set(self._files())
        self._runs: dict[Path, _RunFile] = {}

    def read(self, family: Iterable[psutil.Process] = ()) -> list[MetricRecord]:
        """The metrics that have been logged since the last call.

        Args:
            family: the script's processes.
        """
        opened = written_files(family, self._file_name) if self._file_name else ()
        for file in [*self._files(), *(path.resolve() for path in opened)]:
            if file not in self._earlier and file not in self._runs:
                self._runs[file] = _RunFile(file)
        return [record for run in self._runs.values() for record in run.read()]

    def summary(self) -> list[MetricRecord]:
        """The values that were set in `wandb.run.summary` and differ from the last logged ones."""
        return [MetricRecord(None, run.set_values) for run in self._runs.values() if run.set_values]

    def _files(self) -> list[Path]:
        # W&B uses `.wandb` if it cannot create `wandb`. `latest-run` is a link to another directory.
        files = list(self._directory.resolve().glob("*wandb/*run-[0-9]*/run-*.wandb"))
        if self._cwd is not None and self._file_name:
            files += self._cwd.resolve().glob(f"*wandb/*run-[0-9]*/{self._file_name}")
        return sorted(set(files))


_BLOCK = 32768
_FILE_HEADER = 7
_RECORD_HEADER = struct.Struct("<IHB")  # checksum, length, kind
_FULL, _FIRST, _LAST = 1, 2, 4

_HISTORY, _SUMMARY = 2, 3  # of Record
_ITEM, _STEP = 1, 2  # of HistoryRecord; SummaryRecord's `update` is 1 too
_REMOVE = 2  # of SummaryRecord
_KEY, _NESTED_KEY, _INTEGER, _NUMBER, _JSON = 1, 2, 5, 6, 16  # of HistoryItem and SummaryItem


@dataclass
class _RunFile:
    """The file of one run, which is read while it grows."""

    file: Path
    _position: int = _FILE_HEADER
    _fragments: bytes = b""
    _logged: dict[str, float] = field(default_factory=dict)
    _summary: dict[str, float] = field(default_factory=dict)

    @property
    def set_values(self) -> dict[str, float]:
        """The values that the script has set in the summary, whose defaults are the last logged values."""
        return {
            name: value
            for name, value in self._summary.items()
            if name not in self._logged or (value != self._logged[name] and not math.isnan(value))
        }

    def read(self) -> Iterator[MetricRecord]:
        """The history since the last call."""
        for message in self._messages():
            # A step that is not a number, or mappings that are nested too deeply.
            with suppress(DecodeError, ValueError, OverflowError, RecursionError):
                for number, value in _fields(message):
                    if number == _HISTORY and isinstance(value, bytes):
                        record = _history(value)
                        self._logged.update(record.values)
                        for name in record.values:  # the summary has the logged value from now on
                            self._summary.pop(name, None)
                        if record.values:
                            yield record
                    elif number == _SUMMARY and isinstance(value, bytes):
                        values, removed = _summary(value)
                        nested = tuple(f"{name}." for name in removed)
                        for name in list(self._summary):
                            if name in removed or name.startswith(nested):
                                del self._summary[name]
                        self._summary.update(values)

    def _messages(self) -> Iterator[bytes]:
        try:
            with self.file.open("rb") as file:
                file.seek(self._position)
                data = file.read()
        except OSError:
            return
        begin, at = self._position, 0
        while True:
            remaining = _BLOCK - (begin + at) % _BLOCK
            if remaining < _RECORD_HEADER.size:
                at += remaining  # the rest of a block is too short for a record
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
            self._position = begin + at
            if kind in (_FULL, _LAST):
                yield self._fragments


def _history(message: bytes) -> MetricRecord:
    """The content of a HistoryRecord."""
    step: int | None = None
    items: dict[str, Any] = {}
    for number, value in _fields(message):
        if number == _STEP and isinstance(value, bytes):
            step = next(
                (int(raw) for field_number, raw in _fields(value) if field_number == 1), 0
            )  # 0 is not written
        elif number == _ITEM and isinstance(value, bytes):
            name, items[name] = _item(value)
    if (named := _as_number(items.get("_step"))) is not None:
        step = int(named)
    return MetricRecord(step, _metrics(items))


def _summary(message: bytes) -> tuple[dict[str, float], tuple[str, ...]]:
    """The numbers that a SummaryRecord sets, and the names that it removes."""
    entries = [
        (number, _item(value))
        for number, value in _fields(message)
        if isinstance(value, bytes) and number in (_ITEM, _REMOVE)
    ]
    items = {name: item for number, (name, item) in entries if number == _ITEM}
    return _metrics(items), tuple(name for number, (name, _) in entries if number == _REMOVE)


def _metrics(items: Mapping[str, Any]) -> dict[str, float]:
    """The numbers among the items of a record, without W&B's own (`_runtime`) and those of media and tables.

    Mappings are either separate items with dotted names, or JSON.
    """
    media = (name.removesuffix("_type") for name in items if name.endswith("._type"))
    others = ("_", *media)
    return {
        dotted: number
        for name, item in items.items()
        if not name.startswith(others)
        for dotted, number in _numbers(name, item)
    }


def _numbers(name: str, item: Any) -> Iterator[tuple[str, float]]:
    """The numbers in a JSON value, by dotted names."""
    if isinstance(item, dict):
        if "_type" not in item:  # an image or a table
            for key, value in item.items():
                yield from _numbers(f"{name}.{replace_surrogates(key)}", value)
    elif (number := _as_number(item)) is not None:
        yield name, number


def _item(message: bytes) -> tuple[str, Any]:
    """The name and the value of a HistoryItem or SummaryItem."""
    names: list[str] = []
    item: Any = None
    for number, value in _fields(message):
        if number in (_KEY, _NESTED_KEY) and isinstance(value, bytes):
            names.append(value.decode("utf-8", "replace"))
        elif number == _JSON and isinstance(value, bytes):
            with suppress(ValueError, RecursionError):
                item = json.loads(value)
        elif number == _INTEGER and isinstance(value, int):
            item = (value >> 1) ^ -(value & 1)  # zigzag encoding
        elif number == _NUMBER and isinstance(value, int):
            item = struct.unpack("<d", struct.pack("<Q", value))[0]
    return ".".join(names), item


def _as_number(value: Any) -> float | None:
    if value in ("NaN", "Infinity", "-Infinity"):  # W&B's JSON for these numbers
        return float(value)
    return to_float(value)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protobuf message whose type is not declared here: their numbers and raw values."""
    for unknown in UnknownFieldSet(Empty.FromString(message)):
        yield unknown.field_number, unknown.data
