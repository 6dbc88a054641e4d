"""The commands: their output, their errors and their exit statuses."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

import sweep
from sweep import cli
from sweep.analysis.view import SweepView
from sweep.cli.app import app
from tests.commands import PATIENCE, UNNEEDED_LIBRARIES, call, sweep_command
from tests.conftest import REPOSITORY, MakeSweep

LOSS_IS_X = "def train(trial):\n    trial.report(trial.params.x, 0)\n    return trial.params.x\n"


@pytest.fixture
def finished(make_sweep: MakeSweep) -> Path:
    file = make_sweep(
        """
        def train(trial):
            trial.log({"loss": trial.params.x, "speed": 2.0}, 0)
            if trial.number == 1:
                raise RuntimeError("[red] herring")
            return trial.params.x
        """,
        parameters={"x": {"min": 0.0, "max": 1.0}, "act": {"values": ["re lu", "gelu"]}, "epochs": 3},
    )
    call("run", file, "--inline", "--quiet")
    return file


@pytest.mark.process
def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom sweep.cli import main\nsys.argv = ['sweep', '--help']\n"
        "try:\n    main()\nfinally:\n"
        "    print([m for m in ('torch', 'ray', 'optuna', 'tensorboardX', 'numpy') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "sweep run space.yaml" in done.stdout
    assert done.stdout.endswith("[]\n")


def _imported(code: str, names: Collection[str]) -> set[str]:
    """Which of the modules a new process has imported after it has run `code`."""
    code = f"import atexit, sys\natexit.register(lambda: print('modules:', *sys.modules))\n{code}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE)
    _, found, modules = done.stdout.partition("modules: ")
    assert found, done.stderr
    return set(modules.split()) & set(names)


@pytest.mark.process
def test_an_invalid_sweep_file_is_reported_before_optuna_ray_and_tensorboardx_are_imported(
    make_sweep: MakeSweep,
) -> None:
    file = make_sweep(LOSS_IS_X, parameters={"x": {"min": 1.0, "max": 0.0}})
    code = f"from sweep.cli import main\nsys.argv = ['sweep', 'run', {str(file)!r}]\nsys.exit(main())"
    assert _imported(code, {"ray", "optuna", "tensorboardX", "numpy", "sweep.controller"}) == set()


@pytest.mark.process
def test_a_sweep_imports_no_library_that_it_does_not_need(make_sweep: MakeSweep) -> None:
    file = make_sweep(LOSS_IS_X, stop={"trials": 2})
    code = (
        "import sweep.engine.ray.engine, sweep.engine.ray.worker\n"
        f"from sweep.cli import main\nsys.argv = ['sweep', 'run', {str(file)!r}, '--inline']\nmain()"
    )
    assert _imported(code, {*UNNEEDED_LIBRARIES, "optuna"}) == {"optuna"}


COMMANDS = [command.callback.__name__ for command in app.registered_commands if command.callback]


@pytest.mark.process
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(command: str) -> None:
    assert "Examples:" in call(command, "--help").stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_main_help_and_on_the_page_of_commands(command: str) -> None:
    assert app.registered_callback is not None
    assert f"  sweep {command} " in str(app.registered_callback.callback.__doc__)
    assert f"| `sweep {command}" in (REPOSITORY / "docs" / "cli.md").read_text()


@pytest.mark.process
def test_the_version_is_that_of_the_installed_distribution() -> None:
    assert sweep.__version__ == version("sweep-hpo")
    assert call("--version").stdout == f"sweep {sweep.__version__}\n"


@pytest.mark.process
def test_run_prints_one_line_per_event_and_the_next_commands(make_sweep: MakeSweep) -> None:
    done = call("run", make_sweep(LOSS_IS_X), "--inline", "-n", "3")
    lines = done.stdout.splitlines()
    assert "3 trials; 1 at once" in lines
    assert sum(bool(re.match(r"trial \d started: x=0\.\d+", line)) for line in lines) == 3
    assert sum(bool(re.match(r"trial \d COMPLETE after .* s: loss=0\.\d+", line)) for line in lines) == 3
    assert any(re.match(r"3 trials in .*: 3 complete\.", line) for line in lines)
    assert any(line.strip().startswith("sweep tensorboard demo") for line in lines)
    assert done.stderr == ""


@pytest.mark.process
def test_run_on_ray_does_not_print_messages_of_ray(make_sweep: MakeSweep) -> None:
    file = make_sweep(LOSS_IS_X)
    done = call("run", file, "-n", "4", "-p", "2")
    assert "4 trials; 2 at once" in done.stdout
    assert done.stderr == ""
    assert "ray" not in done.stdout.replace(str(file), "").lower().replace("starting ray ...", "")


@pytest.mark.process
def test_quiet_prints_nothing(make_sweep: MakeSweep) -> None:
    done = call("run", make_sweep(LOSS_IS_X), "--inline", "--quiet")
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.process
def test_a_finished_sweep_is_extended_by_more_trials(make_sweep: MakeSweep) -> None:
    file = make_sweep(LOSS_IS_X)
    call("run", file, "--inline", "--quiet")
    before = json.loads(call("trials", "demo", "--format", "json").stdout)
    assert "demo is finished: 6 complete" in call("run", file, "--inline").stdout
    assert "8 trials, 6 of them already finished" in call("run", file, "--inline", "-n", "8").stdout
    after = json.loads(call("trials", "demo", "--format", "json").stdout)
    assert after[:6] == before
    assert len(after) == 8


@pytest.mark.process
def test_a_changed_search_space_under_the_same_name_is_refused_with_the_difference(
    make_sweep: MakeSweep,
) -> None:
    file = make_sweep(LOSS_IS_X)
    call("run", file, "--inline", "--quiet")
    refused = call("run", file, "--inline", "--set", "parameters.x.max=2.0", "-n", "9", status=2)
    assert "parameters.x.max: 1.0 -> 2.0" in refused.stderr
    assert "--name NAME" in refused.stderr
    assert "--fresh" in refused.stderr
    call("run", file, "--inline", "--quiet", "--set", "parameters.x.max=2.0", "--fresh")
    assert [path.name for path in Path("runs").glob("demo")] == ["demo"]
    assert len(list(Path("runs/.old").glob("demo-*/journal.log"))) == 1


@pytest.mark.process
def test_user_attributes_are_columns_of_the_csv(make_sweep: MakeSweep) -> None:
    file = make_sweep(
        """
        def train(trial):
            if trial.number:
                trial.set_user_attr("accuracy, top", 0.5)
            return trial.params.x
        """,
        stop={"trials": 2},
    )
    call("run", file, "--inline", "--quiet")
    first, second = csv.DictReader(io.StringIO(call("trials", "demo", "--format", "csv").stdout))
    assert (first["user_attrs.accuracy, top"], second["user_attrs.accuracy, top"]) == ("", "0.5")


@pytest.mark.process
def test_status_of_a_finished_sweep(finished: Path) -> None:
    text = call("status", "demo").stdout
    assert "demo: finished, 6 of 6 trials" in text
    data = json.loads(call("status", "demo", "--json").stdout)
    assert data["name"] == "demo"
    assert data["dir"] == str(Path("runs/demo").resolve())
    assert (data["state"], data["metric"], data["goal"]) == ("finished", "loss", "minimize")
    assert data["counts"] == {"complete": 5, "pruned": 0, "failed": 1, "running": 0, "waiting": 0}
    assert data["best"].keys() == {"number", "value", "params"}
    assert data["best"]["params"].keys() == {"x", "act", "epochs"}
    assert data["elapsed_s"] >= 0
    assert 0 <= data["utilisation"] <= 1


@pytest.mark.process
def test_status_without_a_name_lists_all_sweeps(finished: Path) -> None:
    assert "--runs" in call("status", "--runs", "nowhere", status=2).stderr
    Path("runs/broken").mkdir()
    Path("runs/broken/sweep.yaml").write_text("metric: {\n")
    text = call("status").stdout.splitlines()
    assert len(text) == 3
    assert re.fullmatch(r"broken +unreadable +.*sweep.yaml:2: invalid YAML: .*", text[1])
    assert re.fullmatch(r"demo +finished +6/6 +\S+ +.* loss=0\.\d+ \(trial \d\)", text[2])
    broken, demo = json.loads(call("status", "--json").stdout)
    assert demo == json.loads(call("status", "demo", "--json").stdout)
    assert (broken["name"], broken["state"]) == ("broken", "unreadable")


@pytest.mark.process
def test_status_of_an_empty_folder_names_the_command_that_starts_a_sweep(project: Path) -> None:
    (project / "runs").mkdir()
    assert call("status").stdout == "runs: contains no sweep; start one with: sweep run FILE\n"
    assert json.loads(call("status", "--json").stdout) == []


@pytest.mark.process
def test_trials_are_printed_as_json_csv_and_table(finished: Path) -> None:
    rows: list[dict[str, Any]] = json.loads(call("trials", "demo", "--format", "json").stdout)
    assert [row["number"] for row in rows] == list(range(6))
    assert list(rows[0]) == [
        *("number", "state", "value", "params", "metrics", "attempts", "reason"),
        *("started", "finished", "duration_s", "dir"),
    ]
    assert rows[0]["metrics"] == {"loss": rows[0]["value"], "best/loss": rows[0]["value"], "speed": 2.0}
    assert rows[1]["state"] == "FAIL"
    assert rows[1]["value"] is None
    assert rows[1]["reason"] == "RuntimeError: [red] herring"
    table = list(csv.DictReader(io.StringIO(call("trials", "demo", "--format", "csv").stdout)))
    assert [float(row["params.x"]) for row in table] == [row["params"]["x"] for row in rows]
    text = call("trials", "demo").stdout
    assert len(text.splitlines()) == 7, "one line per trial"
    assert "RuntimeError: [red] herring" in text
    assert "epochs" not in text, "constants have no column"


@pytest.mark.process
@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"metrics": [{"name": "loss", "goal": "minimize"}, {"name": "size", "goal": "maximize"}]},
        {"metrics": [{"name": "loss", "goal": "minimize"}, {"name": "size", "constraint": "<= 1"}]},
        {"repeats": 2},
    ],
)
def test_csv_contains_everything_that_json_contains(make_sweep: MakeSweep, keys: dict[str, Any]) -> None:
    file = make_sweep(
        """
        def train(trial):
            if trial.number == 1:
                raise ValueError('no, "really"')
            trial.save_artifact(__file__, "code.py")
            trial.log({"bad": float("nan")}, 0)
            trial.set_user_attr("tags", ["a", None])
            return {"loss": trial.params.x, "size": trial.number}
        """,
        parameters={
            "x": {"min": 0.0, "max": 1.0},
            "flag": {"values": [True, None]},
            "layers": {"values": [[8, 8], [9]]},
        },
        stop={"trials": 3},
        **({"metric": None} if "metrics" in keys else {}),
        **keys,
    )
    call("run", file, "--inline", "--quiet")
    call("retry", "demo", "1")
    rows = json.loads(call("trials", "demo", "--format", "json").stdout)
    table = list(csv.DictReader(io.StringIO(call("trials", "demo", "--format", "csv").stdout)))
    assert len(table) == len(rows) == 4
    for row, cells in zip(rows, table, strict=True):
        for key, value in row.items():
            if key in ("params", "metrics", "user_attrs"):
                entries = {f"{key}.{name}": entry for name, entry in value.items()}
            elif key in ("values", "repeats"):
                entries = {f"{key}.{index}": entry for index, entry in enumerate(value)}
            else:
                entries = {key: value}
            for column, entry in entries.items():
                cell = cells[column]
                read = entry if cell == entry else None if cell == "" else json.loads(cell)
                assert read == entry, column


@pytest.mark.process
def test_best_prints_json_yaml_and_shell_arguments(finished: Path) -> None:
    params = json.loads(call("best", "demo", "--format", "json").stdout)
    rows = json.loads(call("trials", "demo", "--format", "json").stdout)
    complete = [row for row in rows if row["state"] == "COMPLETE"]
    assert params == min(complete, key=lambda row: row["value"])["params"]
    command = shlex.join(sweep_command("best", "demo", "--format", "args"))
    echo = subprocess.run(
        ["bash", "-c", f"""eval "printf '%s\\n' $({command})\""""], capture_output=True, text=True, check=True
    )
    assert echo.stdout.splitlines() == [f"--{key}={value}" for key, value in params.items()]
    assert f"x: {params['x']}" in call("best", "demo").stdout


