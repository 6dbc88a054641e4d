"""The Python API: `sweep.run` and what it returns."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.compare.view import SweepView, TrialRow
from sweep.engine.base import Observer
from sweep.errors import StartInterrupted, SweepError
from sweep.launch import GRACE, launch
from sweep.spec import SweepSpec, read_sweep_file

if TYPE_CHECKING:
    import optuna


def run(
    spec: SweepSpec | str | os.PathLike[str],
    *,
    overrides: Mapping[str, Any] | None = None,
    runs: str | os.PathLike[str] = "runs",
    address: str | None = None,
    inline: bool = False,
    fresh: bool = False,
    grace: float = GRACE,
    observer: Observer | None = None,
) -> SweepResult:
    """Run a sweep, or go on with it where it stopped; the same as the command `sweep run`.

    In a process that is connected to Ray already, that connection is used.

    Args:
        spec: a sweep file, or a spec built in Python.
        overrides: changes to the sweep file by dotted keys: `{"stop.trials": 20}`.
        runs: the folder in which the sweep's directory lies.
        address: of a running Ray cluster; by default Ray is started on this machine.
        inline: one trial at a time in this process, without Ray.
        fresh: move an old sweep of the same name to `.old/` instead of going on with it.
        grace: when it is interrupted, how long running trials may go on to reach a checkpoint, in seconds.
        observer: is told what happens; by default nothing is printed.

    Raises:
        InputError: something that was asked for is not there or makes no sense.
        SweepError: the sweep could not do its work.
        KeyboardInterrupt: it was interrupted; the same call goes on.
    """
    near = Path.cwd()
    locating: AbstractContextManager[None] = nullcontext()
    if not isinstance(spec, SweepSpec):
        near = Path(spec).parent
        changes = [(f"overrides[{key!r}]", key, value) for key, value in (overrides or {}).items()]
        file = read_sweep_file(spec, changes)
        spec, locating = file.spec, file.locating()
    elif overrides:
        raise TypeError("overrides change a sweep file; change a SweepSpec with model_copy")
    try:
        with locating:
            launched = launch(
                spec,
                observer or Observer(),
                near=near,
                runs=Path(runs),
                address=address,
                inline=inline,
                fresh=fresh,
                grace=grace,
            )
    except StartInterrupted:
        raise KeyboardInterrupt from None
    if launched.signal is not None:
        raise KeyboardInterrupt
    return SweepResult(SweepView(launched.directory))


class SweepResult:
    """A sweep that has been run.

    Attributes:
        directory: its directory, which is a TensorBoard log directory.
        study: the Optuna study, for its visualisations and everything else.
    """

    def __init__(self, view: SweepView) -> None:
        self._view = view
        self.directory: Path = view.directory.root
        if view.study is None:
            raise SweepError(f"{view.spec.name}: has no study")
        self.study: optuna.Study = view.study

    def __repr__(self) -> str:
        return f"SweepResult({str(self.directory)!r}, {len(self.trials)} trials)"

    @property
    def best_params(self) -> dict[str, Any]:
        """All parameters of the best trial, constants included.

        Raises:
            SweepError: no trial is complete.
        """
        return self._view.params(self._best())

    @property
    def best_value(self) -> float:
        """The metric of the best trial.

        Raises:
            SweepError: no trial is complete.
        """
        return float(self._best().values[0])

    @property
    def trials(self) -> list[TrialRow]:
        """All trials, as `sweep trials --format json` gives them."""
        return self._view.rows()

    def _best(self) -> Any:
        best = self._view.best
        if best is None:
            raise SweepError(f"{self._view.spec.name}: no trial is complete")
        return best
