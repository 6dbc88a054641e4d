"""The root run of a sweep in TensorBoard, and the texts of its trials."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import sweep
from sweep.engine.observer import Observer
from sweep.rendering import root_run_updates
from sweep.system.directory import SweepDirectory
from sweep.system.lock import wait_for_fence
from sweep.tracking.events import event_files
from sweep.tracking.read import read_scalars
from tests.conftest import REPOSITORY
from tests.tensorboard_client import metrics, tensorboard

BOTH = pytest.mark.parametrize("fast", [True, False], ids=["data server", "python loader"])
HOSTILE = "<script>alert('1')</script> | `a` **b** [c](d) \x1b[31m\n# e"


METRIC = "val.loss (a|b)/*"


def objective(trial: sweep.Trial) -> float:
    if trial.number == 2:
        raise ValueError(HOSTILE)
    if trial.number == 3:
        raise sweep.TrialPruned
    trial.log({"valxloss": 1.0, f"{METRIC}/x": 1.0}, 0)
    trial.report(trial.params["x"], 0)
    return float(trial.params["x"])


def run(runs: Path, trials: int = 6, **options: object) -> sweep.SweepResult:
    space = {"x": {"min": 0.0, "max": 1.0}, "<b>|`choice`": {"values": [HOSTILE, "plain"]}}
    return sweep.run(
        objective,
        space=space,
        n_trials=trials,
        runs=runs,
        name="demo",
        metric=METRIC,
        inline=True,
        sampler={"type": "random", "seed": 1},
        **{"progress": False, **options},
    )


@BOTH
@pytest.mark.process
def test_the_root_run_has_a_leaderboard_sentences_and_charts(tmp_path: Path, fast: bool) -> None:
    result = run(tmp_path)
    best = sorted((trial for trial in result.trials if trial.state == "COMPLETE"), key=lambda t: t.value or 0)
    with tensorboard(result.directory, fast) as board:
        board.wait_for_rows(6)
        (leaderboard,) = board.texts(".", "leaderboard")
        (explain,) = board.texts(".", "explain")
        charts = board.charts()
        shown = {
            title: board.tags("." if "best so far" in title else "trial-0000", pattern)
            for title, (pattern,) in charts.items()
        }
        curve = board.scalars(".", f"best_so_far/{METRIC}")
    lines = [re.findall(r"<t[hd]>(.*?)</t[hd]>", row) for row in leaderboard.split("<tr>")[1:]]
    assert [line[0] for line in lines] == ["trial", *(str(trial.number) for trial in best)]
    assert [line[1] for line in lines[1:]] == [f"{trial.value:.6g}" for trial in best]
    assert "after 6 finished trials" in leaderboard
    assert "after 6 finished trials" in explain
    assert shown == {
        METRIC: {METRIC},
        f"{METRIC}: best so far": {f"best_so_far/{METRIC}"},
        f"{METRIC}: best of each trial so far": {f"best/{METRIC}"},
    }
    values = [trial.value for trial in result.trials]
    assert curve[0] == (1, pytest.approx(values[0]))
    assert curve[-1] == (6, pytest.approx(result.best_value))
    assert [value for _, value in curve] == sorted((value for _, value in curve), reverse=True)


@BOTH
@pytest.mark.process
def test_each_trial_says_how_it_ended_and_how_to_run_it_again(tmp_path: Path, fast: bool) -> None:
    result = run(tmp_path)
    with tensorboard(result.directory, fast) as board:
        board.wait_for_rows(6)
        texts = [board.texts(f"trial-{number:04d}", "trial")[0] for number in range(6)]
    for trial, text in zip(result.trials, texts, strict=True):
        assert f"Trial {trial.number} of demo" in text
        assert f"sweep debug {result.directory} --trial {trial.number}" in _plain(text)
        assert str(trial.params["x"]) in text
        assert "<script" not in text
        assert "<strong>" not in text
        assert "<a " not in text
        assert "<code>" not in text
    assert "failed: ValueError: <script>alert('1')</script> | `a` **b** [c](d)" in _plain(texts[2])
    assert "pruned" in texts[3]
    assert f"{result.trials[0].value}" in texts[0]
    assert "\x1b" not in "".join(texts)


def _plain(html: str) -> str:
    return re.sub(r"&#(\d+);", lambda match: chr(int(match[1])), html)


@BOTH
@pytest.mark.process
def test_the_columns_have_the_time_and_the_spread_of_a_trial(tmp_path: Path, fast: bool) -> None:
    def seeds(trial: sweep.Trial) -> float:
        time.sleep(0.02)
        return float(trial.params["x"]) + trial.repeat**2

    result = sweep.run(
        seeds, space={"x": {"min": 0.0, "max": 1.0}}, n_trials=2, repeats=3, runs=tmp_path, name="demo",
        inline=True, progress=False,
    )  # fmt: skip
    with tensorboard(result.directory, fast) as board:
        rows = board.wait_for_rows(2)
    for row, trial in zip(rows, result.trials, strict=True):
        assert trial.duration_s is not None
        assert metrics(row)["time/hours"] == pytest.approx(trial.duration_s / 3 / 3600, abs=2e-7), "the mean"
        assert metrics(row)["spread/objective"] == pytest.approx(2.081666)


@pytest.mark.process
def test_the_root_run_is_updated_while_the_sweep_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(root_run_updates, "_FIRST", 0.1)
    root = tmp_path / "demo"

    def wait(trial: sweep.Trial) -> float:
        end = time.monotonic() + 60
        while trial.number == 3 and "best_so_far/objective" not in read_scalars(root):
            assert time.monotonic() < end
            time.sleep(0.05)
        return float(trial.params["x"])

    result = sweep.run(
        wait, space={"x": {"min": 0.0, "max": 1.0}}, n_trials=4, runs=tmp_path, name="demo", inline=True,
        progress=False,
    )  # fmt: skip
    assert len(result.trials) == 4
    assert max(read_scalars(root)["best_so_far/objective"]) == 4
    assert len(event_files(root)) == 1, "the file of the columns is continued"


def test_a_resumed_sweep_continues_its_root_run(tmp_path: Path) -> None:
    run(tmp_path, 4)
    (file,) = event_files(tmp_path / "demo")
    with file.open("ab") as damaged:
        damaged.write(b"a record that was cut")
    result = run(tmp_path, 6)
    curve = read_scalars(result.directory)[f"best_so_far/{METRIC}"]
    assert list(curve) == sorted(curve)
    assert max(curve) == 6
    assert len(event_files(result.directory)) == 2
    before = [path.stat().st_size for path in event_files(result.directory)]
    run(tmp_path, 6)
    assert [path.stat().st_size for path in event_files(result.directory)] == before


KILLED = """
import sys, time
import sweep
from sweep.engine.observer import Observer
from sweep.rendering import root_run_updates