SEVERAL = {"metrics": [{"name": "loss", "goal": "minimize"}, {"name": "speed", "goal": "maximize"}]}


def _two_metrics(speed: str) -> str:
    return f"def train(trial):\n    x = trial.params.x\n    return {{'loss': x, 'speed': {speed}}}\n"


@pytest.mark.process
def test_a_pareto_front_of_one_trial_is_printed_as_one_configuration(make_sweep: MakeSweep) -> None:
    call("run", make_sweep(_two_metrics("-x"), metric=None, **SEVERAL), "--inline", "--quiet")
    rows = json.loads(call("trials", "demo", "--format", "json").stdout)
    x = min(row["params"]["x"] for row in rows)
    assert call("best", "demo", "--format", "args").stdout == f"--x={x}\n"
    assert json.loads(call("best", "demo", "--format", "json").stdout) == {"x": x}
    assert call("best", "demo").stdout == f"x: {x}\n"


@pytest.mark.process
def test_best_and_status_have_all_metrics_of_the_pareto_front(make_sweep: MakeSweep) -> None:
    call("run", make_sweep(_two_metrics("x"), metric=None, **SEVERAL), "--inline", "--quiet")
    assert "has several best trials" in call("best", "demo", "--format", "args", status=2).stderr
    data = json.loads(call("status", "demo", "--json").stdout)
    x = data["best"]["value"]
    assert data["best"] == {
        "number": 0,
        "value": x,
        "params": {"x": x},
        "values": {"loss": x, "speed": x},
    }
    assert [one["number"] for one in data["front"]] == list(range(6))
    assert data["front"][0] == {"number": 0, "values": {"loss": x, "speed": x}, "params": {"x": x}}
    assert data["front"] == json.loads(call("best", "demo", "--format", "json").stdout)


