"""The real Lightning Trainer as a trial."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import optuna
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping
from torch.utils.data import DataLoader, TensorDataset

from sweep.integrations.lightning import SweepCallback
from sweep.tracking.read import read_scalars
from sweep.trial.channel import Interrupted
from sweep.trial.checkpoints import find_checkpoints
from sweep.trial.trial import Trial
from tests.integrations.conftest import MakeTrial

EPOCHS = 4


class Net(pl.LightningModule):  # type: ignore[misc]
    def __init__(self, params: Any = None) -> None:
        super().__init__()
        self.save_hyperparameters()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch: Any, index: int) -> Any:
        loss = torch.nn.functional.mse_loss(self.layer(batch[0]), batch[1])
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch: Any, index: int) -> None:
        self.log("val_loss", torch.nn.functional.mse_loss(self.layer(batch[0]), batch[1]))

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=0.05)


def loader() -> Any:
    data = torch.randn(64, 4, generator=torch.Generator().manual_seed(1))
    return DataLoader(TensorDataset(data, data.sum(1, keepdim=True)), batch_size=16)


def make_trainer(
    callback: SweepCallback,
    epochs: int = EPOCHS,
    trainer_class: Any = pl.Trainer,
    others: Sequence[pl.Callback] = (),
    **options: Any,
) -> Any:
    return trainer_class(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=[callback, *others],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=2,
        **options,
    )


def fit(trial: Trial, trainer_class: Any = pl.Trainer, **options: Any) -> tuple[Net, SweepCallback]:
    names = ("val_check_interval", "num_sanity_val_steps", "check_val_every_n_epoch")
    more = {key: options.pop(key) for key in names if key in options}
    callback = SweepCallback(trial, **options)
    trainer = make_trainer(callback, trainer_class=trainer_class, **more)
    net = Net(trial.params)
    trainer.fit(net, loader(), loader(), ckpt_path=callback.ckpt_path)
    return net, callback


def weights(net: Net) -> list[float]:
    return [float(value) for part in net.parameters() for value in part.flatten()]


def test_each_validation_is_reported_and_all_metrics_are_in_the_trials_run(
    make_trial: MakeTrial, tmp_path: Path
) -> None:
    trial, channel = make_trial()
    fit(trial)
    assert [report.step for report in channel.reports] == [0, 1, 2, 3]
    scalars = read_scalars(trial.directory)
    assert (
        list(scalars["val_loss"]) == list(scalars["train_loss_epoch"]) == list(scalars["lr"]) == [0, 1, 2, 3]
    )
    assert scalars["lr"][0] == pytest.approx(0.05)
    assert scalars["val_loss"][3] == pytest.approx(channel.reports[3].value)
    assert {path.name for path in tmp_path.iterdir()} == {"trial"}
    assert {path.name for path in trial.directory.iterdir() if "tfevents" not in path.name} == {"checkpoint"}


def test_sanity_checks_are_not_reported_and_several_validations_per_epoch_are(make_trial: MakeTrial) -> None:
    trial, channel = make_trial()
    fit(trial, num_sanity_val_steps=2, val_check_interval=0.5)
    assert [report.step for report in channel.reports] == list(range(2 * EPOCHS))


def test_with_global_steps_values_of_single_batches_are_logged(make_trial: MakeTrial) -> None:
    trial, channel = make_trial(metric="val/loss")
    fit(trial, monitor="val_loss", steps="global_step")
    assert [report.step for report in channel.reports] == [4, 8, 12, 16]
    scalars = read_scalars(trial.directory)
    assert list(scalars["train_loss_step"])[:3] == [2, 4, 6]
    assert list(scalars["val/loss"]) == list(scalars["val_loss"]) == [4, 8, 12, 16]


def test_pruning_raises_from_fit(make_trial: MakeTrial) -> None:
    trial, channel = make_trial(prunes_at=1)
    with pytest.raises(optuna.TrialPruned):
        fit(trial)
    assert [report.step for report in channel.reports] == [0, 1]


@pytest.mark.parametrize("ends_after", [1, 3])
def test_an_interrupted_trial_resumes_and_has_the_same_final_weights(
    make_trial: MakeTrial, ends_after: int
) -> None:
    whole, channel = make_trial("whole")
    expected, _ = fit(whole)
    first, before = make_trial("halves", ends_after=ends_after)
    with pytest.raises(Interrupted):
        fit(first)
    first._run.finish()
    (saved,) = first.directory.glob("checkpoint/*/trainer.ckpt")
    assert torch.load(saved, weights_only=True)["hyper_parameters"]["params"] == {"lr": 0.05}
    second, after = make_trial("halves")
    net, callback = fit(second)
    assert callback.ckpt_path is not None
    assert weights(net) == pytest.approx(weights(expected))
    assert [report.step for report in after.reports] == list(range(ends_after, EPOCHS))
    assert [*before.reports, *after.reports] == channel.reports
    assert list(read_scalars(second.directory)["val_loss"]) == [0, 1, 2, 3]


def test_the_folds_of_a_cross_validation_do_not_resume_from_each_other(make_trial: MakeTrial) -> None:
    trial, _ = make_trial()
    first, second = (fit(trial)[1] for _ in range(2))
    assert (first.ckpt_path, second.ckpt_path) == (None, None)
    (saved,) = find_checkpoints(trial.directory / "checkpoint")
    assert saved.path.name.startswith("0003-")  # the fourth and last one of the first fold
    trial._run.finish()
    again, _ = make_trial()
    paths = [SweepCallback(again).ckpt_path for _ in range(2)]
    assert paths == [str(saved.path / "trainer.ckpt"), None]


def test_a_metric_that_is_never_logged_is_an_error_with_the_logged_ones(make_trial: MakeTrial) -> None:
    trial, _ = make_trial()
    with pytest.raises(
        ValueError, match=r"there is no 'val_los' .*found .*val_loss.*did you mean 'val_loss'\?"
    ):
        fit(trial, monitor="val_los")


def test_the_package_pytorch_lightning_works_too(make_trial: MakeTrial) -> None:
    old = pytest.importorskip("pytorch_lightning")
    trial, channel = make_trial()

    class OldNet(old.LightningModule):  # type: ignore[misc]
        __init__, training_step, validation_step = Net.__init__, Net.training_step, Net.validation_step
        configure_optimizers = Net.configure_optimizers

    callback = SweepCallback(trial)
    trainer = old.Trainer(
        max_epochs=1,
        accelerator="cpu",
        callbacks=[callback],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    torch.manual_seed(0)
    net = old.LightningModule.__new__(OldNet)
    old.LightningModule.__init__(net)
    net.layer = torch.nn.Linear(4, 1)
    trainer.fit(net, loader(), loader())
    assert len(channel.reports) == 1


def test_invalid_arguments_are_an_error(make_trial: MakeTrial) -> None:
    trial, _ = make_trial()
    with pytest.raises(ValueError, match="steps is 'globalstep'; did you mean 'global_step'"):
        SweepCallback(trial, steps="globalstep")  # type: ignore[arg-type]
    for count in (-1, 0.5, True, "1"):
        with pytest.raises(ValueError, match="it must be a whole number from 0"):
            SweepCallback(trial, checkpoint_every=count)  # type: ignore[arg-type]


def test_a_fit_without_validations_warns(make_trial: MakeTrial) -> None:
    trial, channel = make_trial()
    with pytest.warns(UserWarning, match="finished without a validation, so nothing was reported"):
        fit(trial, check_val_every_n_epoch=EPOCHS + 1)
    assert channel.reports == []


class Noted(Net):
    """Logs another metric at its validations too, which always increases."""

    def on_validation_epoch_end(self) -> None:
        self.log("val_acc", float(self.trainer.global_step + 1))


def test_validation_metrics_are_not_logged_again_with_later_batches(make_trial: MakeTrial) -> None:
    trial, _ = make_trial()
    make_trainer(SweepCallback(trial, steps="global_step"), 3).fit(Noted(), loader(), loader())
    scalars = read_scalars(trial.directory)
    assert scalars["val_acc"] == {4: 5.0, 8: 9.0, 12: 13.0}
    assert list(scalars["train_loss_step"]) == [2, 4, 6, 8, 10, 12]


@pytest.mark.parametrize("steps", ["evaluation", "global_step"])
def test_a_second_training_continues_the_steps_and_saves_no_checkpoints(
    make_trial: MakeTrial, steps: Any
) -> None:
    trial, channel = make_trial()
    callback = SweepCallback(trial, steps=steps)
    net = Net()
    for epochs in (2, 1):
        make_trainer(callback, epochs).fit(net, loader(), loader())
    expected = [0, 1, 2] if steps == "evaluation" else [4, 8, 12]
    assert [report.step for report in channel.reports] == expected
    (saved,) = find_checkpoints(trial.directory / "checkpoint")
    assert saved.step == expected[1]


class Counted(Net):
    """Logs the number of the epoch at its end, and that of the batch at each batch."""

    def training_step(self, batch: Any, index: int) -> Any:
        self.log("epoch_number", float(self.current_epoch), on_step=False, on_epoch=True)
        self.log("batch_number", float(index))
        return super().training_step(batch, index)


def interrupt_and_resume(make_trial: MakeTrial, ends_after: int, **options: Any) -> tuple[Trial, Any]:
    """The second attempt of a trial that is interrupted at its n-th checkpoint, and its trainer."""
    for is_second in (False, True):
        trial, _ = make_trial(ends_after=None if is_second else ends_after)
        callback = SweepCallback(trial)
        trainer = make_trainer(callback, others=[EarlyStopping("val_loss", patience=1)], **options)
        with nullcontext() if is_second else pytest.raises(Interrupted):
            trainer.fit(Counted(), loader(), loader(), ckpt_path=callback.ckpt_path)
        trial._run.finish()
    return trial, trainer


@pytest.mark.parametrize("ends_after", [1, 3])
def test_an_interrupted_training_with_early_stopping_resumes_and_has_all_metrics(
    make_trial: MakeTrial, ends_after: int
) -> None:
    trial, _ = interrupt_and_resume(make_trial, ends_after)
    scalars = read_scalars(trial.directory)
    assert list(scalars["val_loss"]) == list(scalars["train_loss_epoch"]) == [0, 1, 2, 3]
    assert scalars["epoch_number"] == {0: 0.0, 1: 1.0, 2: 2.0, 3: 3.0}


@pytest.mark.parametrize("limit", [{}, {"max_steps": 4 * EPOCHS}])
def test_a_training_that_resumes_with_nothing_left_to_do_has_the_metrics_of_its_last_validation(
    make_trial: MakeTrial, limit: dict[str, int]
) -> None:
    trial, trainer = interrupt_and_resume(make_trial, EPOCHS, **limit)
    scalars = read_scalars(trial.directory)
    assert float(trainer.callback_metrics["val_loss"]) == pytest.approx(scalars["val_loss"][3])
    assert list(scalars["train_loss_epoch"]) == [0, 1, 2, 3]


def test_the_state_of_an_earlier_version_can_be_loaded(make_trial: MakeTrial) -> None:
    callback = SweepCallback(make_trial()[0])
    callback.load_state_dict({"evaluations": 3})
    assert callback.state_dict()["evaluations"] == 3


@pytest.mark.parametrize("options", [{}, {"checkpoint_every": 0}, {"steps": "global_step"}])
def test_only_the_first_of_several_callbacks_reports_logs_and_prunes(
    make_trial: MakeTrial, options: dict[str, Any]
) -> None:
    trial, channel = make_trial()
    fit(trial, **options)
    reports, before = list(channel.reports), read_scalars(trial.directory)
    callback = SweepCallback(trial, **options)
    channel.prunes_at = 0
    make_trainer(callback, 2 * EPOCHS).fit(Counted(), loader(), loader())
    assert channel.reports == reports
    assert read_scalars(trial.directory) == before


def test_a_second_training_continues_the_steps_after_an_interruption_too(make_trial: MakeTrial) -> None:
    for _ in range(2):
        trial, channel = make_trial()
        callback = SweepCallback(trial, steps="global_step")
        net = Net()
        make_trainer(callback, 2).fit(net, loader(), loader(), ckpt_path=callback.ckpt_path)
        make_trainer(callback, 1).fit(net, loader(), loader())
        trial._run.finish()
    assert [report.step for report in channel.reports] == [12]
    assert list(read_scalars(trial.directory)["val_loss"]) == [4, 8, 12]


def test_an_evaluation_has_the_training_metrics_of_its_epoch(make_trial: MakeTrial) -> None:
    trial, _ = make_trial()
    make_trainer(SweepCallback(trial), check_val_every_n_epoch=2).fit(Counted(), loader(), loader())
    assert read_scalars(trial.directory)["epoch_number"] == {0: 1.0, 1: 3.0}


def test_with_global_steps_the_metrics_of_an_epoch_are_logged_at_its_end_only(make_trial: MakeTrial) -> None:
    trial, _ = make_trial()
    trainer = make_trainer(SweepCallback(trial, steps="global_step"), check_val_every_n_epoch=2)
    trainer.fit(Counted(), loader(), loader())
    scalars = read_scalars(trial.directory)
    assert scalars["epoch_number"] == {4: 0.0, 8: 1.0, 12: 2.0, 16: 3.0}
    assert scalars["batch_number"] == {step: float((step - 1) % 4) for step in range(2, 17, 2)}


def test_with_accumulated_gradients_each_optimizer_step_has_the_values_of_its_last_batch(
    make_trial: MakeTrial,
) -> None:
    trial, _ = make_trial()
    trainer = make_trainer(SweepCallback(trial, steps="global_step"), accumulate_grad_batches=2)
    trainer.fit(Counted(), loader(), loader())
    assert read_scalars(trial.directory)["batch_number"] == {2: 3.0, 4: 3.0, 6: 3.0, 8: 3.0}


def test_a_curve_of_epoch_averages_has_no_values_of_single_batches(make_trial: MakeTrial) -> None:
    trial, _ = make_trial()
    fit(trial, val_check_interval=0.5)
    scalars = read_scalars(trial.directory)
    assert scalars["train_loss"] == scalars["train_loss_epoch"]
    assert list(scalars["train_loss"]) == [1, 3, 5, 7]


class TwoLoaders(Net):
    def validation_step(self, batch: Any, index: int, dataloader_idx: int = 0) -> None:
        super().validation_step(batch, index)


def test_the_error_for_a_metric_of_several_loaders_suggests_that_of_the_first(make_trial: MakeTrial) -> None:
    trial, _ = make_trial()
    with pytest.raises(ValueError, match=r"did you mean 'val_loss/dataloader_idx_0'\?"):
        make_trainer(SweepCallback(trial)).fit(TwoLoaders(), loader(), [loader(), loader()])
