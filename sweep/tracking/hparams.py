"""The three records of TensorBoard's HParams protocol.

An *experiment* at the root of the log directory declares the columns. In each run directory a *session start*
creates a row and a *session end* sets its outcome. TensorBoard keeps the first record of each kind in a run
and takes a random experiment if there are several, so each is written exactly once. tensorboardX's
`add_hparams` cannot be used: it opens a second run directory and always reports success.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sweep.tracking.tensorboardx import api_pb2, plugin_hparams_pb2, summary_pb2

Kind = Literal["float", "bool", "string"]
Cell = float | bool | str

EXPERIMENT_TAG = "_hparams_/experiment"
SESSION_START_TAG = "_hparams_/session_start_info"
SESSION_END_TAG = "_hparams_/session_end_info"

_TYPES = {
    "float": api_pb2.DATA_TYPE_FLOAT64,
    "bool": api_pb2.DATA_TYPE_BOOL,
    "string": api_pb2.DATA_TYPE_STRING,
}
_DIFFERS = b"\x38\x01"
"""`differs = true`, field 7 of HParamInfo, which tensorboardX's copy of the protocol does not have.
TensorBoard shows these columns first."""


@dataclass(frozen=True)
class Column:
    """A parameter's column.

    Args:
        name: the parameter.
        kind: the type of all its cells.
        domain: the possible values, or (lowest, highest) if `interval`.
        interval: whether `domain` is an interval.
        differs: whether trials can differ in it; constants are shown last.
    """

    name: str
    kind: Kind
    domain: tuple[Cell, ...]
    interval: bool = False
    differs: bool = True


@dataclass(frozen=True)
class Session:
    """A row: one execution of a trial.

    Args:
        cells: the trial's parameters.
        group: runs with the same group share one row, even runs of different sweeps.
        started: the start time in seconds since the epoch, as all times here.
    """

    cells: Mapping[str, Cell]
    group: str
    started: float


def kind_of(values: Iterable[Any]) -> Kind:
    """The type of a column with these values. TensorBoard cannot sort one with strings and numbers."""
    values = list(values)
    if values and all(isinstance(value, bool) for value in values):
        return "bool"
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        return "float"
    return "string"


def cell(value: Any, kind: Kind) -> Cell:
    """A parameter value as a cell of a column of this kind."""
    if kind == "float":
        return float(value)
    if kind == "bool":
        return bool(value)
    return json.dumps(value) if isinstance(value, (list, dict)) else str(value)


def cells_of_suggested(params: Mapping[str, Any], distributions: Mapping[str, Any]) -> dict[str, Cell]:
    """The row of a trial with `parameters: define-by-run`.

    Args:
        params: the suggested values by name.
        distributions: the Optuna distributions from which they were sampled.
    """
    return {
        name: cell(value, kind_of(getattr(distributions.get(name), "choices", [value])))
        for name, value in params.items()
    }


def group_name(sweep: str, number: int) -> str:
    """The session group of a trial."""
    return f"{sweep}/t{number:04d}"


def experiment(columns: Iterable[Column], metrics: Iterable[str], description: str, created: float) -> Any:
    """The record that declares all columns: parameters, and the tags of metrics."""
    record = api_pb2.Experiment(
        description=description,
        time_created_secs=created,
        metric_infos=[api_pb2.MetricInfo(name=api_pb2.MetricName(group="", tag=tag)) for tag in metrics],
    )
    for column in columns:
        info = record.hparam_infos.add(name=column.name, type=_TYPES[column.kind])
        if column.interval:
            low, high = column.domain
            info.domain_interval.min_value, info.domain_interval.max_value = low, high
        else:
            info.domain_discrete.extend(list(column.domain))
        if column.differs:
            info.MergeFromString(_DIFFERS)
    return _summary(EXPERIMENT_TAG, plugin_hparams_pb2.HParamsPluginData(version=0, experiment=record))


def session_start(session: Session) -> Any:
    """The record that creates a row."""
    record = plugin_hparams_pb2.SessionStartInfo(group_name=session.group, start_time_secs=session.started)
    _set_cells(record, session.cells)
    return _start_summary(record)


def updated_session_start(content: bytes, cells: Mapping[str, Cell]) -> Any | None:
    """The record of a row with new cells; None if it has these cells already.

    Args:
        content: the content of the existing record.
        cells: the new cells.
    """
    record = plugin_hparams_pb2.HParamsPluginData.FromString(content).session_start_info
    updated = plugin_hparams_pb2.SessionStartInfo()
    _set_cells(updated, cells)
    if record.hparams == updated.hparams:
        return None
    record.ClearField("hparams")
    _set_cells(record, cells)
    return _start_summary(record)


def _set_cells(record: Any, cells: Mapping[str, Cell]) -> None:
    for name, value in cells.items():
        if isinstance(value, bool):
            record.hparams[name].bool_value = value
        elif isinstance(value, str):
            record.hparams[name].string_value = value
        else:
            record.hparams[name].number_value = value


def _start_summary(record: Any) -> Any:
    return _summary(
        SESSION_START_TAG, plugin_hparams_pb2.HParamsPluginData(version=0, session_start_info=record)
    )


def session_end(success: bool, ended: float) -> Any:
    """The record that gives a row its outcome."""
    record = plugin_hparams_pb2.SessionEndInfo(
        status=api_pb2.STATUS_SUCCESS if success else api_pb2.STATUS_FAILURE, end_time_secs=ended
    )
    return _summary(SESSION_END_TAG, plugin_hparams_pb2.HParamsPluginData(version=0, session_end_info=record))


def _summary(tag: str, data: Any) -> Any:
    metadata = summary_pb2.SummaryMetadata(
        plugin_data=summary_pb2.SummaryMetadata.PluginData(
            plugin_name="hparams", content=data.SerializeToString()
        )
    )
    return summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=tag, metadata=metadata)])
