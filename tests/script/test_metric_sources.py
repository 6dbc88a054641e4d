"""Where the metrics of a script come from: JSON lines, `sweep.report` and W&B files, in this precedence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import sweep
from sweep.script.json_lines import read_line
from sweep.script.metric_sources import MetricRecord, MetricSource, MetricSources, Selected
from sweep.script.wandb_offline import OfflineRuns
from tests.script.conftest import JSON_LINES, MakeScript, output, run


@pytest.mark.process
def test_json_lines_are_metrics_and_parameters_are_arguments(make_script: MakeScript) -> None:
    file = make_script(
        JSON_LINES + "    assert sys.argv[2:] == ['--kind=a b'], sys.argv\n", stop={"trials": 3}
    )
    result = run(file)
    assert [trial.state for trial in result.trials] == ["COMPLETE"] * 3
    for trial, found in zip(result.trials, result.study.trials, strict=True):
        lr = trial.params["lr"]
        assert found.intermediate_values == {1: lr, 2: lr / 2, 5: lr / 5}
        assert trial.value == lr / 5
        assert trial.metrics == pytest.approx({"val_loss": lr / 5, "best/val_loss": lr / 5, "epoch": 5.0})
    assert output(result).endswith(b"bye\n")


@pytest.mark.process
def test_the_values_of_each_metric_are_numbered_if_json_lines_have_no_step(make_script: MakeScript) -> None:
    file = make_script(
        """
        import sys
        for loss in (3, 2, 1):
            print('{"other": 1}')
            print('{"val_loss": %d}' % loss)
        sys.stdout.write('{"_step": 9, "val_loss": 0.5}')
        """
    )
    assert run(file).study.trials[0].intermediate_values == {0: 3, 1: 2, 2: 1, 9: 0.5}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"a": 1}', (None, {"a": 1.0})),
        ('{"a": 1, "step": 3, "_step": 9}', (3, {"a": 1.0})),
        ('{"a": 1, "step": -1}', (None, {"a": 1.0})),
        ('{"a": 1, "step": "1,000"}', (1000, {"a": 1.0})),
        ('{"a": 1, "step": "0,5"}', (None, {"a": 1.0})),
        ('{"a": 1, "step": 1.5}', (None, {"a": 1.0})),
        ('{"a": 1, "step": 3}{"a": 2, "step": 3}', [(3, {"a": 1.0}), (3, {"a": 2.0})]),
        ('{"a": 1} {"b": "x"} {"c": 2}', [(None, {"a": 1.0}), (None, {"c": 2.0})]),
        ('{"a": 1}{"a": 2', None),
        ('{"a": 1} 2 {"a": 2}', None),
        ('{"a": true, "b": "1", "c": null}', None),
        ('{"step": 3}', None),
        ('[{"a": 1}]', None),
        ('{"a": 1', None),
        ('{"a": 1' + "0" * 400 + "}", None),
        ("{'a': 1}", None),
    ],
)
def test_a_json_line_has_at_least_one_number(line: str, expected: Any) -> None:
    assert read_line(line) == (expected if isinstance(expected, list) else [expected] if expected else [])


@pytest.mark.parametrize("prefix", ["[rank0]: ", "[default12]:", "3: ", "[1,0]<stdout>: "])
def test_a_json_line_has_the_prefix_of_a_launcher(prefix: str) -> None:
    assert read_line(prefix + '{"a": 1}') == [(None, {"a": 1.0})]


@pytest.mark.process
def test_a_coloured_json_line_is_read(make_script: MakeScript) -> None:
    file = make_script(r"""print('\x1b[32m{"step": 3, \x1b[1m"val_loss"\x1b[0m: 0.5}\x1b[0m')""")
    assert run(file).study.trials[0].intermediate_values == {3: 0.5}


@pytest.mark.process
@pytest.mark.parametrize(
    ("code", "problem"),
    [
        (
            """print('INFO: {"val_loss": 1}')""",
            'INFO: {"val_loss": 1} has text before the JSON object; print the object on a line of its own',
        ),
        (
            """import sys; print('{"val_loss": 1}', file=sys.stderr)""",
            '{"val_loss": 1} was printed to stderr; only stdout is read',
        ),
    ],
)
def test_a_json_line_that_is_not_read_is_shown(make_script: MakeScript, code: str, problem: str) -> None:
    assert f"it reported nothing: {problem}; " in str(run(make_script(code)).trials[0].reason)


@pytest.mark.process
def test_numbers_in_nested_json_have_dotted_names(make_script: MakeScript) -> None:
    file = make_script(
        'print(\'{"epoch": 0, "val": {"loss": 1.5, "note": "x"}}\')',
        metric={"name": "val.loss", "goal": "minimize"},
    )
    assert run(file).best_value == 1.5


@pytest.mark.process
def test_sweep_report_takes_precedence_over_an_earlier_json_line(
    make_script: MakeScript, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweep.script.run._POLL_INTERVAL", 60)  # or when there is another line
    file = make_script(
        """
        import sweep
        for epoch in range(3):
            print('{"step": %d, "val_loss": 1.0}' % (1000 * epoch + 500))
            sweep.report({"val_loss": 1.0}, step=epoch)
        """
    )
    assert list(run(file).study.trials[0].intermediate_values) == [0, 1, 2]


@pytest.mark.process
def test_sweep_report_takes_precedence_over_json_lines(make_script: MakeScript) -> None:
    file = make_script(
        """
        import sweep
        sweep.report({"val_loss": 1}, 0)
        print('{"step": 0, "val_loss": 5, "other": 7}')
        print('{"step": 1, "val_loss": 5}')
        import time; time.sleep(1.5)
        sweep.report({"val_loss": 2}, 2)
        """
    )
    result = run(file)
    assert result.study.trials[0].value == 2
    assert result.trials[0].metrics["other"] == 7
    assert 0 in result.study.trials[0].intermediate_values


@pytest.mark.process
def test_sweep_report_works_in_child_processes_and_without_output(make_script: MakeScript) -> None:
    file = make_script(
        """
        import multiprocessing, os, sys
        import sweep
        assert not {"torch", "ray", "optuna", "numpy", "pydantic"} & sys.modules.keys()
        os.close(1), os.close(2)

        def child():
            sweep.report({"val_loss": 0.25, "acc": 0.9}, step=3)

        sweep.report(0.5, 1)
        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        process.join()
        sweep.report(0.125)
        """
    )
    result = run(file)
    assert result.study.trials[0].intermediate_values == {1: 0.5, 3: 0.25, 4: 0.125}
    assert result.trials[0].metrics["acc"] == 0.9


def test_sweep_report_outside_a_sweep_only_validates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SWEEP_TRIAL_DIR", raising=False)
    sweep.report(1.0, 3)
    with pytest.raises(ValueError, match="step is -1"):
        sweep.report(1.0, -1)
    with pytest.raises(ValueError, match=r"value is 10+\.\.\.; it must be a number"):
        sweep.report(10**400)
    with pytest.raises(ValueError, match="'a' is 'x'; it must be a number"):
        sweep.report({"a": "x"})  # type: ignore[dict-item]
    monkeypatch.setenv("SWEEP_TRIAL_DIR", "x")
    with pytest.raises(RuntimeError, match=r"an objective has trial\.report"):
        sweep.report(1.0)


def logged(sources: MetricSources, now: float) -> list[tuple[MetricSource, Selected]]:
    """What is logged at this time, in the order of the sources."""
    return [
        (source, selected)
        for source in MetricSource
        for record, _ in sources.due(source, now)
        for selected in sources.select(source, record)
    ]


@pytest.mark.parametrize("source", [source for source in MetricSource if source > MetricSource.REPORT])
def test_a_new_metric_waits_for_a_source_that_takes_precedence(source: MetricSource) -> None:
    sources = MetricSources()
    sources.add(source, MetricRecord(1000, {"loss": 1.0, "acc": 0.5}), now=0)
    assert logged(sources, now=0.1) == []
    sources.add(MetricSource.REPORT, MetricRecord(3, {"loss": 2.0}), now=0.1)
    assert logged(sources, now=3) == [
        (MetricSource.REPORT, Selected(3, {"loss": 2.0}, {"loss": 2.0})),
        (source, Selected(1000, {"acc": 0.5}, {"acc": 0.5})),
    ]
    sources.add(source, MetricRecord(2000, {"acc": 0.75}), now=4)
    assert logged(sources, now=4) == [(source, Selected(2000, {"acc": 0.75}, {"acc": 0.75}))]


def test_a_curve_has_one_source_for_the_whole_trial(capsys: pytest.CaptureFixture[str]) -> None:
    sources = MetricSources()
    sources.add(MetricSource.EVENTS, MetricRecord(1000, {"loss": 1.0}), now=0)
    assert logged(sources, now=3) == [(MetricSource.EVENTS, Selected(1000, {"loss": 1.0}, {"loss": 1.0}))]
    for step in 1, 2:
        sources.add(MetricSource.WANDB, MetricRecord(step, {"loss": 7.0}), now=4)
        sources.add(MetricSource.EVENTS, MetricRecord(1000 * step + 1000, {"loss": 1.0}), now=4)
    assert logged(sources, now=4) == [
        (MetricSource.WANDB, Selected(1, {}, {"loss": 7.0})),
        (MetricSource.WANDB, Selected(2, {}, {"loss": 7.0})),
        (MetricSource.EVENTS, Selected(2000, {"loss": 1.0}, {})),
        (MetricSource.EVENTS, Selected(3000, {"loss": 1.0}, {})),
    ]
    assert capsys.readouterr().err == (
        "sweep: 'loss' came from event files, and now W&B's run gives it: its curve is that of event files, "
        "its last value that of W&B's run\n"
    )


@pytest.mark.parametrize("source", [MetricSource.REPORT, MetricSource.REGEX, MetricSource.JSON])
@pytest.mark.parametrize("batches", [1, 5])
def test_the_steps_of_a_metric_do_not_depend_on_how_often_another_one_is_reported(
    source: MetricSource, batches: int
) -> None:
    sources = MetricSources()
    for _ in range(3):
        for _ in range(batches):
            sources.add(source, MetricRecord(None, {"train_loss": 1.0}), now=0)
        sources.add(source, MetricRecord(None, {"train_loss": 1.0, "val_loss": 2.0}), now=0)
    found = [selected for _, selected in logged(sources, now=3)]
    assert [part.step for part in found if "val_loss" in part.curve] == [0, 1, 2]
    assert [part.step for part in found if "train_loss" in part.curve] == list(range(3 * batches + 3))


def test_a_metric_without_a_step_is_counted_from_its_last_step() -> None:
    sources = MetricSources()
    for step, name in (7, "loss"), (None, "loss"), (None, "acc"):
        sources.add(MetricSource.REPORT, MetricRecord(step, {name: 1.0}), now=0)
    steps = [(*selected.curve, selected.step) for _, selected in logged(sources, now=0)]
    assert steps == [("loss", 7), ("loss", 8), ("acc", 0)]


def test_the_summary_of_a_wandb_run_has_the_step_after_the_last_one() -> None:
    sources = MetricSources()
    sources.add(MetricSource.WANDB, MetricRecord(7, {"loss": 1.0}), now=0)
    sources.add(MetricSource.WANDB, MetricRecord(None, {"test_acc": 0.5, "loss": 0.25}), now=0)
    assert [selected for _, selected in logged(sources, now=3)] == [
        Selected(7, {"loss": 1.0}, {"loss": 1.0}),
        Selected(8, {"test_acc": 0.5, "loss": 0.25}, {"test_acc": 0.5, "loss": 0.25}),
    ]


@pytest.mark.process
def test_a_final_report_is_the_trials_value_and_leaves_the_curve_as_it_is(make_script: MakeScript) -> None:
    file = make_script(
        """
        import sweep, time
        for step in 100, 200:
            print('{"step": %d, "val_loss": %d}' % (step, step))
            time.sleep(0.5)
        sweep.report(0.25)
        """
    )
    result = run(file)
    assert result.best_value == 0.25
    assert result.study.trials[0].intermediate_values == {100: 100, 200: 200}


def varint(value: int) -> bytes:
    return bytes([value]) if value < 0x80 else bytes([value & 0x7F | 0x80]) + varint(value >> 7)


def field(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def item(value: Any, *names: str) -> bytes:
    key = field(1, names[0].encode()) if len(names) == 1 else b"".join(field(2, n.encode()) for n in names)
    return field(1, key + field(16, json.dumps(value).encode()))


def wandb_file(messages: list[bytes]) -> bytes:
    """What W&B's package writes: LevelDB's log format."""
    data = b":W&B\xe1\xbe\x00"
    for message in messages:
        first = True
        while first or message:
            left = 32768 - len(data) % 32768
            if left < 7:
                data += b"\0" * left
                continue
            part, message = message[: left - 7], message[left - 7 :]
            kind = (1 if first else 4) if not message else (2 if first else 3)
            data += b"\0\0\0\0" + len(part).to_bytes(2, "little") + bytes([kind]) + part
            first = False
    return data


def test_a_wandb_file_is_read_while_it_grows(tmp_path: Path) -> None:
    runs = OfflineRuns(tmp_path, tmp_path, "id")
    history = [
        field(
            2, item(0.5, "val_loss") + item("x" * 40000, "long") + item(step, "_step") + item(7.0, "a", "b")
        )
        for step in range(5)
    ]
    summary = field(3, item(9, "test_acc") + item(1, "val_loss") + item(1, "_runtime"))
    data = wandb_file([field(4, b"other"), *history, summary])
    file = tmp_path / "wandb" / "offline-run-20260101_000000-id" / "run-id.wandb"
    file.parent.mkdir(parents=True)
    found = []
    for end in [*range(0, len(data), 9973), len(data)]:
        file.write_bytes(data[:end])
        found += runs.read()
    assert found == [(step, {"val_loss": 0.5, "a.b": 7.0}) for step in range(5)]
    assert runs.rest() == [(None, {"test_acc": 9.0, "val_loss": 1.0})], "set by the script afterwards"
    assert OfflineRuns(tmp_path, tmp_path, "id").read() == [], "the file of an earlier attempt"


@pytest.mark.process
@pytest.mark.parametrize(
    ("code", "value", "steps"),
    [
        (
            "for fold in 1, 2:\n  for step in range(3): show(step, 10 * fold + step)",
            22,
            {0: 10, 1: 11, 2: 12},
        ),
        ("for step in 0, 1, 5, 2, 3: show(step, 10 + step)", 13, {0: 10, 1: 11, 5: 15, 2: 12, 3: 13}),
    ],
    ids=["steps that begin again", "steps that go back"],
)
def test_the_last_value_counts_whatever_its_step(
    make_script: MakeScript, code: str, value: float, steps: dict[int, float]
) -> None:
    show = 'def show(step, loss): print(\'{"step": %d, "val_loss": %d}\' % (step, loss))\n'
    result = run(make_script(show + code))
    assert result.best_value == value
    assert result.study.trials[0].intermediate_values == steps
    assert result.trials[0].metrics["val_loss"] == value, "as TensorBoard shows it"


@pytest.mark.process
def test_a_metric_name_with_a_surrogate_is_replaced(make_script: MakeScript) -> None:
    file = make_script("import sweep\nsweep.report({'val_loss': 1.0, 'a\\ud800': 2.0}, 1)")
    assert run(file).trials[0].metrics == {"val_loss": 1.0, "a?": 2.0, "best/val_loss": 1.0}


@pytest.mark.process
def test_a_metric_with_the_name_of_the_sweeps_best_curve_is_left_out(make_script: MakeScript) -> None:
    file = make_script('for i in 3, 1, 2: print(\'{"val_loss": %d, "best/val_loss": 100}\' % i)')
    assert run(file).trials[0].metrics == {"val_loss": 2.0, "best/val_loss": 1.0}


@pytest.mark.process
def test_a_second_attempt_that_reports_nothing_keeps_the_metrics_of_the_first(
    make_script: MakeScript,
) -> None:
    file = make_script(
        """
        import os, pathlib, signal, time
        state = pathlib.Path(os.environ["SWEEP_TRIAL_DIR"], "state")
        if not state.exists():
            for step in range(3):
                print('{"step": %d, "val_loss": %d}' % (step, 9 - step), flush=True)
            state.touch()
            time.sleep(0.5)
            os.kill(os.getpid(), signal.SIGKILL)
        """,
        trial={"retries": 1},
    )
    (trial,) = run(file).trials
    assert (trial.state, trial.value, trial.attempts) == ("COMPLETE", 7.0, 2)
    assert trial.metrics == {"val_loss": 7.0, "best/val_loss": 7.0}


def test_a_step_that_is_out_of_range_is_remembered_until_the_next_value_that_counts() -> None:
    sources = MetricSources()
    for source, step, invalid in [
        (MetricSource.WANDB, 2**31, {"loss": 2**31}),
        (MetricSource.JSON, 3, {}),
        (MetricSource.WANDB, 2**31, {}),  # JSON lines take precedence
    ]:
        record = MetricRecord(step, {"loss": 1.0})
        sources.add(source, record, now=0.0)
        sources.select(source, record)
        assert sources.invalid_steps == invalid
