"""Lightning trainings as trials."""

from __future__ import annotations

import warnings
from typing import Any

from sweep.integrations.common import (
    Steps,
    check_count,
    check_one_process,
    check_steps,
    missing,
    numbers,
    take_checkpoints,
    tell,
)
from sweep.trial.trial import Trial

try:
    import lightning.pytorch as pl
except ImportError:
    try:
        import pytorch_lightning as pl  # the same under its older name
    except ImportError:
        raise ImportError(
            "sweep.integrations.lightning needs Lightning: pip install 'sweep-hpo[lightning]'"
        ) from None


class SweepCallback(pl.Callback):  # type: ignore[misc]
    """Connects a Lightning `Trainer` with a trial.

    After each validation it reports the metric, logs what the model has logged and the learning rates to the
    trial's TensorBoard run, saves a checkpoint into the trial's directory, and ends the training if the
    pruner says so: `trainer.fit` then raises `sweep.TrialPruned`. The trainer needs neither a logger nor
    checkpoints of its own: `Trainer(logger=False, enable_checkpointing=False, callbacks=[callback])`.

    A fit that ends without a validation has reported nothing; a warning says so.

    To go on after a crash, hand what an earlier attempt saved to the trainer:
    `trainer.fit(model, ckpt_path=callback.ckpt_path)`. Where a trial has several callbacks, as for the folds
    of a cross-validation, the first one has its checkpoints; the other trainings begin at their beginning.
    The same holds for a second training with the same callback, which counts on.

    Args:
        trial: the trial.
        monitor: the name under which the model logs the metric; the sweep's name of it unless given.
        steps: what curves and reports are counted by: `evaluation`, so that trials of different batch sizes
            can be compared with each other, or `global_step`, with Lightning's values of single batches
            between evaluations.
        checkpoint_every: validations from one checkpoint to the next; 0 for none.

    Raises:
        ValueError: `steps` or `checkpoint_every` is something else; later, at the first validation, that
            there is no `monitor`.
        RuntimeError: at the start of the training, that it is spread over several processes.
    """

    def __init__(
        self,
        trial: Trial,
        monitor: str | None = None,
        steps: Steps = "evaluation",
        checkpoint_every: int = 1,
    ) -> None:
        check_steps(steps)
        check_count(checkpoint_every, "checkpoint_every")
        self._trial = trial
        self._monitor = monitor or trial.metric
        self._by_global_step = steps == "global_step"
        self._evaluations = 0
        self._last = -1
        """The step of the last report."""
        self._offset = 0
        """The optimizer's steps of earlier trainings with this callback."""
        self._seen: dict[str, float] = {}
        """What was known at the last validation."""
        self._before: dict[str, float] = {}
        """What was known before it."""
        self._of_validation = {self._monitor, trial.metric}
        """The names of what changes in validations: Lightning keeps their values until the next one."""
        self._of_training: set[str] = set()
        """The names of what the training logs at the end of an epoch, which comes after its validation."""
        is_ours, found = take_checkpoints(trial) if checkpoint_every else (False, None)
        self._checkpoint_every = checkpoint_every if is_ours else 0
        self.ckpt_path: str | None = None if found is None else str(found.path / "trainer.ckpt")
        """What an earlier attempt of the trial saved last; None if the training begins at its beginning."""

    def state_dict(self) -> dict[str, Any]:
        return {"evaluations": self._evaluations}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._evaluations = state_dict["evaluations"]

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        check_one_process(trainer.world_size)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._offset = max(0, self._last - trainer.global_step) if self._by_global_step else 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        is_due = trainer.global_step % max(1, trainer.log_every_n_steps) == 0
        if self._by_global_step and is_due and trainer.logged_metrics:
            own = self._of_validation
            values = {name: value for name, value in trainer.logged_metrics.items() if name not in own}
            self._trial.log(numbers(values), self._steps_so_far(trainer))

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._before = numbers(trainer.callback_metrics)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        values = numbers(trainer.callback_metrics)
        if self._monitor not in values:
            raise missing(self._monitor, values)
        step = self._last = self._steps_so_far(trainer) if self._by_global_step else self._evaluations
        self._of_validation |= {name for name, value in values.items() if self._before.get(name) != value}
        self._evaluations += 1
        self._seen = values
        news = {name: value for name, value in values.items() if name not in self._of_training}
        tell(self._trial, values[self._monitor], {**news, **_learning_rates(trainer)}, step)
        if self._trial.should_prune():
            from optuna import TrialPruned

            raise TrialPruned
        if self._checkpoint_every and self._evaluations % self._checkpoint_every == 0:
            with self._trial.checkpoint.save(step) as path:
                trainer.save_checkpoint(path / "trainer.ckpt")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._evaluations == 0:
            return
        values = numbers(trainer.callback_metrics)
        self._of_training |= {name for name, value in values.items() if self._seen.get(name) != value}
        self._of_training -= {self._monitor, self._trial.metric}
        step = self._steps_so_far(trainer) if self._by_global_step else self._evaluations - 1
        self._trial.log({name: values[name] for name in self._of_training & values.keys()}, step)

    def _steps_so_far(self, trainer: pl.Trainer) -> int:
        return int(trainer.global_step + self._offset)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._checkpoint_every = 0  # another training must not be taken for this one
        if self._evaluations == 0:
            warnings.warn(
                "the fit ended without a single validation, so nothing was reported to the sweep: has the "
                "model a validation_step, was trainer.fit given a loader for it, and is "
                "check_val_every_n_epoch, or val_check_interval, small enough for max_epochs?",
                stacklevel=2,
            )


def _learning_rates(trainer: pl.Trainer) -> dict[str, float]:
    rates = [group["lr"] for optimizer in trainer.optimizers for group in optimizer.param_groups]
    return {"lr" if len(rates) == 1 else f"lr/{index}": float(rate) for index, rate in enumerate(rates)}
