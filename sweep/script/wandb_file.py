"""Reads the file of a W&B run: its history, its summary and the definitions of its metrics.

The file is a log in LevelDB's format (blocks of 32 KiB, records in fragments) of protobuf messages
(`wandb/proto/wandb_internal.proto`).
"""

# Why the file is read here, and not by W&B's package: wandb 0.19 to 0.31 has no public interface to what an
# offline run has logged. Its own reader (`wandb.sdk.internal.datastore`) is private, and the environment of
# the sweep need not have wandb, nor the version that the script uses. In the script's process, a replacement
# of the methods of `wandb.Run` and of its summary would see the calls, but not the result: steps, rows of
# several calls (`commit=False`) and the summaries of `define_metric` are made by wandb's service process,
# which writes them to this file only. The few fields that are needed have kept their numbers.

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from sweep.script.json_lines import replace_surrogates, to_float
from sweep.script.metric_sources import MetricRecord
from sweep.script.wandb_mirror import TensorboardMirror

_BLOCK = 32768
_FILE_HEADER = 7
_RECORD_HEADER = struct.Struct("<IHB")  # checksum, length, kind
_FULL, _FIRST, _LAST = 1, 2, 4

_HISTORY, _SUMMARY, _TENSORBOARD, _METRIC = 2, 3, 9, 12  # of Record
_ITEM, _STEP = 1, 2  # of HistoryRecord; SummaryRecord's `update` is 1 too
_REMOVE = 2  # of SummaryRecord
_KEY, _NESTED_KEY, _INTEGER, _NUMBER, _JSON = 1, 2, 5, 6, 16  # of HistoryItem and SummaryItem
_LOG_DIRECTORY = 1  # of TBRecord
_NAME, _GLOB, _STEP_METRIC = 1, 2, 4  # of MetricRecord


class _Row(NamedTuple):
    """A row of the history. `step` is W&B's; `numbers` are all of its numbers, also W&B's own."""

    step: int
    values: dict[str, float]
    numbers: dict[str, float]


def _is_equal(value: float, other: float) -> bool:
    return value == other or (math.isnan(value) and math.isnan(other))


@dataclass(eq=False)
class RunFile:
    """The file of one run, which is read while it grows.

    Args:
        file: the file.
        directories: returns the directories to which the paths in it may be relative.
    """

    file: Path
    directories: Callable[[], list[Path]] = list
    logged: dict[str, float] = field(default_factory=dict)
    """The last logged value of each metric."""
    _time: float = 0.0
    _position: int = _FILE_HEADER
    _fragments: bytes = b""
    _summary: dict[str, float] = field(default_factory=dict)
    _steps: _StepMetrics = field(default_factory=lambda: _StepMetrics())
    _mirror: TensorboardMirror = field(default_factory=TensorboardMirror)

    @property
    def set_values(self) -> dict[str, float]:
        """The values that the script has set in the summary, whose defaults are the last logged values."""
        return {
            name: value
            for name, value in self._summary.items()
            if name not in self.logged or not _is_equal(value, self.logged[name])
        }

    def read(self) -> Iterator[tuple[float, MetricRecord]]:
        """The history since the last call: metrics with the same step, each with its time.

        Rows in which W&B repeats what event files contain are left out: the files are read themselves.
        """
        for message in self._messages():
            # A step that is not a number, or mappings that are nested too deeply.
            with suppress(DecodeError, ValueError, OverflowError, RecursionError):
                for number, value in _fields(message):
                    if isinstance(value, bytes):
                        yield from self._take(number, value)

    def _take(self, number: int, message: bytes) -> Iterator[tuple[float, MetricRecord]]:
        if number == _HISTORY:
            row = _history(message)
            self.logged.update(row.values)
            for name in row.values:  # the summary has the logged value from now on
                self._summary.pop(name, None)
            if not self._mirror.has_row(row.numbers):
                self._time = max(self._time, row.numbers.get("_timestamp", 0.0))
                yield from ((self._time, record) for record in self._steps.records(row))
        elif number == _SUMMARY:
            values, removed = _summary(message, self.logged)
            nested = tuple(f"{name}." for name in removed)
            for name in list(self._summary):
                if name in removed or name.startswith(nested):
                    del self._summary[name]
            self._summary.update(values)
        elif number == _TENSORBOARD:
            self._mirror.add(_texts(message).get(_LOG_DIRECTORY, ""), self.directories())
        elif number == _METRIC:
            self._steps.define(_texts(message))

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