@pytest.mark.process
@pytest.mark.parametrize("command", ["run", "check", "debug", "convert"])
def test_a_python_file_in_place_of_a_sweep_file_is_refused_with_the_init_command(
    project: Path, command: str
) -> None:
    (project / "train.py").write_text("import sys\n\ndef train(trial): ...\n")
    for code in ("train.py", "train.py:train"):
        refused = call(command, code, status=2).stderr
        assert refused == f"error: {code}: is a Python file; `sweep init {code}` writes a sweep file for it\n"
    assert "no such file" in call(command, "rain.py", status=2).stderr
    (project / "train.yaml").touch()
    assert "is a Python file; did you mean train.yaml?" in call(command, "train.py", status=2).stderr


@pytest.mark.process
def test_enqueue_in_a_finished_sweep_prints_the_command_that_extends_it(finished: Path) -> None:
    refused = call("enqueue", "demo", "x=0.25", "act=re lu", status=2).stderr
    assert refused.startswith(
        "error: demo: is finished; extend it and enqueue this configuration: sweep run "
    )
    call(*shlex.split(refused.partition("sweep ")[2]))
    last = json.loads(call("trials", "demo", "--format", "json").stdout)[-1]
    assert (last["number"], last["params"]["x"], last["params"]["act"]) == (6, 0.25, "re lu")
    assert "there is no parameter 'y'" in call("enqueue", "demo", "y=1", status=2).stderr
    call("run", finished, "--inline", "--quiet", "--name", "other", "--set", "stop.target=2")
    refused = call("enqueue", "other", "x=0.2", status=2).stderr
    command = f"sweep run {finished} --inline --quiet --name other --set stop.target=... --set"
    assert f"enqueue this configuration: {command}" in refused


