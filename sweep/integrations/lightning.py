"""A Lightning callback that connects a training with a trial."""

from __future__ import annotations

import warnings
from typing import Any

from sweep.integrations import common
from sweep.trial.trial import Trial

try:
    import lightning.pytorch as pl
except ImportError:
    try:
        import pytorch_lightning as pl  # its former name
    except ImportError:
        raise ImportError(
            "sweep.integrations.lightning needs Lightning: pip install 'sweep-hpo[lightning]'"
        ) from None


class SweepCallback(pl.Callback):  # type: ignore[misc]
    """Connects a Lightning `Trainer` with a trial.

    After each validation it reports the metric, logs the model's metrics and the learning rates to the
    trial's TensorBoard run, saves a checkpoint in the trial's directory, and stops the training if the pruner
    stops the trial: `trainer.fit` then raises `sweep.TrialPruned`. The trainer needs no logger and no
    checkpoints: `Trainer(logger=False, enable_checkpointing=False, callbacks=[callback])`.

    If a fit finishes without a validation, nothing has been reported, and the callback warns.

    To resume after a crash, pass the checkpoint of an earlier attempt to the trainer:
    `trainer.fit(model, ckpt_path=callback.ckpt_path)`. If a trial has several callbacks, for example one for
    each fold of a cross-validation, only the first one reports, logs, prunes and saves checkpoints, and the
    other trainings start from scratch. A second training with the same callback continues the steps of the
    first, saves no checkpoints, and starts from scratch too.

    Args:
        trial: the trial.
        monitor: the name under which the model logs the metric; by default the sweep's name of the metric.
        steps: the unit of the steps of reports and curves: `evaluation`, with which trials of different batch
            sizes can be compared, or `global_step`, with Lightning's values of single batches between
            evaluations.
        checkpoint_every: the number of validations per checkpoint; 0 for no checkpoints.

    Raises:
        ValueError: `steps` or `checkpoint_every` is invalid, or the first validation has no `monitor`.
        RuntimeError: at the start of the training, if it is distributed over several processes.
    """

    def __init__(
        self,
        trial: Trial,
        monitor: str | None = None,
        steps: common.Steps = "evaluation",
        checkpoint_every: int = 1,
    ) -> None:
        common.check_steps(steps)
        if type(checkpoint_every) is not int or checkpoint_every < 0:
            raise ValueError(f"checkpoint_every is {checkpoint_every!r}; it must be a whole number from 0")
        self._trial = trial
        self._monitor = monitor or trial.metric
        self._by_global_step = steps == "global_step"
        self._evaluations = 0
        self._last = -1
        """The step of the last report."""
        self._offset = 0
        """The optimizer's steps of earlier trainings with this callback."""
        self._seen: dict[str, float] = {}
        """The metrics at the last validation."""
        self._at_end: dict[str, float] = {}
        """The same, with those that the training logs at the end of the epoch if the validation is there."""
        self._before: dict[str, float] = {}
        """The metrics before the last validation."""
        self._of_validation = {self._monitor, trial.metric}
        """Metrics that change in validations. Lightning keeps their values until the next one."""
        self._of_training: set[str] = set()
        """Metrics that the training logs at the end of an epoch, which is after its validation."""
        self._of_batches: set[str] = set()
        """Metrics that the training logs at batches."""
        self._kept: set[str] = set()
        """The other metrics of earlier epochs. Lightning keeps their values."""
        self._batch_step = 0
        """The number of optimizer steps at the last batch."""
        self._is_due = False
        """Whether the end of the epoch logs metrics: after a validation or, with global steps, a batch."""
        self._restored: dict[str, float] = {}
        """The metrics at the checkpoint from which the training resumes."""
        self._is_first = common.claim(trial)
        self._checkpoint_every = checkpoint_every if self._is_first else 0
        checkpoint = trial.checkpoint.latest() if self._checkpoint_every else None
        self.ckpt_path: str | None = None if checkpoint is None else str(checkpoint.path / "trainer.ckpt")
        """The last checkpoint of an earlier attempt; None if the training starts from scratch."""

    def state_dict(self) -> dict[str, Any]:
        return {
            "evaluations": self._evaluations,
            "last": self._last,
            "metrics": self._at_end,
            "of_training": sorted(self._of_training),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._evaluations = state_dict["evaluations"]
        self._last = state_dict.get("last", -1)  # checkpoints of earlier versions lack this and the following
        self._restored = self._at_end = state_dict.get("metrics", {})
        self._of_training = set(state_dict.get("of_training", ()))

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        common.check_one_process(trainer.world_size)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._restore_metrics(trainer, pl_module)  # the fit may have nothing left to do

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._restore_metrics(trainer, pl_module)  # some strategies load the checkpoint after `on_fit_start`
        self._offset = max(0, self._last - trainer.global_step) if self._by_global_step else 0
        self._batch_step = trainer.global_step

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._kept = set(trainer.logged_metrics) - self._of_batches

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not (self._by_global_step and self._is_first):
            return
        self._is_due = True
        excluded = self._kept | self._of_validation
        values = {name: value for name, value in trainer.logged_metrics.items() if name not in excluded}
        self._of_batches.update(values)
        has_stepped = trainer.global_step != self._batch_step  # not if the gradients are accumulated further
        self._batch_step = trainer.global_step
        if values and has_stepped and trainer.global_step % max(1, trainer.log_every_n_steps) == 0:
            self._trial.log(common.scalar_values(values), self._steps_so_far(trainer))

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._before = common.scalar_values(trainer.callback_metrics)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit" or not self._is_first:
            return
        values = common.scalar_values(trainer.callback_metrics)
        if self._monitor not in values:
            raise common.monitor_error(self._monitor, values)
        step = self._last = self._steps_so_far(trainer) if self._by_global_step else self._evaluations
        self._of_validation |= {name for name, value in values.items() if self._before.get(name) != value}
        # until the end of the epoch, these have the value of a single batch
        self._of_training |= {name for name in values if f"{name}_step" in values} - self._of_validation
        self._evaluations += 1
        self._seen = values
        self._is_due = True
        if trainer.is_last_batch:
            # Logged before the checkpoint: the next attempt finishes the epoch without these metrics.
            self._at_end = _metrics_of_epoch(trainer)
            logged = {**self._at_end, self._monitor: values[self._monitor]}
        else:
            self._at_end = values
            logged = {name: value for name, value in values.items() if name not in self._of_training}
        common.report_and_log(
            self._trial, values[self._monitor], {**logged, **_learning_rates(trainer)}, step
        )
        if self._trial.should_prune():
            from optuna import TrialPruned

            raise TrialPruned
        if self._checkpoint_every and self._evaluations % self._checkpoint_every == 0:
            with self._trial.checkpoint.save(step) as path:
                trainer.save_checkpoint(path / "trainer.ckpt")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self._is_due:
            return
        self._is_due = False
        values = common.scalar_values(trainer.callback_metrics)
        self._of_training |= {name for name, value in values.items() if self._seen.get(name) != value}
        self._of_training -= {self._monitor, self._trial.metric}
        step = self._steps_so_far(trainer) if self._by_global_step else self._evaluations - 1
        self._trial.log({name: values[name] for name in self._of_training & values.keys()}, step)

    def _restore_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore the metrics at the checkpoint, which Lightning does not save.

        It then finishes the epoch of the checkpoint, and other callbacks, such as EarlyStopping, need them.
        """
        if self._restored:
            import torch

            device = pl_module.device
            metrics = {name: torch.tensor(value, device=device) for name, value in self._restored.items()}
            trainer.callback_metrics.update(metrics)
            self._seen = common.scalar_values(metrics)

    def _steps_so_far(self, trainer: pl.Trainer) -> int:
        return int(trainer.global_step + self._offset)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._checkpoint_every = 0  # another training must not save checkpoints of this one
        self._restored = {}
        if self._evaluations == 0 and self._is_first:
            warnings.warn(
                "the fit finished without a validation, so nothing was reported to the sweep: check that the "
                "model has a validation_step, that trainer.fit was given a loader for it, and that "
                "check_val_every_n_epoch or val_check_interval is small enough for max_epochs",
                stacklevel=2,
            )


def _metrics_of_epoch(trainer: pl.Trainer) -> dict[str, float]:
    """The metrics with the averages of the training, which Lightning otherwise adds after the validation."""
    trainer.training = True
    try:
        return common.scalar_values(trainer.callback_metrics)
    finally:
        trainer.validating = True


def _learning_rates(trainer: pl.Trainer) -> dict[str, float]:
    rates = [group["lr"] for optimizer in trainer.optimizers for group in optimizer.param_groups]
    return {"lr" if len(rates) == 1 else f"lr/{index}": float(rate) for index, rate in enumerate(rates)}
