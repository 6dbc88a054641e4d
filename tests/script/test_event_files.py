"""Scripts whose metrics are in event files that they write themselves, with any writer, anywhere."""

from __future__ import annotations

import socket
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import sweep
from sweep.script.event_files import _Event, _Steps, _TagNames
from sweep.tracking.events import EventFile
from sweep.tracking.read import read_scalars
from sweep.tracking.tensorboardx import summary_pb2
from tests.tensorboard_client import hparams, logged_metrics, status, tensorboard

pytestmark = pytest.mark.process


TORCH = "from torch.utils.tensorboard import SummaryWriter"
TENSORBOARDX = "from tensorboardX import SummaryWriter"
WRITERS = pytest.mark.parametrize("writer", [TORCH, TENSORBOARDX], ids=["torch", "tensorboardX"])
TRAIN = """
    import argparse, time
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float)
    parser.add_argument("--logdir", default=None)
    parser.add_argument("--nap", type=float, default=0.0)
    args = parser.parse_args()
    {writer}
    writer = SummaryWriter({arguments})
    for epoch in range(3):
        time.sleep(args.nap)
        writer.add_scalar("val/loss", args.lr / (epoch + 1), epoch)
        writer.add_scalar("train/loss", args.lr, epoch)
"""

QUICK = """
    import os, sys, time
    sys.modules["torch"] = None  # importing it takes two seconds
    {writer}
"""

MakeScript = Callable[..., Path]


@pytest.fixture
def make_script(project: Path) -> MakeScript:
    """Writes a script and its sweep file; returns the sweep file."""

    def make(code: str, writer: str = TORCH, arguments: str = "", **keys: Any) -> Path:
        code = textwrap.dedent(code).replace("{writer}", writer).replace("{arguments}", arguments)
        (project / "train.py").write_text(code)
        spec = {
            "program": "train.py",
            "metric": {"name": "val/loss", "goal": "minimize"},
            "sampler": {"type": "random", "seed": 1},
            "parameters": {"lr": {"min": 0.1, "max": 1.0}},
            "stop": {"trials": 1},
            **keys,
        }
        file = project / "demo.yaml"
        file.write_text(yaml.safe_dump(spec, sort_keys=False))
        return file

    return make


def run(file: Path) -> sweep.SweepResult:
    result = sweep.run(file, inline=True)
    assert {trial.state for trial in result.trials} <= {"COMPLETE", "PRUNED"}, result.trials
    return result


def check_curves(result: sweep.SweepResult) -> None:
    for trial, found in zip(result.trials, result.study.trials, strict=True):
        lr = trial.params["lr"]
        steps = {0: lr, 1: lr / 2, 2: lr / 3}
        assert found.intermediate_values == pytest.approx(steps)
        scalars = read_scalars(trial.directory)
        assert scalars["val/loss"] == pytest.approx(steps)
        best = {step: value for step, value in scalars["best/val/loss"].items() if step in steps}
        assert best == pytest.approx(steps)
        assert scalars["train/loss"] == pytest.approx(dict.fromkeys(range(3), lr))


@WRITERS
def test_a_writer_with_its_default_directory_is_found(make_script: MakeScript, writer: str) -> None:
    check_curves(run(make_script(TRAIN, writer)))


@WRITERS
@pytest.mark.parametrize("place", ["${trial_dir}", "${trial_dir}/tb", "logs/a"])
def test_a_writer_with_any_directory_is_found(make_script: MakeScript, writer: str, place: str) -> None:
    command = ["${interpreter}", "${program}", "${args}", f"--logdir={place}"]
    result = run(make_script(TRAIN, writer, "args.logdir", command=command))
    check_curves(result)
    with tensorboard(result.directory) as board:
        board.wait_for_rows(1)
        curve = board.scalars("trial-0000", "val/loss")
    lr = result.trials[0].params["lr"]
    assert curve == [(step, pytest.approx(lr / (step + 1))) for step in range(3)], "each point exists once"


