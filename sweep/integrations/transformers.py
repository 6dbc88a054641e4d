"""A callback for the Hugging Face `Trainer` that connects a training with a trial."""

from __future__ import annotations

import os
import shutil
import warnings
from pathlib import Path
from typing import Any, NamedTuple

from sweep.integrations import common
from sweep.system.directory import TrialDirectory
from sweep.trial.trial import Trial

try:
    from transformers import TrainerCallback, TrainerState
    from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
except ImportError:
    raise ImportError(
        "sweep.integrations.transformers needs transformers: pip install 'sweep-hpo[transformers]'"
    ) from None


class _StartState(NamedTuple):
    """The state when a training began. A resumed training has the state of its checkpoint.

    Args:
        length: the length of the trainer's history.
        steps: the number of optimizer steps.
        last: the step of the last report, -1 if there was none.
    """

    length: int = 0
    steps: int = 0
    last: int = -1


class SweepCallback(TrainerCallback):  # type: ignore[misc]
    """Connects a Hugging Face `Trainer` with a trial.

    After each evaluation it reports the metric, logs the evaluation's metrics and the last values of the
    trainer (loss, learning rate) to the trial's TensorBoard run, and stops the training if the pruner stops
    the trial: `trainer.train` then raises `sweep.TrialPruned`. The trainer's checkpoints (`save_strategy`)
    are saved in the trial's directory too, and the next attempt resumes from the last one:
    `trainer.train(resume_from_checkpoint=callback.checkpoint)`. If a trial has several callbacks, for
    example one for each fold of a cross-validation, only the first one reports, logs, prunes and saves
    checkpoints, and the other trainings start from scratch. A second training with the same callback
    continues the steps of the first, saves no checkpoints, and starts from scratch too.

    Evaluations after the training, for example on test data, are not reported. Without a training, they are
    reported. If a training finishes without an evaluation, nothing has been reported, and the callback warns.

    Args:
        trial: the trial.
        monitor: the metric's name, with or without `eval_`; by default the sweep's name of the metric.
        steps: the unit of the steps of reports and curves: `evaluation`, with which trials of different batch
            sizes can be compared, or `global_step`, with the trainer's values between evaluations.

    Raises:
        ValueError: `steps` is invalid, or the first evaluation has no `monitor`.
        RuntimeError: at the start of the training, if it is distributed over several processes.
    """

    def __init__(self, trial: Trial, monitor: str | None = None, steps: common.Steps = "evaluation") -> None:
        common.check_steps(steps)
        self._trial = trial
        self._monitor = monitor or trial.metric
        self._by_global_step = steps == "global_step"
        self._logged: dict[str, float] = {}
        self._evaluated: dict[str, None] = {}
        self._has_found = False
        self._has_begun = self._has_ended = False
        self._last = -1
        """The step of the last report."""
        self._start = _StartState()
        self._repeated = 0
        """The number of evaluations of this training that an earlier attempt has reported."""
        self._saves = self._is_first = common.claim(trial)
        checkpoint = trial.checkpoint.latest() if self._is_first else None
        self._step = 0 if checkpoint is None else checkpoint.step
        self.checkpoint: str | None = None if checkpoint is None else str(checkpoint.path)
        """The last checkpoint of an earlier attempt; None if the training starts from scratch."""

    def on_train_begin(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        common.check_one_process(args.world_size)
        if not self._saves:  # an earlier training has saved the checkpoints
            _copy_linked_files(TrialDirectory(self._trial.directory).checkpoints)
        self._has_begun, self._has_ended = True, False
        if state.global_step > 0 and self._trial.last_reported is not None:
            self._last = self._trial.last_reported.step
        self._repeated = 0
        self._logged = {}
        self._start = _StartState(len(state.log_history), state.global_step, self._last)

    def on_log(self, args: Any, state: TrainerState, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if not self._is_first or self._has_trained_nothing(state):  # then it logs an empty summary
            return
        values = common.scalar_values(
            {name: value for name, value in (logs or {}).items() if not name.startswith("eval_")}
        )
        if self._by_global_step:
            excluded = (self._monitor, self._trial.metric)  # these are logged after evaluations
            others = {name: value for name, value in values.items() if name not in excluded}
            self._trial.log(others, self._steps_so_far(state))
        else:
            self._logged.update(values)

    def on_evaluate(
        self, args: Any, state: TrainerState, control: Any, metrics: Any = None, **kwargs: Any
    ) -> None:
        # After the training it is on test data, for example, which the sweep does not optimize.
        if not self._is_first or self._has_ended:
            return
        if self.checkpoint is not None and not self._has_begun:  # an earlier attempt has reported it
            return
        values = common.scalar_values(metrics or {})
        self._evaluated.update(dict.fromkeys(values))
        name = next((name for name in (self._monitor, f"eval_{self._monitor}") if name in values), None)
        if name is None:  # only one of several data sets may have it
            return
        self._has_found = True
        if self._has_trained_nothing(state):  # `eval_on_start` of a resumed training
            self._repeated += 1
            return
        self._step = self._last = (
            self._steps_so_far(state) if self._by_global_step else self._evaluations_so_far(state, name)
        )
        common.report_and_log(self._trial, values[name], {**self._logged, **values}, self._step)
        if self._trial.should_prune():
            from optuna import TrialPruned

            raise TrialPruned

    def on_step_begin(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        self._check_found()

    def on_train_end(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        self._has_ended = True
        self._saves = False  # another training must not save checkpoints of this one
        self._check_found()
        if self._is_first and self._trial.last_value is None:
            warnings.warn(
                "the training finished without an evaluation, so nothing was reported to the sweep, and "
                f"evaluations after it are not: eval_strategy is {args.eval_strategy.value!r}; check that it "
                "is 'epoch', or 'steps' with eval_steps small enough, or return the metric",
                stacklevel=2,
            )

    def on_save(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        saved = Path(str(args.output_dir)) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
        if self._saves and saved.is_dir():
            step = self._steps_so_far(state) if self._by_global_step else self._step
            with self._trial.checkpoint.save(step) as path:
                shutil.copytree(saved, path, copy_function=_link_or_copy, dirs_exist_ok=True)

    def _has_trained_nothing(self, state: TrainerState) -> bool:
        """Whether this is a resumed training before its first step."""
        return bool(state.global_step == self._start.steps > 0)

    def _steps_so_far(self, state: TrainerState) -> int:
        """The number of optimizer steps, including those of earlier trainings."""
        return int(state.global_step + max(0, self._start.last - self._start.steps))

    def _evaluations_so_far(self, state: TrainerState, name: str) -> int:
        """The number of earlier evaluations with the metric, including those of earlier trainings."""
        has_metric = [name in entry for entry in state.log_history]
        earlier = self._start.last + 1 - sum(has_metric[: self._start.length])
        return max(0, sum(has_metric) - 1 - self._repeated) + max(0, earlier)

    def _check_found(self) -> None:
        if self._evaluated and not self._has_found:
            raise common.monitor_error(self._monitor, self._evaluated)


def _link_or_copy(source: str, target: str) -> None:
    """Link a file if possible: a training writes its files once and deletes them later."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _copy_linked_files(folder: Path) -> None:
    """Replace linked files by copies: another training in the same output folder would overwrite them."""
    for path in [path for path in folder.rglob("*") if path.is_file() and path.stat().st_nlink > 1]:
        copy = path.with_name(f".{path.name}")
        shutil.copy2(path, copy)
        copy.replace(path)
