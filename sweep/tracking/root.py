"""TensorBoard records of a sweep as a whole, and of how each trial ended."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweep.tracking import hparams
from sweep.tracking.events import EventFile, event_files, is_from_sweep, last_event_file
from sweep.tracking.foreign import clean_up
from sweep.tracking.hparams import Column, Session
from sweep.tracking.read import read_values
from sweep.tracking.records import is_complete
from sweep.tracking.row import update_row
from sweep.tracking.tensorboardx import summary_pb2
from sweep.tracking.texts import LAYOUT_TAG, scalar_values, text_value


def declare_experiment(
    root: Path, columns: Iterable[Column], metrics: Iterable[str], description: str
) -> None:
    """Write the experiment record of a sweep, unless it exists already.

    It is written elsewhere and moved into place: if the sweep is killed, it has none or a complete one.
    """
    if event_files(root):
        return
    temporary = EventFile(root / ".experiment")
    temporary.add_summary(hparams.experiment(columns, metrics, description, time.time()))
    temporary.sync()
    temporary.finish()
    temporary.path.replace(root / temporary.path.name)
    shutil.rmtree(temporary.path.parent)


def update_root(
    root: Path,
    layout: Any,
    texts: Mapping[str, str],
    curves: Mapping[str, Iterable[tuple[int, float]]],
    step: int,
) -> None:
    """Write texts and curves of the sweep as a whole to its root run. What is there is not written again.

    The caller is the only writer of the root run now.

    Args:
        root: the sweep's directory.
        layout: the layout of the Custom Scalars tab, as a value of a summary.
        texts: texts in Markdown by tag.
        curves: points by tag, of which those after the last written step are added.
        step: the step of the texts. TensorBoard's data server shows only the last text of a step.
    """
    known = _read_root(root)
    values = [] if known.has_layout else [layout]
    values += [text_value(tag, text) for tag, text in texts.items() if known.texts.get(tag) != text]
    points: dict[int, dict[str, float]] = {}
    for tag, curve in curves.items():
        for at, number in curve:
            if at > known.steps.get(tag, -1):
                points.setdefault(at, {})[tag] = number
    if not values and not points:
        return
    files = event_files(root)
    is_whole = bool(files) and is_from_sweep(files[-1].name) and is_complete(files[-1])
    file = EventFile(root, path=files[-1] if is_whole else None)
    for at, numbers in sorted(points.items()):
        file.add_summary(summary_pb2.Summary(value=scalar_values(numbers)), at)
    if values:
        file.add_summary(summary_pb2.Summary(value=values), step)
    file.finish()


@dataclass
class _RootContent:
    """What the root run contains: the last text and the last step of each tag."""

    has_layout: bool = False
    texts: dict[str, str] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)


def _read_root(root: Path) -> _RootContent:
    content = _RootContent()
    for value, step in read_values(root):
        if value.tag == LAYOUT_TAG:
            content.has_layout = True
        elif value.HasField("simple_value"):
            content.steps[value.tag] = step
        elif value.tensor.string_val:
            content.texts[value.tag] = value.tensor.string_val[0].decode("utf-8", "replace")
    return content


def end_session(
    run: Path, session: Session, success: bool, is_whole: bool, ended: float, values: Iterable[Any] = ()
) -> None:
    """Write the outcome of a trial, once it is final: TensorBoard keeps the first.

    Args:
        run: the trial's directory.
        session: the row, which is written here if it is missing.
        success: whether the trial was complete or pruned.
        is_whole: whether the worker has closed its event file. If it was killed, the file may end with an
            incomplete record, after which nothing is read, and the outcome needs another file. The files of
            other writers are hidden here.
        ended: the end time in seconds since the epoch.
        values: texts and points of curves to write with it, at step 0.
    """
    if not is_whole:
        clean_up(run)
    end = hparams.session_end(success, ended)
    # The worker died before it wrote the row, or the objective removed its directory.
    if not event_files(run) or not (is_whole or update_row(run, session)):
        file = EventFile(run)
        file.add_summary(hparams.session_start(session))
    elif is_whole:
        file = last_event_file(run)
    else:
        file = EventFile(run)
    end.value.extend(values)
    file.add_summary(end, step=0)
    file.finish()