@pytest.mark.process
def test_the_command_that_extends_a_sweep_can_be_pasted_whatever_the_values_contain(
    make_sweep: MakeSweep,
) -> None:
    values = ["a, b", "it's [c] d", "-"]
    file = make_sweep(LOSS_IS_X, parameters={"x": {"min": 0.0, "max": 1.0}, "k": {"values": values}})
    call("run", file, "--inline", "--quiet")
    for number, value in enumerate(values[:2], 6):
        refused = call("enqueue", "demo", "x=0.25", f"k={value}", status=2).stderr
        call(*shlex.split(refused.partition("sweep ")[2]))
        last = json.loads(call("trials", "demo", "--format", "json").stdout)[-1]
        assert (last["number"], last["params"]) == (number, {"x": 0.25, "k": value})


@pytest.mark.process
def test_a_sweep_is_found_by_name_and_by_path(finished: Path) -> None:
    for name in ("demo", "runs/demo", str(Path("runs/demo").resolve())):
        assert json.loads(call("status", name, "--json").stdout)["name"] == "demo"
    assert "did you mean 'demo'?" in call("status", "dmo", status=2).stderr


@pytest.mark.process
def test_a_sweep_without_a_complete_trial_exits_with_1_and_the_reason(make_sweep: MakeSweep) -> None:
    file = make_sweep("def train(trial):\n    raise OSError('no data')\n", stop={"trials": 3})
    done = call("run", file, "--inline", status=1)
    assert "3 failed, all with: OSError: no data" in done.stdout
    shown = call("best", "demo").stdout
    assert shown.startswith("# demo: no trial is complete")
    assert yaml.safe_load(shown) is None
    for asked in (("--format", "args"), ("--format", "yaml"), ("--json",), ("--artifact", "model.pt")):
        done = call("best", "demo", *asked, status=1)
        assert "no trial is complete" in done.stderr
        assert done.stdout == "", "a script must not take it for the best parameters"