root_run_updates._FIRST = 0.1
slow = "import sweep.analysis.view, time; sweep.analysis.view.SweepView = lambda _: time.sleep(1000); main()"
command = root_run_updates.own_process("sweep.rendering.root_run_updates")
command[-1] = command[-1].replace("main()", slow)
root_run_updates.own_process = lambda _: command

def train(trial):
    while trial.number == 2:
        time.sleep(0.1)
    return trial.params["x"]

if __name__ == "__main__":
    space = {"x": {"min": 0.0, "max": 1.0}}
    sweep.run(train, space=space, n_trials=4, runs=sys.argv[1], name="demo", inline=True, progress=False)
"""


@pytest.mark.process
def test_the_process_that_updates_the_root_run_dies_with_a_killed_sweep(tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    driver = subprocess.Popen([sys.executable, script, tmp_path], cwd=REPOSITORY)
    directory = SweepDirectory(tmp_path / "demo")
    try:
        end = time.monotonic() + 120
        while not (
            updating := [child for child in psutil.Process(driver.pid).children() if _joins(child, directory)]
        ):
            assert time.monotonic() < end
            time.sleep(0.1)
        os.kill(driver.pid, signal.SIGKILL)
        psutil.wait_procs(updating, 30)
        assert not any(process.is_running() for process in updating)
        assert wait_for_fence(directory.fence, 30)
    finally:
        driver.kill()
        driver.wait()


def _joins(process: psutil.Process, directory: SweepDirectory) -> bool:
    return str(directory.fence) in [file.path for file in process.open_files()]


def test_a_sweep_that_cannot_be_explained_ends_as_usual(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []

    class Notes(Observer):
        def on_note(self, text: str) -> None:
            notes.append(text)

    def fail(view: object) -> None:
        raise ZeroDivisionError("no variance")

    monkeypatch.setattr("sweep.analysis.explanation.explain", fail)
    result = run(tmp_path, 2, observer=Notes())
    assert result.best_value is not None
    assert notes == ["`sweep explain` fails: ZeroDivisionError: no variance; please report it"]
    assert max(read_scalars(result.directory)[f"best_so_far/{METRIC}"]) == 2
