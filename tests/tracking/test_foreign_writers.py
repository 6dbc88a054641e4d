"""Whatever writers of event files a trial uses, TensorBoard has one row and one run for each trial.

The property is checked for all engines, and over HTTP with both of TensorBoard's loaders.
"""

from __future__ import annotations

import json
import textwrap
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

import sweep
from sweep.tracking.read import read_scalars
from tests.commands import call
from tests.tensorboard_client import TensorBoard, hparams, metrics, status, tensorboard

WRITERS = """
    import os, pathlib, socket, struct, subprocess, sys, time

    HPARAMS = {"x": "a string", "own": 1}

    def torch_in_a_folder(here):
        from torch.utils.tensorboard import SummaryWriter
        writer = SummaryWriter(here / "logs")
        curve(writer)
        writer.add_hparams(HPARAMS, {"hparam/accuracy": 0.5})
        writer.close()

    def torch_in_its_default_folder(here):
        from torch.utils.tensorboard import SummaryWriter
        os.chdir(here)
        writer = SummaryWriter()
        curve(writer)
        writer.add_hparams(HPARAMS, {TAG: 0.5})

    def tensorboardx_in_the_trials_folder(here):
        curve(left_open(str(here)))

    def several_folders(here):
        for name in ("a", "b"):
            curve(left_open(str(here / name)))
        writer = left_open(str(here / "a"))
        writer.add_hparams(HPARAMS, {"hparam/accuracy": 0.5})

    def beside_the_trials(here):
        curve(left_open(str(here.parent / "shared")))

    def through_a_link(here):
        outside = here.parent.parent / "outside"
        outside.mkdir(exist_ok=True)
        (here / "link").symlink_to(outside)
        curve(left_open(str(here / "link")))

    def a_child_process(here):
        subprocess.run([sys.executable, __file__, "--child"], check=True)

    def child_writes(here):
        from tensorboardX import SummaryWriter
        writer = SummaryWriter(str(here / "child"))
        curve(writer)
        writer.add_hparams(HPARAMS, {"hparam/accuracy": 0.5})
        writer.close()

    def lightning(here):
        from lightning.pytorch.loggers import TensorBoardLogger
        logger = TensorBoardLogger(here, default_hp_metric=False)
        logger.log_hyperparams(HPARAMS, {"hp/metric": 0.5})
        for step in range(3):
            logger.log_metrics({TAG: 1 / (step + 1), "own": step}, step)

    def tensorflow_in_a_folder(here):
        records(here / "tf" / "train")

    def tensorflow_in_the_trials_folder(here):
        records(here)

    def left_open(place):
        from tensorboardX import SummaryWriter
        OPEN.append(SummaryWriter(place))
        OPEN[-1].add_hparams(HPARAMS, {"hparam/accuracy": 0.5})
        return OPEN[-1]

    OPEN = []
    TAG = "loss" if __name__ != "__main__" else "train/loss"

    def curve(writer):
        for step in range(3):
            writer.add_scalar(TAG, 1 / (step + 1), step)
            writer.add_scalar("own", step, step)

    def records(place):
        '''Writes a file as TensorFlow's C++ code does, with the records of `hp.hparams_config` and so on.'''
        from tensorboardX.proto import api_pb2, event_pb2, plugin_hparams_pb2, summary_pb2
        from tensorboardX.record_writer import masked_crc32c
        data = plugin_hparams_pb2.HParamsPluginData
        os.makedirs(place, exist_ok=True)
        name = "events.out.tfevents.%d.%s.%d.0.v2" % (time.time() + 2, socket.gethostname(), os.getpid())
        OPEN.append(open(os.path.join(place, name), "wb"))
        def write(step, **value):
            event = event_pb2.Event(wall_time=time.time(), step=step)
            event.summary.value.add(**value)
            record = event.SerializeToString()
            head = struct.pack("<Q", len(record))
            sums = [struct.pack("<I", masked_crc32c(part)) for part in (head, record)]
            OPEN[-1].write(head + sums[0] + record + sums[1])
            OPEN[-1].flush()
        def plugin(tag, content):
            metadata = summary_pb2.SummaryMetadata()
            metadata.plugin_data.plugin_name = "hparams"
            metadata.plugin_data.content = content.SerializeToString()
            write(0, tag=tag, metadata=metadata)
        write(0, tag="first", simple_value=0.0)
        experiment = api_pb2.Experiment(hparam_infos=[api_pb2.HParamInfo(name="own", type=1)])
        plugin("_hparams_/experiment", data(experiment=experiment))
        start = plugin_hparams_pb2.SessionStartInfo(group_name="own")
        start.hparams["own"].number_value = 1
        plugin("_hparams_/session_start_info", data(session_start_info=start))
        end = plugin_hparams_pb2.SessionEndInfo(status=api_pb2.STATUS_FAILURE)
        plugin("_hparams_/session_end_info", data(session_end_info=end))
        for step in range(3):
            write(step, tag=TAG, simple_value=1 / (step + 1))

    def train(trial):
        globals()[trial.params.writer](pathlib.Path(trial.directory))
        return 0.25 + trial.params.x

    if __name__ == "__main__":
        here = pathlib.Path(os.environ["SWEEP_TRIAL_DIR"])
        if sys.argv[1] == "--child":
            child_writes(here)
            sys.exit()
        arguments = dict(argument[2:].split("=") for argument in sys.argv[1:])
        globals()[arguments["writer"]](here)
        print('{"loss": %r}' % (0.25 + float(arguments["x"])), flush=True)
"""