class _StepMetrics:
    """The steps of metrics for which `define_metric` names another metric as their step.

    The scale of a metric is that of its first value: its step metric's, if that is a whole number,
    or W&B's steps. A step metric that is 0 again has no steps.
    """

    def __init__(self) -> None:
        self._step_metrics: dict[str, str] = {}
        """By the name of a metric."""
        self._globs: dict[str, str] = {}
        """By the beginning of a metric's name: W&B allows an asterisk at the end only."""
        self._scales: dict[str, str | None] = {}
        """The step metric that counts for a metric; None for W&B's steps."""
        self._last: dict[str, float] = {}
        self._at_zero: set[str] = set()
        """The metrics that have had a value at step 0 of their step metric."""

    def define(self, texts: Mapping[int, str]) -> None:
        """Take the definition of a metric."""
        if _GLOB in texts:
            self._globs[texts[_GLOB].removesuffix("*")] = texts.get(_STEP_METRIC, "")
        else:
            self._step_metrics[texts.get(_NAME, "")] = texts.get(_STEP_METRIC, "")

    def records(self, row: _Row) -> list[MetricRecord]:
        """The metrics of a row, by their steps."""
        self._last.update(row.numbers)
        found: dict[int, dict[str, float]] = {}
        for name, value in row.values.items():
            scale = self._scales.setdefault(name, self._scale(name))
            if scale is not None and self._last[scale] == 0:
                if name in self._at_zero:  # W&B's value for a step metric that has not been logged
                    scale = self._scales[name] = None
                self._at_zero.add(name)
            step = self._last[scale] if scale is not None else row.step
            if math.isfinite(step):
                found.setdefault(math.floor(step), {})[name] = value
        return [MetricRecord(step, values) for step, values in found.items()]

    def _scale(self, name: str) -> str | None:
        globs = [glob for glob in self._globs if name.startswith(glob)]
        default = self._globs[max(globs, key=len)] if globs else ""
        step_metric = self._step_metrics.get(name, default)
        return step_metric if self._last.get(step_metric, math.nan).is_integer() else None


def _history(message: bytes) -> _Row:
    """The content of a HistoryRecord."""
    step = 0
    items: dict[str, Any] = {}
    for number, value in _fields(message):
        if number == _STEP and isinstance(value, bytes):
            step = next((int(raw) for field_number, raw in _fields(value) if field_number == 1), 0)
        elif number == _ITEM and isinstance(value, bytes):
            name, items[name] = _item(value)
    numbers = {dotted: number for name, item in items.items() for dotted, number in _numbers(name, item)}
    return _Row(int(numbers.get("_step", step)), _metrics(items), numbers)


def _summary(message: bytes, logged: Container[str]) -> tuple[dict[str, float], tuple[str, ...]]:
    """The numbers that a SummaryRecord sets, and the names that it removes.

    W&B writes null for NaN, and for None, which can be anything unless it replaces a logged number.
    """
    entries = [
        (number, _item(value))
        for number, value in _fields(message)
        if isinstance(value, bytes) and number in (_ITEM, _REMOVE)
    ]
    items = {
        name: math.nan if item is None and name in logged else item
        for number, (name, item) in entries
        if number == _ITEM
    }
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


def _texts(message: bytes) -> dict[int, str]:
    """The strings of a message, by the numbers of their fields."""
    return {
        number: value.decode("utf-8", "replace")
        for number, value in _fields(message)
        if isinstance(value, bytes)
    }
