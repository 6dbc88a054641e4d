"""Trainings with the Hugging Face `Trainer` as trials."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from sweep.integrations.common import (
    Steps,
    check_one_process,
    check_steps,
    missing,
    numbers,
    take_checkpoints,
    tell,
)
from sweep.trial.trial import Trial

try:
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
    from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
except ImportError:
    raise ImportError(
        "sweep.integrations.transformers needs transformers: pip install 'sweep-hpo[transformers]'"
    ) from None


class _Begin(NamedTuple):
    """How things stood when a training began.

    Args:
        length: that of the history; of a training that is resumed, it comes with the checkpoint.
        steps: those of the optimizer; the same holds for them.
        last: the step of the last report, -1 if there was none.
    """

    length: int = 0
    steps: int = 0
    last: int = -1


class SweepCallback(TrainerCallback):  # type: ignore[misc]
    """Connects a Hugging Face `Trainer` with a trial.

    After each evaluation it reports the metric, logs all that was evaluated and what the trainer logged last
    (loss, learning rate) to the trial's TensorBoard run, and ends the training if the pruner says so:
    `trainer.train` then raises `sweep.TrialPruned`. What the trainer saves (`save_strategy`) is kept in the
    trial's directory too, and the next attempt goes on from it:
    `trainer.train(resume_from_checkpoint=callback.checkpoint)`. Where a trial has several callbacks, as for
    the folds of a cross-validation, the first one has its checkpoints; the other trainings begin at their
    beginning. The same holds for a second training with the same callback, which counts on.

    Evaluations after the training, as on test data, are no reports; without a training they are.

    Args:
        trial: the trial.
        monitor: the metric's name, with or without `eval_`; the sweep's name of it unless given.
        steps: what curves and reports are counted by: `evaluation`, so that trials of different batch sizes
            can be compared with each other, or `global_step`, with what the trainer logs between evaluations.

    Raises:
        ValueError: `steps` is something else; later, behind the first evaluation, that there is no `monitor`.
        RuntimeError: at the start of the training, that it is spread over several processes.
    """

    def __init__(self, trial: Trial, monitor: str | None = None, steps: Steps = "evaluation") -> None:
        check_steps(steps)
        self._trial = trial
        self._monitor = monitor or trial.metric
        self._by_global_step = steps == "global_step"
        self._logged: dict[str, float] = {}
        self._evaluated: dict[str, None] = {}
        self._has_found = False
        self._has_begun = self._has_ended = False
        self._last = -1
        """The step of the last report."""
        self._begin = _Begin()
        self._repeated = 0
        """How many evaluations of this training an earlier attempt has reported already."""
        self._saves, found = take_checkpoints(trial)
        self._step = 0 if found is None else found.step
        self.checkpoint: str | None = None if found is None else str(found.path)
        """What an earlier attempt of the trial saved last; None if the training begins at its beginning."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        check_one_process(args.world_size)
        self._has_begun, self._has_ended = True, False
        if state.global_step > 0 and self._trial.last_reported is not None:
            self._last = self._trial.last_reported.step
        self._repeated = 0
        self._begin = _Begin(len(state.log_history), state.global_step, self._last)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        values = numbers(
            {name: value for name, value in (logs or {}).items() if not name.startswith("eval_")}
        )
        if self._by_global_step:
            own = (self._monitor, self._trial.metric)  # those are of evaluations
            others = {name: value for name, value in values.items() if name not in own}
            self._trial.log(others, self._steps_so_far(state))
        else:
            self._logged.update(values)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if self._has_ended:  # an evaluation on test data, say: the sweep is not to optimise that
            return
        if self.checkpoint is not None and not self._has_begun:  # an earlier attempt has reported that
            return
        values = numbers(metrics or {})
        self._evaluated.update(dict.fromkeys(values))
        name = next((name for name in (self._monitor, f"eval_{self._monitor}") if name in values), None)
        if name is None:  # of several data sets, one may have it
            return
        self._has_found = True
        if state.global_step == self._begin.steps > 0:  # `eval_on_start` of a resumed one: so has it that
            self._repeated += 1
            return
        self._step = self._last = (
            self._steps_so_far(state) if self._by_global_step else self._evaluations_so_far(state, name)
        )
        tell(self._trial, values[name], {**self._logged, **values}, self._step)
        if self._trial.should_prune():
            from optuna import TrialPruned

            raise TrialPruned

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._check_found()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._has_ended = True
        self._saves = False  # what comes next is another training, which must not be taken for this one
        self._check_found()

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        saved = Path(str(args.output_dir)) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
        if self._saves and saved.is_dir():
            step = self._steps_so_far(state) if self._by_global_step else self._step
            with self._trial.checkpoint.save(step) as path:
                shutil.copytree(saved, path, copy_function=_link_or_copy, dirs_exist_ok=True)

    def _steps_so_far(self, state: TrainerState) -> int:
        """The optimizer's, those of earlier trainings with this callback among them."""
        return int(state.global_step + max(0, self._begin.last - self._begin.steps))

    def _evaluations_so_far(self, state: TrainerState, name: str) -> int:
        """Those before this one that had the metric; the trainer counts them anew for each training."""
        found = [name in entry for entry in state.log_history]
        earlier = self._begin.last + 1 - sum(found[: self._begin.length])
        return max(0, sum(found) - 1 - self._repeated) + max(0, earlier)

    def _check_found(self) -> None:
        if self._evaluated and not self._has_found:
            raise missing(self._monitor, self._evaluated)


def _link_or_copy(source: str, target: str) -> None:
    """The trainer writes a file once and deletes it later: a second name of it is as good as a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
