"""The TensorBoard side of one attempt of a trial, as its worker writes it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from sweep.tracking import hparams
from sweep.tracking.events import EventFile, RunWriter, let_others_begin
from sweep.tracking.hparams import Cell, Session
from sweep.tracking.read import read_scalars
from sweep.tracking.row import mend_row
from sweep.tracking.tensorboardx import summary_pb2


def best_tag(metric: str) -> str:
    """The tag of the best value so far. TensorBoard shows the last value of a tag, never the best."""
    return f"best/{metric}"


class RunDirectory:
    """Writes one attempt's event file; the row is there, and durable, when the constructor returns.

    Unless the trial asks for its parameters: TensorBoard keeps the first row of a run for ever, so it is
    written with the first scalar, which comes when the parameters are known as a rule. If the trial asks for
    more after that, the row is mended at the end.

    Args:
        path: the trial's directory; made if it is missing.
        session: the row.
        metric: the tag of the sweep's metric.
        maximize: whether more of it is better.
        resume_after: the step of the checkpoint from which the trial can go on, if there is one.
        is_open: whether the trial asks for its parameters.
    """

    def __init__(
        self,
        path: Path,
        session: Session,
        metric: str,
        maximize: bool,
        resume_after: int | None = None,
        is_open: bool = False,
    ) -> None:
        self.path = path
        self._file = EventFile(path)
        self._session = session
        self._has_row = False
        self._is_open = is_open
        if not is_open:
            self._write_row()
        self._resume_after = resume_after
        self._is_resumed = False
        self._earlier: dict[str, dict[int, float]] = {}
        """What earlier attempts have drawn, if this one may go on anywhere in it."""
        self.has_scalars = False
        """Whether anything has been drawn yet."""
        self._file.void(0 if resume_after is None else resume_after + 1)
        self._metric = metric
        self._maximize = maximize
        self._best: float | None = None
        self.last: dict[str, tuple[int, float]] = {}
        """The last step and value of each tag."""

    def found(self, cells: Mapping[str, Cell]) -> None:
        """The trial has asked for parameters: these are all of its row now."""
        self._session = replace(self._session, cells=cells)

    def _write_row(self) -> None:
        self._has_row = True
        self._file.add_summary(hparams.session_start(self._session))
        self._file.sync()

    @property
    def state(self) -> dict[str, Any]:
        """How far the curves are, as JSON takes it."""
        return {"last": self.last, "best": self._best}

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on with the curves of an earlier attempt; to be called before anything is drawn.

        Args:
            state: the other attempt's `state` when the checkpoint was saved.
        """
        self._is_resumed = True
        self.last = {tag: (at, value) for tag, (at, value) in state["last"].items()}
        self._best = state["best"]

    def follow(self) -> dict[str, dict[int, float]]:
        """Be ready for a script: it may draw in this run, and go on with the curves of earlier attempts.

        Where it does so is where its scalars begin. To be called before anything is drawn.

        Returns:
            what earlier attempts have drawn: values by tag and step.
        """
        let_others_begin(self._file.path)
        self._earlier = read_scalars(self.path)
        if self._earlier:
            self._file.void(None)
            self._take_over(self._earlier, math.inf)
        return self._earlier

    def _take_over(self, scalars: Mapping[str, Mapping[int, float]], end: float) -> None:
        """Go on with what is drawn at steps below `end`."""
        scalars = {
            tag: {at: value for at, value in values.items() if at < end} for tag, values in scalars.items()
        }
        self.last = {tag: max(values.items()) for tag, values in scalars.items() if values}
        values = [value for value in scalars.get(self._metric, {}).values() if not math.isnan(value)]
        self._best = (max if self._maximize else min)(values, default=None)

    def begin(self, step: int, tags: Iterable[str]) -> None:
        """This attempt's scalars begin at `step`: what earlier attempts have drawn beyond that is void.

        Only the first call counts. If it may go on anywhere, a single number that an earlier attempt has
        drawn at step 0 too (how large the model is, say) does not tell where.
        """
        if self.has_scalars:
            return
        if self._earlier and step == 0 and all(len(self._earlier.get(tag, ())) <= 1 for tag in tags):
            return
        self.has_scalars = True
        if self._earlier:
            self._file.void(step)
            self._take_over(self._earlier, step)
        elif self._resume_after is not None:
            if not self._is_resumed:  # it begins at its beginning, although it could have gone on
                self._file.void(0)
            elif step <= self._resume_after:
                self._file.void(step)
                exact = {tag: (at, value) for tag, (at, value) in self.last.items() if at < step}
                self._take_over(read_scalars(self.path), step)  # a best of void steps is none
                self.last.update(exact)  # a file has single precision

    @cached_property
    def writer(self) -> RunWriter:
        """A tensorboardX `SummaryWriter` that writes into the same file."""
        return RunWriter(self._file)

    def add_event(self, event: Any) -> None:
        """Write an event that somebody else has made."""
        self._file.add_event(event)

    def add_scalars(self, values: Mapping[str, float], step: int, are_drawn: bool = False) -> None:
        """Write scalars of one step; with the metric among them, its best so far too.

        Args:
            values: by tag.
            step: of all of them.
            are_drawn: whether they stand in the run already. Then only the best is written.
        """
        if not self._has_row:
            self._write_row()
        if values:
            self.begin(step, values)
        scalars = {tag: value for tag, value in values.items() if self.last.get(tag) != (step, value)}
        if self._metric in scalars and self._is_best(scalars[self._metric]):
            self._best = scalars[self._metric]
        if self._metric in scalars and self._best is not None:
            scalars[best_tag(self._metric)] = self._best
        self.last.update({tag: (step, value) for tag, value in scalars.items()})
        if are_drawn:
            scalars = {tag: value for tag, value in scalars.items() if tag not in values}
        if scalars:
            summary = summary_pb2.Summary(
                value=[
                    summary_pb2.Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()
                ]
            )
            self._file.add_summary(summary, step)

    def go_behind(self) -> None:
        """Go on in a file behind those that somebody else has put into the directory; draw the best again.

        TensorBoard's Python loader follows only the last file: it has missed what came here meanwhile.
        """
        self._file.finish()
        self._file = EventFile(self.path)
        if self._best is not None:
            step = max(step for step, _ in self.last.values()) + 1
            self.add_scalars({best_tag(self._metric): self._best}, step)

    def add_final(self, metrics: Mapping[str, float]) -> None:
        """Write what the objective returned, one step behind everything else, where the last value differs.

        NaN is left out: one would make the whole row NaN.
        """
        step = max((step for step, _ in self.last.values()), default=-1) + 1
        news = {
            tag: value
            for tag, value in metrics.items()
            if not math.isnan(value) and (tag not in self.last or self.last[tag][1] != value)
        }
        self.add_scalars(news, step)

    def _is_best(self, value: float) -> bool:
        if math.isnan(value):
            return False
        return self._best is None or (value > self._best if self._maximize else value < self._best)

    def finish(self) -> None:
        """Close the file. The end record comes from whoever knows the outcome (`root.end_session`)."""
        if not self._has_row:
            self._write_row()
        self._file.finish()
        if self._is_open:
            mend_row(self.path, self._session)
