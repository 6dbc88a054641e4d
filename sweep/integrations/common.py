"""Functions that the callbacks for all frameworks share."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args
from weakref import WeakSet

from sweep.errors import suggestion
from sweep.system.ranks import WORKER_RANK
from sweep.trial.checkpoints import Checkpoints
from sweep.trial.trial import Trial

Steps = Literal["evaluation", "global_step"]
"""The unit of the steps of reports and curves."""
_claimed: WeakSet[Checkpoints] = WeakSet()
"""The checkpoints of the trials that have a callback already."""


def check_steps(steps: str) -> None:
    """Check that `steps` is one of `Steps`.

    Raises:
        ValueError: `steps` is not one of them.
    """
    if steps not in get_args(Steps):
        raise ValueError(f"steps is {steps!r}; {suggestion(steps, get_args(Steps))}")


def check_one_process(processes: int) -> None:
    """Check that the training runs in this process only, or in workers that Ray has started for the trial.

    Raises:
        RuntimeError: it has other processes, and each would report to the trial.
    """
    if processes > 1 and WORKER_RANK not in os.environ:
        raise RuntimeError(
            f"SweepCallback supports training in one process, and this training has {processes}; for several "
            f"GPUs per trial write resources: {{gpu: 1, workers: {processes}}}, or a script that calls "
            "sweep.report, with torchrun in its command"
        )


def claim(trial: Trial) -> bool:
    """Claim the trial's curves, reports and checkpoints for one callback.

    If there are several callbacks, such as those of the folds of a cross-validation, only the first one has
    them, so that none overwrites the curves of another or resumes from its checkpoint.

    Returns:
        whether this callback is the first one.
    """
    is_first = trial.checkpoint not in _claimed
    _claimed.add(trial.checkpoint)
    return is_first


def scalar_values(values: Mapping[str, Any]) -> dict[str, float]:
    """The values that are single numbers, as floats."""
    scalars = {}
    for name, value in values.items():
        size = getattr(value, "numel", None) or getattr(value, "size", 1)
        if not isinstance(value, (str, bytes, bool)) and (size() if callable(size) else size) == 1:
            try:
                scalars[str(name)] = float(value)
            except (TypeError, ValueError):
                continue
    return scalars


def monitor_error(monitor: str, names: Iterable[str]) -> ValueError:
    """The error for a monitored metric that the evaluation has not logged."""
    names = list(names)
    parts = [name for name in names if name.startswith(f"{monitor}/")]  # one for each of several loaders
    hint = f"did you mean {parts[0]!r}?" if parts else suggestion(monitor, names)
    details = f"found {', '.join(names)}; {hint}" if names else "nothing was logged"
    return ValueError(f"monitor: there is no {monitor!r} at the end of an evaluation: {details}")


def report_and_log(trial: Trial, value: float, values: Mapping[str, float], step: int) -> None:
    """Report the metric, and log the other values at the same step."""
    trial.report(value, step)
    trial.log({name: number for name, number in values.items() if name != trial.metric}, step)