KINDS = [
    "torch_in_a_folder",
    "torch_in_its_default_folder",
    "tensorboardx_in_the_trials_folder",
    "several_folders",
    "beside_the_trials",
    "through_a_link",
    "a_child_process",
    "lightning",
    "tensorflow_in_a_folder",
    "tensorflow_in_the_trials_folder",
]
LOADERS = pytest.mark.parametrize("fast", [True, False], ids=["data server", "python loader"])


def write_files(**keys: Any) -> Path:
    Path("foreign.py").write_text(textwrap.dedent(WRITERS))
    spec = {
        "objective": "foreign.py:train",
        "metric": {"name": "loss", "goal": "minimize"},
        "sampler": "grid",
        "parameters": {"writer": {"values": KINDS}, "x": 0.5},
        **keys,
    }
    file = Path("demo.yaml")
    file.write_text(yaml.safe_dump({key: value for key, value in spec.items() if value}, sort_keys=False))
    return file


def runs_of(board: TensorBoard) -> list[str]:
    with urllib.request.urlopen(f"{board.url}/data/runs", timeout=120) as answer:
        return sorted(json.load(answer))


def check(result: sweep.SweepResult, kinds: list[str] = KINDS) -> None:
    assert sorted(trial.params["writer"] for trial in result.trials) == sorted(kinds)
    assert [trial.state for trial in result.trials] == ["COMPLETE"] * len(kinds), result.trials
    assert [trial.value for trial in result.trials] == [0.75] * len(kinds)
    names = [trial.directory.name for trial in result.trials]
    for fast in (True, False):
        with tensorboard(result.directory, fast) as board:
            board.wait_for_rows(len(kinds))
            time.sleep(2)
            rows = {row["name"]: row for row in board.rows()}
            experiment = board.experiment()
            assert runs_of(board) == [".", *names]
        assert rows.keys() == {f"demo/t{trial.number:04d}" for trial in result.trials}
        assert {info["name"] for info in experiment["hparamInfos"]} == {"writer", "x"}
        tags = [info["name"]["tag"] for info in experiment["metricInfos"]]
        assert tags == ["loss", "best/loss", "time/hours"]
        for trial in result.trials:
            row = rows[f"demo/t{trial.number:04d}"]
            assert status(row) == "STATUS_SUCCESS"
            assert hparams(row) == {"writer": trial.params["writer"], "x": 0.5}
            assert metrics(row)["loss"] == 0.75
    for trial in result.trials:
        kind = trial.params["writer"]
        if "tensorflow" not in kind:
            assert read_scalars(trial.directory)["own"] == {0: 0.0, 1: 1.0, 2: 2.0}, kind


@pytest.mark.process
def test_there_is_one_row_and_one_run_per_trial_inline(project: Path) -> None:
    check(sweep.run(write_files(), inline=True))


def test_there_is_one_row_and_one_run_per_trial_with_ray(project: Path, ray_cluster: None) -> None:
    check(sweep.run(write_files(max_parallel=2)))


@pytest.mark.process
def test_there_is_one_row_and_one_run_per_trial_of_a_script(project: Path) -> None:
    kinds = [kind for kind in KINDS if kind != "lightning"]  # each trial would import it
    parameters = {"writer": {"values": kinds}, "x": 0.5}
    check(
        sweep.run(write_files(objective=None, program="foreign.py", parameters=parameters), inline=True),
        kinds,
    )


def test_nothing_but_the_repeats_is_a_run_of_a_sweep_with_repeats(project: Path) -> None:
    kinds = ["tensorboardx_in_the_trials_folder", "several_folders", "beside_the_trials"]
    file = write_files(repeats=2, parameters={"writer": {"values": kinds}, "x": 0.5})
    result = sweep.run(file, inline=True)
    assert [trial.state for trial in result.trials] == ["COMPLETE"] * 3, result.trials
    repeats = {trial.directory / f"seed-{repeat}" for trial in result.trials for repeat in (0, 1)}
    shown = {path.parent for path in result.directory.rglob("*tfevents*")}
    assert shown == {result.directory, *repeats}
    assert {path.parent for path in result.directory.rglob("*collected*")} > {
        result.trials[2].directory / "shared"
    }


@pytest.mark.process
@LOADERS
def test_there_is_one_row_and_one_run_for_a_trial_that_is_debugged(project: Path, fast: bool) -> None:
    file = write_files()
    for kind in ("torch_in_a_folder", "tensorflow_in_a_folder", "a_child_process"):
        call("debug", file, "--params", f"writer={kind}", "--keep", f"kept/{kind}")
        with tensorboard(project / "kept" / kind, fast) as board:
            (row,) = board.wait_for_rows(1)
            assert runs_of(board) == ["trial-0000"]
            assert hparams(row).keys() == {"writer", "x"}