@WRITERS
@pytest.mark.usefixtures("ray_cluster")
def test_parallel_trials_with_the_same_hard_coded_directory_do_not_mix(
    make_script: MakeScript, writer: str
) -> None:
    code = TRAIN.replace(
        "writer = Summ", "time.sleep(3 - time.time() % 3)\n    writer = Summ"
    )  # in the same second
    result = sweep.run(make_script(code, writer, "'runs/mine'", stop={"trials": 4}, max_parallel=4))
    assert [trial.state for trial in result.trials] == ["COMPLETE"] * 4, result.trials
    check_curves(result)
    directory = result.directory
    assert len(list(Path("runs/mine").glob("*tfevents*"))) == 4
    for fast in (True, False):
        with tensorboard(directory, fast) as board:
            rows = {row["name"]: row for row in board.wait_for_rows(4)}
            for trial in result.trials:
                row = rows[f"demo/t{trial.number:04d}"]
                lr = trial.params["lr"]
                assert status(row) == "STATUS_SUCCESS"
                assert hparams(row) == pytest.approx({"lr": lr})
                assert logged_metrics(row) == pytest.approx({"val/loss": lr / 3, "best/val/loss": lr / 3})
                curve = board.scalars(f"trial-{trial.number:04d}", "train/loss")
                assert curve == [(step, pytest.approx(lr)) for step in range(3)]


@WRITERS
def test_a_script_whose_writer_flushes_every_two_minutes_is_pruned(
    make_script: MakeScript, writer: str
) -> None:
    code = TRAIN.replace("args.lr / (epoch + 1)", "number").replace("range(3)", "range(600)")
    code = code.replace(
        "{writer}", "import os; number = int(os.environ['SWEEP_TRIAL_DIR'][-1])\n    {writer}"
    )
    code = code.replace("args.nap", "0.1 if number == 2 else 0")
    result = run(
        make_script(code, writer, stop={"trials": 3}, pruner={"type": "median", "startup_trials": 2})
    )
    assert [trial.state for trial in result.trials] == ["COMPLETE", "COMPLETE", "PRUNED"]


@pytest.mark.parametrize("place", ["", "'logs'", "os.environ['SWEEP_TRIAL_DIR']"])
def test_add_hparams_in_a_script_does_not_change_the_sweeps_table(
    make_script: MakeScript, place: str
) -> None:
    code = (
        "    import os" + TRAIN + "    writer.add_hparams({'lr': args.lr, 'own': 'x'}, {'hparam/acc': 0.5})\n"
    )
    result = run(make_script(code, TORCH, place, stop={"trials": 2}))
    check_curves(result)
    assert result.trials[0].metrics["hparam/acc"] == 0.5
    for fast in (True, False):
        with tensorboard(result.directory, fast) as board:
            board.wait_for_rows(2)
            time.sleep(2)
            rows = board.rows()
            assert {row["name"] for row in rows} == {"demo/t0000", "demo/t0001"}
            assert [info["name"] for info in board.experiment()["hparamInfos"]] == ["lr"]
            assert all(status(row) == "STATUS_SUCCESS" for row in rows)


def test_images_and_histograms_are_in_the_trials_run(make_script: MakeScript) -> None:
    code = TRAIN + (
        "    import numpy\n"
        "    writer.add_image('picture', numpy.zeros((3, 4, 4)), 1)\n"
        "    writer.add_histogram('weights', numpy.arange(9), 1)\n"
        "    writer.add_scalars('both', {'a': 1, 'b': 2}, 1)\n"
    )
    result = run(make_script(code))
    assert result.trials[0].metrics["both_a/both"] == 1
    assert result.trials[0].metrics["both_b/both"] == 2
    import json
    import urllib.request

    with tensorboard(result.directory) as board:
        board.wait_for_rows(1)
        for plugin in ("images", "histograms"):
            with urllib.request.urlopen(f"{board.url}/data/plugin/{plugin}/tags", timeout=120) as answer:
                assert list(json.load(answer)) == ["trial-0000"]


def test_values_without_steps_are_numbered(make_script: MakeScript) -> None:
    code = TRAIN.replace(", epoch)", ")")
    trial = run(make_script(code)).study.trials[0]
    lr = trial.params["lr"]
    assert trial.intermediate_values == pytest.approx({0: lr, 1: lr / 2, 2: lr / 3})
    assert trial.value == pytest.approx(lr / 3)
    scalars = read_scalars(Path("runs/demo/trial-0000"))["val/loss"]
    assert scalars == pytest.approx(trial.intermediate_values)