@pytest.mark.process
def test_a_sweep_whose_script_never_reports_the_metric_stops_and_is_replaced_by_the_corrected_file(
    project: Path,
) -> None:
    (project / "script.py").write_text("print('{\"loss\": 0.5}')\n")
    file = project / "demo.yaml"
    text = "program: script.py\nmetric:\n  goal: minimize\n  name: los\n"
    text += "parameters: {x: 1}\nstop: {trials: 3}\n"
    file.write_text(text)
    ended = call("run", file, "--inline", status=1).stdout
    assert "Stopped early: no trial can succeed without the metric." in ended
    assert f"correct metric ({file}:4), or what the script reports\n" in ended
    assert f"\nThen resume with: sweep run {file} --inline\n" in ended
    assert "sweep retry" not in ended
    file.write_text(text.replace("los\n", "loss\n"))
    assert "the old sweep is now in" in call("run", file, "--inline").stdout
    assert json.loads(call("status", "demo", "--json").stdout)["counts"]["complete"] == 3


@pytest.mark.process
def test_check_prints_the_search_space_and_runs_nothing(make_sweep: MakeSweep) -> None:
    file = make_sweep(
        "raise SystemExit('I was run')\ndef train(trial): ...",
        parameters={"x": {"min": 1, "max": 4}, "act": {"values": ["a", "b", "c"]}, "epochs": 3},
    )
    text = call("check", file).stdout
    assert "grid: 12" in text
    data = json.loads(call("check", file, "--json").stdout)
    assert data.keys() == {"parameters", "grid", "samples", "command", "notes"}
    assert data["grid"] == 12
    assert len(data["samples"]) == 5
    assert data["parameters"]["act"] == {"values": ["a", "b", "c"]}
    unbounded = json.loads(call("check", file, "--json", "--set", "parameters.x.max=4.5").stdout)
    assert unbounded["grid"] is None
    assert "grid: infinite" in call("check", file, "--set", "parameters.x.max=4.5").stdout
    assert not Path("runs").exists()


@pytest.mark.process
@pytest.mark.parametrize(
    ("keys", "place"),
    [
        ({"objective": "demo_objective.py:trian"}, "demo.yaml:1: objective: "),
        ({"objective": "nowhere.py:train"}, "demo.yaml:1: objective: "),
        ({"sampler": "grid"}, "demo.yaml:7: parameters.x: has infinitely many values"),
        ({"storage": "nosuchdb://x"}, "demo.yaml:14: storage: "),
    ],
)
def test_a_sweep_that_cannot_run_is_a_one_line_error_and_writes_nothing(
    make_sweep: MakeSweep, keys: dict[str, Any], place: str
) -> None:
    file = make_sweep(LOSS_IS_X, **keys)
    done = call("run", file.name, status=2)
    assert done.stdout in ("", "starting Ray ...\n")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: " + place), line
    assert not Path("runs").exists()


