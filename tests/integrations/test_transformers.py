"""The real Hugging Face Trainer as a trial."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments
from transformers.trainer_utils import IntervalStrategy

from sweep.integrations.transformers import SweepCallback
from sweep.tracking.read import read_scalars
from sweep.trial.channel import Interrupted
from sweep.trial.checkpoints import find_checkpoints
from sweep.trial.trial import Trial
from tests.integrations.conftest import MakeTrial

EPOCHS = 3


def make_trainer(
    trial: Trial, several: bool = False, saves_every: int | None = None, keeps: int | None = 1, **options: Any
) -> tuple[Any, SweepCallback]:
    text = torch.tensor(list(b"to be or not to be, that is the question. " * 12))
    blocks = [{"input_ids": part, "labels": part} for part in text[: len(text) // 16 * 16].view(-1, 16)]
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=128, n_positions=16, n_embd=16, n_layer=1, n_head=2))
    callback = SweepCallback(trial, **options)
    arguments = TrainingArguments(
        output_dir=str(trial.directory / "trainer"),
        learning_rate=1e-2,
        num_train_epochs=EPOCHS,
        per_device_train_batch_size=8,
        eval_strategy="epoch",
        save_strategy="steps" if saves_every else "epoch",
        save_steps=saves_every or 500,
        save_total_limit=keeps,
        logging_steps=1,
        seed=1,
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
    )
    held_out: Any = {"one": blocks[24:27], "two": blocks[27:]} if several else blocks[24:]
    trainer = Trainer(
        model, arguments, train_dataset=blocks[:24], eval_dataset=held_out, callbacks=[callback]
    )
    return trainer, callback


def fit(trial: Trial, **options: Any) -> tuple[Any, SweepCallback]:
    trainer, callback = make_trainer(trial, **options)
    trainer.train(resume_from_checkpoint=callback.checkpoint)
    return trainer.model, callback


def weights(model: Any) -> list[float]:
    return [float(part.detach().sum()) for part in model.parameters()]


def test_each_evaluation_is_reported_and_all_metrics_are_in_the_trials_run(
    make_trial: MakeTrial, tmp_path: Path
) -> None:
    trial, channel = make_trial(metric="eval_loss")
    fit(trial)
    assert [report.step for report in channel.reports] == [0, 1, 2]
    scalars = read_scalars(trial.directory)
    assert list(scalars["eval_loss"]) == list(scalars["loss"]) == list(scalars["learning_rate"]) == [0, 1, 2]
    assert {path.name for path in tmp_path.iterdir()} == {"trial"}
    assert not list(trial.directory.rglob("runs"))


def test_with_global_steps_values_between_evaluations_are_logged(make_trial: MakeTrial) -> None:
    trial, channel = make_trial(metric="val/loss")
    fit(trial, monitor="loss", steps="global_step")
    assert [report.step for report in channel.reports] == [3, 6, 9]
    scalars = read_scalars(trial.directory)
    assert list(scalars["learning_rate"]) == list(range(1, 10))
    assert list(scalars["val/loss"]) == list(scalars["eval_loss"]) == [3, 6, 9]


def test_pruning_raises_from_train(make_trial: MakeTrial) -> None:
    trial, channel = make_trial(prunes_at=1, metric="eval_loss")
    with pytest.raises(optuna.TrialPruned):
        fit(trial)
    assert [report.step for report in channel.reports] == [0, 1]


def test_an_interrupted_trial_resumes_and_has_the_same_final_weights(make_trial: MakeTrial) -> None:
    whole, channel = make_trial("whole", metric="eval_loss")
    expected, _ = fit(whole)
    first, before = make_trial("halves", metric="eval_loss", ends_after=2)
    with pytest.raises(Interrupted):
        fit(first)
    first._run.finish()
    second, after = make_trial("halves", metric="eval_loss")
    model, callback = fit(second)
    assert callback.checkpoint is not None
    assert weights(model) == pytest.approx(weights(expected), rel=1e-4)
    assert [report.step for report in after.reports] == [2]
    reported = [report.value for report in [*before.reports, *after.reports]]
    assert reported == pytest.approx([report.value for report in channel.reports])
    assert list(read_scalars(second.directory)["eval_loss"]) == [0, 1, 2]


def test_checkpoints_after_a_resume_continue_the_steps(make_trial: MakeTrial) -> None:
    first, _ = make_trial(metric="eval_loss", ends_after=7)
    with pytest.raises(Interrupted):
        fit(first, saves_every=1)
    first._run.finish()
    before = first.checkpoint.latest()
    second, _ = make_trial(metric="eval_loss", ends_after=1)
    with pytest.raises(Interrupted):
        fit(second, saves_every=1)  # before its first evaluation
    after = second.checkpoint.latest()
    assert before is not None
    assert after is not None
    assert before.step == after.step == 1


def test_an_evaluation_after_the_training_does_not_change_its_value(make_trial: MakeTrial) -> None:
    trial, channel = make_trial(metric="eval_loss")
    trainer, _ = make_trainer(trial)
    trainer.train()
    value = trial.last_value
    trainer.evaluate([trainer.train_dataset[0]])
    assert trial.last_value == value
    assert [report.step for report in channel.reports] == [0, 1, 2]


@pytest.mark.parametrize(
    ("steps", "expected"), [("evaluation", range(7)), ("global_step", [0, 3, 6, 9, 12, 15, 18])]
)
def test_evaluations_before_a_training_and_a_second_training_continue_the_steps(
    make_trial: MakeTrial, steps: str, expected: list[int]
) -> None:
    trial, channel = make_trial(metric="eval_loss")
    trainer, _ = make_trainer(trial, steps=steps)
    trainer.evaluate()
    trainer.train()
    trainer.train()
    assert [report.step for report in channel.reports] == list(expected)
    assert trial.last_value == channel.reports[-1].value


def test_an_evaluation_before_a_resumed_training_is_not_reported_again(make_trial: MakeTrial) -> None:
    for ends_after in (1, None):
        trial, channel = make_trial(metric="eval_loss", ends_after=ends_after)
        trainer, callback = make_trainer(trial)
        trainer.evaluate()
        with nullcontext() if ends_after is None else pytest.raises(Interrupted):
            trainer.train(resume_from_checkpoint=callback.checkpoint)
        trial._run.finish()
    assert [report.step for report in channel.reports] == [2, 3]
    assert list(read_scalars(trial.directory)["eval_loss"]) == [0, 1, 2, 3]


def test_the_folds_of_a_cross_validation_do_not_resume_from_each_other(make_trial: MakeTrial) -> None:
    trial, _ = make_trial(metric="eval_loss")
    _, first = fit(trial)
    saved = trial.checkpoint.latest()
    _, second = fit(trial)
    assert (first.checkpoint, second.checkpoint) == (None, None)
    assert trial.checkpoint.latest() == saved
    trial._run.finish()
    again, _ = make_trial(metric="eval_loss")
    callbacks = [make_trainer(again)[1] for _ in range(2)]
    assert saved is not None
    assert [callback.checkpoint for callback in callbacks] == [str(saved.path), None]


def test_a_fold_does_not_overwrite_the_checkpoint_of_another_one(
    make_trial: MakeTrial,
) -> None:
    trial, _ = make_trial(metric="eval_loss")
    fit(trial, keeps=None)
    saved = trial.checkpoint.latest()
    assert saved is not None
    before = {path.name: path.read_bytes() for path in saved.path.iterdir()}
    trainer, _ = make_trainer(trial, keeps=None)
    trainer.args.learning_rate = 1e-3
    trainer.train()
    assert {path.name: path.read_bytes() for path in saved.path.iterdir()} == before
    own = next((trial.directory / "trainer").glob("checkpoint-*")) / "optimizer.pt"
    assert own.read_bytes() != before["optimizer.pt"]


def test_without_a_training_an_evaluation_is_reported(make_trial: MakeTrial) -> None:
    trial, channel = make_trial(metric="eval_loss")
    trainer, _ = make_trainer(trial)
    loss = trainer.evaluate()["eval_loss"]
    assert [report.value for report in channel.reports] == [pytest.approx(loss)]


def test_one_of_several_data_sets_can_have_the_metric(make_trial: MakeTrial) -> None:
    trial, channel = make_trial(metric="eval_two_loss")
    fit(trial, several=True)
    assert [report.step for report in channel.reports] == [0, 1, 2]


def test_a_metric_that_is_never_evaluated_is_an_error_with_the_evaluated_ones(make_trial: MakeTrial) -> None:
    trial, channel = make_trial(metric="accuracy")
    with pytest.raises(
        ValueError, match=r"there is no 'eval_los' .*found eval_loss.*did you mean 'eval_loss'\?"
    ):
        fit(trial, monitor="eval_los")
    assert not channel.reports


def test_an_evaluation_at_the_start_of_a_resumed_training_is_not_reported_again(
    make_trial: MakeTrial,
) -> None:
    first, before = make_trial(metric="eval_loss", ends_after=2)
    for trial in (first, None):
        if trial is None:
            first._run.finish()
            trial, after = make_trial(metric="eval_loss")
        trainer, callback = make_trainer(trial)
        trainer.args.eval_on_start = True
        with pytest.raises(Interrupted) if trial is first else nullcontext():
            trainer.train(resume_from_checkpoint=callback.checkpoint)
    assert [report.step for report in before.reports] == [0, 1, 2]
    assert [report.step for report in after.reports] == [3]


def test_the_step_of_a_checkpoint_between_evaluations_is_the_global_step(make_trial: MakeTrial) -> None:
    first, _ = make_trial(metric="eval_loss", ends_after=5)
    with pytest.raises(Interrupted):
        fit(first, saves_every=1, steps="global_step")
    first._run.finish()
    second, after = make_trial(metric="eval_loss")
    fit(second, saves_every=1, steps="global_step")
    assert [report.step for report in after.reports] == [6, 9]
    assert list(read_scalars(second.directory)["learning_rate"]) == list(range(1, 10))


def test_a_second_training_saves_no_checkpoints(make_trial: MakeTrial) -> None:
    trial, _ = make_trial(metric="eval_loss")
    trainer, _ = make_trainer(trial)
    trainer.train()
    trainer.train()
    (saved,) = find_checkpoints(trial.directory / "checkpoint")
    assert saved.step == EPOCHS - 1


@pytest.mark.parametrize("steps", ["evaluation", "global_step"])
def test_only_the_first_of_several_callbacks_reports_logs_and_prunes(
    make_trial: MakeTrial, steps: Any
) -> None:
    trial, channel = make_trial(metric="eval_loss")
    fit(trial, steps=steps)
    reports, before = list(channel.reports), read_scalars(trial.directory)
    trainer, _ = make_trainer(trial, steps=steps)
    trainer.args.num_train_epochs = 2 * EPOCHS
    channel.prunes_at = 0
    trainer.train()
    assert channel.reports == reports
    assert read_scalars(trial.directory) == before


def test_a_resumed_training_with_nothing_left_to_do_keeps_the_curves(make_trial: MakeTrial) -> None:
    for ends_after in (EPOCHS, None):
        trial, _ = make_trial(metric="eval_loss", ends_after=ends_after)
        with nullcontext() if ends_after is None else pytest.raises(Interrupted):
            fit(trial, steps="global_step")
        trial._run.finish()
    scalars = read_scalars(trial.directory)
    assert list(scalars["loss"]) == list(range(1, 10))
    assert list(scalars["eval_loss"]) == [3, 6, 9]
    assert "train_runtime" not in scalars


def test_a_training_without_evaluations_warns_that_later_ones_are_not_reported(
    make_trial: MakeTrial,
) -> None:
    trial, channel = make_trial(metric="eval_loss")
    trainer, _ = make_trainer(trial)
    trainer.args.eval_strategy = IntervalStrategy.NO
    with pytest.warns(UserWarning, match="evaluations after it are not: eval_strategy is 'no'"):
        trainer.train()
    trainer.evaluate()
    assert channel.reports == []


def test_a_second_training_does_not_log_the_summary_of_the_first(make_trial: MakeTrial) -> None:
    trial, _ = make_trial(metric="eval_loss")
    trainer, _ = make_trainer(trial)
    trainer.train()
    trainer.train()
    assert "train_runtime" not in read_scalars(trial.directory)