@pytest.mark.parametrize(
    ("steps", "nap", "curve"),
    [
        ("0, 0, 1, 2", 0, {0: 0.0, 1: 2.0, 2: 3.0}),  # evaluated before the first epoch
        ("0, 0, 1, 2", 1.2, {0: 0.0, 1: 2.0, 2: 3.0}),
        ("0, 1, 2, 0, 1, 2", 0, {0: 0.0, 1: 1.0, 2: 2.0}),  # two folds
        ("0, 0", 0, {0: 0.0, 1: 1.0}),
        ("None, None, None, 7", 0, {0: 0.0, 1: 1.0, 2: 2.0, 7: 3.0}),
    ],
)
def test_a_repeated_step_0_is_counted_only_if_no_steps_are_given(
    make_script: MakeScript, steps: str, nap: float, curve: dict[int, float]
) -> None:
    code = (
        QUICK
        + f"""
    writer = SummaryWriter("logs")
    for value, step in enumerate([{steps}]):
        writer.add_scalar("val/loss", value, step)
        writer.add_scalar("other", value, value)
        time.sleep({nap} if value < 2 else 0)
    """
    )
    result = run(make_script(code, TENSORBOARDX))
    assert result.study.trials[0].intermediate_values == curve
    assert result.best_value == steps.count(",")


def test_values_without_steps_keep_their_order_if_events_have_several() -> None:
    steps = _Steps()
    events = [{"a": 1.0, "b": 1.0}, {"a": 2.0, "b": 2.0}, {"b": 3.0}, {"b": 4.0}]
    found = [each for scalars in events for each in steps.add(_Event(0, scalars, None))]
    found += steps.rest()
    assert [(each.step, each.scalars["b"]) for each in found] == [(0, 1.0), (1, 2.0), (2, 3.0), (3, 4.0)]


def test_a_directory_named_after_the_time_is_found(make_script: MakeScript) -> None:
    """Directories of `add_hparams` have such names too."""
    code = (
        QUICK
        + """
    number = int(os.environ["SWEEP_TRIAL_DIR"][-1])
    writer = SummaryWriter(f"logs/{time.time()}")
    for step in range(600):
        writer.add_scalar("val/loss", number, step)
        time.sleep(0.1 if number == 2 else 0)
    """
    )
    file = make_script(code, TENSORBOARDX, stop={"trials": 3}, pruner={"type": "median", "startup_trials": 2})
    assert [trial.state for trial in run(file).trials] == ["COMPLETE", "COMPLETE", "PRUNED"]


def test_scalars_as_tensorflow_writes_them_are_read_while_a_process_has_the_file_open(
    make_script: MakeScript, project: Path
) -> None:
    """A program writes records itself, as TensorFlow's C++ code does: no Python writer is adapted."""
    file = make_script(
        f"""
        import os, pathlib, struct, time
        from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2
        from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
        def write(file, event):
            data = event.SerializeToString()
            head = struct.pack("<Q", len(data))
            sums = [struct.pack("<I", masked_crc32c(part)) for part in (head, data)]
            file.write(head + sums[0] + data + sums[1])
            file.flush()
        files = {{}}
        for split in ("train", "validation"):
            os.makedirs("logs/" + split, exist_ok=True)
            name = "events.out.tfevents.%d.{socket.gethostname()}.%d.0.v2" % (time.time(), os.getpid())
            files[split] = open("logs/" + split + "/" + name, "wb")
        for step in range(3):
            for split, file in files.items():
                plugin = summary_pb2.SummaryMetadata.PluginData(plugin_name="scalars")
                tensor = tensor_pb2.TensorProto(dtype=1, tensor_content=struct.pack("<f", step + len(split)))
                value = summary_pb2.Summary.Value(tag="epoch_loss", tensor=tensor)
                if step == 0:
                    value.metadata.plugin_data.CopyFrom(plugin)
                write(file, event_pb2.Event(step=step, summary=summary_pb2.Summary(value=[value])))
        here = pathlib.Path(os.environ["SWEEP_TRIAL_DIR"])
        while sum(path.read_bytes().count(b"validation/epoch_loss") for path in here.glob("events*")) < 3:
            time.sleep(0.1)
        """,
        metric={"name": "validation/epoch_loss", "goal": "minimize"},
    )
    result = run(file)
    assert result.study.trials[0].intermediate_values == {0: 10, 1: 11, 2: 12}
    assert result.trials[0].metrics["train/epoch_loss"] == 7