@pytest.mark.process
def test_a_second_run_of_a_running_sweep_is_refused_with_the_process_of_the_first(
    make_sweep: MakeSweep,
) -> None:
    file = make_sweep("import time\ndef train(trial):\n    time.sleep(600)\n", stop={"trials": 1})
    first = subprocess.Popen(sweep_command("run", file, "--inline", "--quiet"))
    try:
        wait_for_state("running")
        done = call("run", file, "--inline", status=2)
        assert f"is already being run by process {first.pid}" in done.stderr
        call("run", file, "--inline", "--fresh", status=2)
        assert Path("runs/demo/journal.log").exists()
    finally:
        first.kill()
        first.wait()


@pytest.mark.process
@pytest.mark.parametrize(
    ("number", "status", "options"),
    [
        (signal.SIGINT, 130, ["--grace", "0"]),
        (signal.SIGINT, 130, ["--inline"]),
        (signal.SIGTERM, 143, ["--inline"]),  # on Ray: test_resume.py
        (signal.SIGHUP, 129, ["--inline"]),
    ],
)
def test_an_interrupted_sweep_is_resumed_by_the_same_command(
    make_sweep: MakeSweep, number: int, status: int, options: list[str]
) -> None:
    file = make_sweep(
        """
        import pathlib, time

        def train(trial):
            while trial.number >= 2 and not pathlib.Path("go").exists():
                time.sleep(0.05)
            return trial.params.x
        """,
        stop={"trials": 4},
        max_parallel=2,
    )
    process = subprocess.Popen(sweep_command("run", file, *options), stdout=subprocess.PIPE, text=True)
    wait_for_state("running", complete=2)
    process.send_signal(number)
    out, _ = process.communicate(timeout=180)
    assert process.returncode == status
    assert f"Resume with: sweep run {file} {shlex.join(options)}" in out
    before = json.loads(call("trials", "demo", "--format", "json").stdout)
    assert json.loads(call("status", "demo", "--json").stdout)["state"] == "interrupted"
    Path("go").touch()
    call("run", file, "--quiet", *options)
    after = json.loads(call("trials", "demo", "--format", "json").stdout)
    assert after[:2] == before[:2]
    assert [(row["number"], row["state"]) for row in after] == [(n, "COMPLETE") for n in range(4)]


def wait_for_state(state: str, complete: int = 0) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if Path("runs/demo/sweep.yaml").exists():
            view = SweepView.open("demo", Path("runs"))  # cheaper than the command
            if view.state == state and view.counts["complete"] >= complete:
                return
        time.sleep(0.05)
    raise TimeoutError


