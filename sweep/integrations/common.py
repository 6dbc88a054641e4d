"""What the callbacks of all frameworks have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal
from weakref import WeakSet

from sweep.errors import suggestion
from sweep.trial.checkpoints import Checkpoint, Checkpoints
from sweep.trial.trial import Trial

Steps = Literal["evaluation", "global_step"]
"""What curves and reports are counted by."""
_taken: WeakSet[Checkpoints] = WeakSet()
"""The checkpoints of trials that serve a training."""


def check_steps(steps: str) -> None:
    """See that it is one of `Steps`.

    Raises:
        ValueError: it is not.
    """
    if steps not in ("evaluation", "global_step"):
        raise ValueError(f"steps is {steps!r}; {suggestion(steps, ['evaluation', 'global_step'])}")


def check_count(count: Any, name: str) -> None:
    """See that it is a whole number from 0.

    Raises:
        ValueError: it is not.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise ValueError(f"{name} is {count!r}; it has to be a whole number from 0")


def check_one_process(processes: int) -> None:
    """See that the trial's training is in this process alone.

    Raises:
        RuntimeError: it is spread over several: their trials would be as many.
    """
    if processes > 1:
        raise RuntimeError(
            f"SweepCallback serves a training in one process, and this one has {processes}; for several "
            "GPUs in a trial make a script of it that calls sweep.report, and let its command be torchrun"
        )


def take_checkpoints(trial: Trial) -> tuple[bool, Checkpoint | None]:
    """A trial's checkpoints are those of one training.

    Of several, as of the folds of a cross-validation, none may go on from what another one has saved.

    Returns:
        whether this training is the one, and the checkpoint from which it goes on.
    """
    if trial.checkpoint in _taken:
        return False, None
    _taken.add(trial.checkpoint)
    return True, trial.checkpoint.latest()


def numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """Those values that are single numbers, as floats."""
    found = {}
    for name, value in values.items():
        size = getattr(value, "numel", None) or getattr(value, "size", 1)
        if not isinstance(value, (str, bytes, bool)) and (size() if callable(size) else size) == 1:
            try:
                found[str(name)] = float(value)
            except (TypeError, ValueError):
                continue
    return found


def missing(monitor: str, names: Iterable[str]) -> ValueError:
    """The error that there is no such metric."""
    names = list(names)
    found = f"found {', '.join(names)}; {suggestion(monitor, names)}" if names else "nothing was logged"
    return ValueError(f"monitor: there is no {monitor!r} at the end of an evaluation: {found}")


def tell(trial: Trial, value: float, values: Mapping[str, float], step: int) -> None:
    """Report the metric, and log what else is known at that step."""
    trial.report(value, step)
    trial.log({name: number for name, number in values.items() if name != trial.metric}, step)