def test_unreadable_event_files_are_ignored(make_script: MakeScript) -> None:
    """A pipe with the name of an event file, or a log directory that was replaced by a file."""
    code = """
        import os, pathlib, shutil, time
        here = pathlib.Path(os.environ["SWEEP_TRIAL_DIR"])
        os.mkfifo(here / "tfevents.pipe")
        {writer}
        writer = SummaryWriter("logs")
        writer.add_scalar("val/loss", 0.5, 0)
        writer.close()
        while not any(b"val/loss" in path.read_bytes() for path in here.glob("events*")):
            time.sleep(0.05)
        shutil.rmtree("logs")
        open("logs", "w").close()
    """
    (trial,) = run(make_script(code, TENSORBOARDX)).trials
    assert trial.value == 0.5


@pytest.mark.parametrize("main_is_late", [False, True])
def test_tags_of_the_first_writer_have_no_prefix(make_script: MakeScript, main_is_late: bool) -> None:
    code = (
        QUICK
        + f"""
    main, other = SummaryWriter("tb/x"), SummaryWriter("tb/x/generator")
    for step in range(2):
        other.add_scalar("val/loss", 100 + step, step)
        time.sleep({2.5 if main_is_late else 0})
        main.add_scalar("val/loss", 1 + step, step)
    """
    )
    trial = run(make_script(code, TENSORBOARDX)).trials[0]
    assert trial.value == 2.0
    assert trial.metrics["generator/val/loss"] == 101.0


def test_a_tag_keeps_its_name_whichever_of_two_writers_logs_it_first() -> None:
    test, train = Path("/runs/exp_test"), Path("/runs/exp_train")
    names = _TagNames()
    names.add(test)
    names.add(train)
    found = [names.name("loss", directory) for directory in (train, train, test, train, test)]
    assert found == ["loss", "loss", "exp_test/loss", "loss", "exp_test/loss"]
    assert [names.name("acc", directory) for directory in (test, train)] == ["acc", "exp_train/acc"]


def test_tags_of_add_scalars_have_the_directory_as_prefix(make_script: MakeScript) -> None:
    code = (
        QUICK
        + """
    writer = SummaryWriter("tb/x")
    for step in range(2):
        writer.add_scalars("loss", {"train": step + 1, "val": step + 3}, step)
    """
    )
    metric = {"name": "loss/val/loss", "goal": "minimize"}
    trial = run(make_script(code, TENSORBOARDX, metric=metric)).trials[0]
    assert {name: value for name, value in trial.metrics.items() if not name.startswith("best")} == {
        "loss/train/loss": 2.0,
        "loss/val/loss": 4.0,
    }


@pytest.mark.parametrize("fast", [True, False], ids=["data server", "python loader"])
def test_add_hparams_with_the_name_of_a_curve_does_not_change_the_curve(
    make_script: MakeScript, fast: bool
) -> None:
    code = (
        QUICK
        + """
    writer = SummaryWriter("tb")
    for step, loss in enumerate([5, 3, 1, 2, 4]):
        writer.add_scalar("val/loss", loss, step)
    writer.add_hparams({"lr": 0.1}, {"val/loss": 1, "hparam/size": 7}, name="1795637460.5")
    """
    )
    result = run(make_script(code, TENSORBOARDX))
    assert result.best_value == 4.0
    with tensorboard(result.directory, fast) as board:
        (row,) = board.wait_for_rows(1)
        assert board.scalars("trial-0000", "val/loss") == [(0, 5.0), (1, 3.0), (2, 1.0), (3, 2.0), (4, 4.0)]
    assert logged_metrics(row) == {"val/loss": 4.0, "best/val/loss": 1.0}
    assert result.trials[0].metrics["hparam/size"] == 7.0