@pytest.fixture(params=["data server", "broken data server"])
def server(finished: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if request.param != "data server":  # TensorBoard falls back to it on a busy machine too
        monkeypatch.setenv("TENSORBOARD_DATA_SERVER_BINARY", "/bin/false")
    process = subprocess.Popen(
        sweep_command("tensorboard", "demo", "--port", "0"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"http://127\.0\.0\.1:\d+/#hparams", line):
            break
    else:
        raise RuntimeError("no address")
    yield found[0]
    process.terminate()
    assert process.stdout.read() == ""
    assert process.wait(60) == 128 + signal.SIGTERM


@pytest.mark.process
def test_tensorboard_serves_the_hparams_tab(server: str) -> None:
    from tests.tensorboard_client import TensorBoard

    board = TensorBoard(server.removesuffix("/#hparams"))
    assert len(board.wait_for_rows(6)) == 6


@pytest.mark.process
@pytest.mark.parametrize("file", sorted(path.name for path in (REPOSITORY / "search_spaces").glob("*.yaml")))
def test_the_ready_made_sweep_files_are_valid(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    call("check", f"search_spaces/{file}")


def test_a_joined_cluster_is_left_running_and_its_gpus_are_used(make_sweep: MakeSweep, cluster: str) -> None:
    file = make_sweep(
        """
        import os, pathlib, time

        def train(trial):
            pathlib.Path(f"up-{trial.number}").touch()
            while len(list(pathlib.Path().glob("up-*"))) < 2:
                time.sleep(0.05)
            return float(os.environ["CUDA_VISIBLE_DEVICES"])
        """,
        resources={"cpu": 1, "gpu": 1},
        stop={"trials": 4},
    )
    done = call("run", file, "--address", cluster)
    assert "4 trials; 2 at once" in done.stdout
    rows = json.loads(call("trials", "demo", "--format", "json").stdout)
    assert {row["value"] for row in rows} == {0.0, 1.0}
    done = call("run", file, "-n", "5", env={"RAY_ADDRESS": cluster})
    assert f"joining Ray at {cluster} ..." in done.stdout
    assert done.stderr == ""


@pytest.mark.process
def test_an_address_without_a_ray_cluster_is_an_error(make_sweep: MakeSweep) -> None:
    file = make_sweep(LOSS_IS_X)
    unused = "127.0.0.1:1"
    done = call("run", file, "--address", unused, status=1)
    assert f"--address {unused}: the Ray cluster cannot be reached" in done.stderr
    done = call("run", file, status=1, env={"RAY_ADDRESS": unused})
    assert f"RAY_ADDRESS={unused}: the Ray cluster cannot be reached" in done.stderr
    for word in ("there", ":6379", "http://127.0.0.1:8265", "1.2.3.4:port"):
        done = call("run", file, "--address", word, status=2)
        assert f"--address {word}: expected auto, or HOST:PORT of a cluster" in done.stderr
    assert not Path("runs").exists()


@pytest.mark.process
def test_brackets_in_names_and_values_are_not_markup(make_sweep: MakeSweep) -> None:
    file = make_sweep(
        "def train(trial):\n    return 1.0\n",
        metric={"name": "[/m]", "goal": "minimize"},
        parameters={"[/red]x": {"values": ["[/x]", "[bold]"]}},
    )
    assert "[/x]" in call("check", file).stdout
    call("run", file, "--inline", "--quiet")
    assert "[bold]" in call("trials", "demo").stdout


@pytest.mark.process
def test_a_sweep_that_never_ran_a_trial_can_be_replaced(make_sweep: MakeSweep) -> None:
    file = make_sweep("import no_such_module_at_all\n\ndef train(trial): ...\n")
    done = subprocess.run(sweep_command("run", file, "--inline"), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "attempt.py" not in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("error: ") == 1
    assert done.stderr.count("ModuleNotFoundError") == 2, "once in the first line, once in the traceback"
    make_sweep(LOSS_IS_X, parameters={"x": {"min": 0.0, "max": 2.0}})
    assert "note: the old sweep is now in" in call("run", file, "--inline").stdout


@pytest.mark.process
def test_a_module_in_the_current_folder_is_found(project: Path, make_sweep: MakeSweep) -> None:
    (project / "my_package").mkdir()
    (project / "my_package" / "__init__.py").touch()
    (project / "my_package" / "work.py").write_text(LOSS_IS_X)
    file = make_sweep("", objective="my_package.work:train")
    console_script = "import sys\nsys.path[0] = '/usr/bin'\nfrom sweep.cli import main\nmain()"
    for options in ([], ["--inline"]):
        command = [sys.executable, "-c", console_script, "run", str(file), "--fresh", "-q", *options]
        subprocess.run(command, check=True, timeout=PATIENCE)


@pytest.mark.process
def test_a_runs_folder_that_is_a_file_is_an_error(make_sweep: MakeSweep, project: Path) -> None:
    (project / "file").touch()
    done = call("run", make_sweep(LOSS_IS_X), "--inline", "--runs", "file/runs", status=2)
    assert done.stderr == f"error: {project / 'file'}: is not a directory; choose another directory\n"


@pytest.mark.process
def test_the_error_for_a_damaged_journal_has_its_path(finished: Path) -> None:
    journal = Path("runs/demo/journal.log")
    first, _, rest = journal.read_bytes().partition(b"\n")
    journal.write_bytes(first + b"\n" + bytes(9) + b"\n" + rest)  # a machine that dies can leave zeros
    message = "runs/demo/journal.log: cannot be read: line 2 is damaged; restore the file from a copy\n"
    assert message in call("status", "demo", status=2).stderr
    assert message in call("run", finished, "-n", "9", status=2).stderr


@pytest.mark.process
@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, "--lr=0.5 --sgd.m=1 --on=True --off=False"),
        ({"command": ["python", "train.py", "${args_no_boolean_flags}"]}, "--lr=0.5 --sgd.m=1 --on"),
        ({"command": ["${sgd.m}", "train.py", "-l", "${lr}", "-o", "out"]}, "0.5"),
        (
            {"command": ["python", "train.py", "${args_no_equals}", "-m${sgd.m}"]},
            "--lr 0.5 --sgd.m 1 --on True",
        ),
        ({"command": ["python", "train.py"]}, "--lr=0.5 --sgd.m=1 --on=True --off=False"),
        ({"arguments": "nested"}, "--lr=0.5 \"--sgd={'m': 1}\" --on=True --off=False"),
    ],
)
def test_best_prints_the_arguments_that_the_script_received(
    project: Path, keys: dict[str, Any], expected: str
) -> None:
    spec = {
        "name": "demo",
        "program": "train.py",
        "metric": {"name": "loss", "goal": "minimize"},
        "parameters": {"lr": 0.5, "sgd": {"parameters": {"m": {"values": [1]}}}, "on": True, "off": False},
        "stop": {"trials": 1},
        **keys,
    }
    Path("train.py").write_text("print('{\"loss\": 1}')")
    Path("1").write_text("#!/bin/sh\necho '{\"loss\": 1}'\n")
    Path("1").chmod(0o755)
    Path("demo.yaml").write_text(json.dumps(spec))
    call("run", "demo.yaml", "--inline", "--quiet", env={"PATH": f".{os.pathsep}{os.environ['PATH']}"})
    found = shlex.split(call("best", "demo", "--format", "args").stdout)
    assert found[: len(shlex.split(expected))] == shlex.split(expected)


CONDITIONAL = """
program: train.py
command: [python, train.py, "--momentum=${momentum}"]
metric: {name: loss, goal: minimize}
parameters: {opt: {values: [sgd, adam]}, momentum: {min: 0.0, max: 0.9, when: {opt: sgd}}}
sampler: {type: random, seed: SEED}
stop: {trials: 4}
"""


@pytest.mark.process
@pytest.mark.parametrize("seed", [1, 3])
def test_check_notes_that_the_command_is_invalid_for_some_trials(project: Path, seed: int) -> None:
    Path("train.py").touch()
    Path("demo.yaml").write_text(CONDITIONAL.replace("SEED", str(seed)))
    found = " ".join(call("check", "demo.yaml").stdout.split())
    assert "python train.py --momentum=0." in found
    assert re.search(r"note: a trial with opt=adam would fail: this trial has no 'momentum'", found)
    done = call("debug", "demo.yaml", "--params", "opt=adam", status=1)
    assert done.stderr.splitlines()[-1].startswith("failed after")
    assert "this trial has no 'momentum' for ${momentum} in its command" in done.stderr


@pytest.mark.process
def test_the_environment_of_a_wandb_file_names_nested_parameters_with_dots(project: Path) -> None:
    Path("train.py").write_text("import json, os; print(json.dumps({'loss': float(os.environ['M'])}))")
    Path("demo.yaml").write_text(
        "program: train.py\nmethod: random\nmetric: {name: loss, goal: minimize}\nrun_cap: 1\n"
        "parameters: {sgd: {parameters: {m: {value: 0.25}}}, lr: {min: 0.0, max: 1.0}}\n"
    )
    call("run", "demo.yaml", "--inline", "--quiet", "--set", "env={M: '${sgd.m}'}")
    assert SweepView.open("demo", Path("runs")).rows()[0].value == 0.25


@pytest.mark.process
def test_the_program_can_be_a_parameter_in_a_group(project: Path) -> None:
    Path("demo.yaml").write_text(
        "command: ['${tool.bin}', train.py]\nmetric: {name: loss, goal: minimize}\n"
        "parameters: {tool: {parameters: {bin: {values: [python, pypy]}}}}\nstop: {trials: 1}\n"
    )
    Path("train.py").touch()
    assert "train.py" in call("check", "demo.yaml").stdout


def test_an_interruption_anywhere_says_how_to_resume(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sweep.sweepfile.read_sweep_file", interrupted)
    monkeypatch.setattr("sys.argv", ["sweep", "run", "my space.yaml", "-p", "2"])
    assert cli._call_app() == 130
    assert capsys.readouterr().err == "interrupted; resume with: sweep run 'my space.yaml' -p 2\n"