def test_all_scalars_of_a_pruned_script_are_in_its_run(make_script: MakeScript) -> None:
    code = (
        QUICK
        + """
    import pathlib
    number = int(os.environ["SWEEP_TRIAL_DIR"][-1])
    writer = SummaryWriter(f"logs/{number}")
    def written(tag):
        return sum(path.read_bytes().count(tag) for path in pathlib.Path("logs/2").rglob("event*"))
    for step in range(600 if number == 2 else 100):
        writer.add_scalar("val/acc", step, step)
        writer.add_scalars("cmp", {"a": step}, step)
        while step == 2 and number == 2 and min(written(b"val/acc"), written(b"cmp")) < 2:
            time.sleep(0.1)
        if step >= 2:
            writer.add_scalar("val/loss", number, step)
        time.sleep(0.3 if number == 2 else 0)
    """
    )
    result = run(
        make_script(code, TENSORBOARDX, stop={"trials": 3}, pruner={"type": "median", "startup_trials": 2})
    )
    assert [trial.state for trial in result.trials] == ["COMPLETE", "COMPLETE", "PRUNED"]
    scalars = read_scalars(result.trials[2].directory)
    written = [read_scalars(Path("logs/2")), read_scalars(Path("logs/2/cmp/a"))]
    assert [scalars["val/acc"], scalars["val/loss"]] == [written[0]["val/acc"], written[0]["val/loss"]]
    assert list(scalars["cmp/a/cmp"]) == list(written[1]["cmp"])
    assert len(scalars["val/acc"]) > 1


def test_a_run_named_train_is_recognized_by_its_other_files(make_script: MakeScript) -> None:
    code = (
        QUICK
        + """
    name = "train" if os.environ["SWEEP_TRIAL_DIR"].endswith("0") else "train2"  # as Ultralytics names them
    os.makedirs("runs-of-it/" + name + "/weights")
    SummaryWriter("runs-of-it/" + name).add_scalar("val/loss", 1.0, 0)
    """
    )
    result = run(make_script(code, TENSORBOARDX, stop={"trials": 2}))
    assert [trial.value for trial in result.trials] == [1.0, 1.0]


@pytest.mark.parametrize("nap", [0, 2.5])
def test_the_tags_of_a_folder_named_train_do_not_depend_on_what_the_script_saves_there_later(
    make_script: MakeScript, nap: float
) -> None:
    """Nor on what an earlier trial has left there."""
    code = (
        QUICK
        + f"""
    SummaryWriter("out/train").add_scalar("loss", 1.0, 0)
    time.sleep({nap})
    open("out/train/model.pt", "w").close()
    """
    )
    metric = {"name": "train/loss", "goal": "minimize"}
    result = run(make_script(code, TENSORBOARDX, metric=metric, stop={"trials": 2}))
    assert [trial.value for trial in result.trials] == [1.0, 1.0]


@pytest.mark.parametrize("steps", [[-1], [0, 2**31], [1, 2**40]])
def test_a_last_value_at_an_invalid_step_is_an_error_that_names_it(
    make_script: MakeScript, steps: list[int]
) -> None:
    """Otherwise an earlier value would be the trial's."""
    code = f"{QUICK}    writer = SummaryWriter()\n"  # its directory is named after the second
    code += f"    for step in {steps}: writer.add_scalar('val/loss', 1.0, step)\n"
    result = sweep.run(make_script(code, TENSORBOARDX, stop={"trials": 5}), inline=True)
    (trial,) = result.trials  # the sweep stops after the first one
    assert trial.reason == (
        f"the last value of 'val/loss' was reported at step {steps[-1]}, but steps are whole "
        "numbers from 0 to 2147483647"
    )


def test_an_earlier_value_at_an_invalid_step_is_ignored(make_script: MakeScript) -> None:
    code = QUICK + "    writer = SummaryWriter()\n"  # its directory is named after the second
    code += "    for step in (-1, 0): writer.add_scalar('val/loss', 1.0 + step, step)\n"
    assert run(make_script(code, TENSORBOARDX)).best_value == 1.0


def test_event_files_in_any_subdirectory_of_the_trial_are_found(
    make_script: MakeScript, project: Path
) -> None:
    """From writers that are not adapted, such as TensorFlow's."""
    code = """
    import os, shutil
    place = os.path.join(os.environ["SWEEP_TRIAL_DIR"], "logs", "checkpoint")
    os.makedirs(place)
    shutil.copy("events", os.path.join(place, "events.out.tfevents.1.host"))
    """
    file = EventFile(project / "made")
    file.add_summary(
        summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag="val/loss", simple_value=3.0)]), 1
    )
    file.finish()
    file.path.rename(project / "events")
    assert run(make_script(code)).best_value == 3.0
