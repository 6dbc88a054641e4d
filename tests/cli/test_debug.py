"""`sweep debug`: one configuration in this process, outside its study."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

import sweep
from sweep.system import processes
from tests.commands import call, sweep_command
from tests.conftest import MakeSweep
from tests.terminal import Terminal

pytestmark = pytest.mark.process


CODE = """
    import random

    def train(trial):
        print("trial", trial.number, "repeat", trial.repeat, "seed", trial.seed)
        print("params", dict(trial.params))
        for step in range(2):
            trial.report(trial.params.x + step, step)
            assert not trial.should_prune()
        inner(trial)
        with trial.checkpoint.save(1) as path:
            (path / "state").touch()
        return random.random()

    def inner(trial):
        secret = 41
        if trial.params["fails"]:
            raise ValueError("bad luck")
"""
PARAMETERS = {"x": {"min": 0.0, "max": 1.0}, "act": {"values": ["relu", "gelu"]}, "fails": False}


@pytest.fixture
def finished(make_sweep: MakeSweep) -> Path:
    file = make_sweep(CODE, parameters=PARAMETERS, stop={"trials": 3})
    sweep.run(file, inline=True)
    return file


def failing(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """`sweep debug` of a trial that fails."""
    done = subprocess.run(sweep_command("debug", *arguments), capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    return done


def contents(directory: Path) -> dict[str, bytes | None]:
    """The files of a directory with their contents and modification times."""
    return {
        f"{path} {path.lstat().st_mtime_ns}": path.read_bytes() if path.is_file() else None
        for path in sorted(directory.rglob("*"))
    }


def test_a_trial_is_reproduced_with_its_seed(finished: Path) -> None:
    row = json.loads(call("trials", "demo", "--format", "json").stdout)[2]
    lines = call("debug", finished, "--trial", "2").stdout.splitlines()
    was = Path("runs/demo/trial-0002/output.log").read_text().splitlines()
    assert [line for line in lines if line.startswith(("trial ", "params "))] == was, "its seed too"
    value = f"{row['value']:.6g}"
    assert re.fullmatch(rf"loss = {value} after .* s; in the sweep it was {value}", lines[-1])


@pytest.mark.parametrize("name", ["demo", "runs/demo"])
def test_the_sweep_file_is_not_needed_if_the_sweep_exists(name: str, finished: Path) -> None:
    finished.unlink()
    assert "trial 1 repeat 0" in call("debug", name, "--trial", "1").stdout


def test_reports_are_shown_as_they_come(finished: Path) -> None:
    lines = call("debug", finished, "--params", "x=0.5").stdout.splitlines()
    assert [line for line in lines if "step" in line] == ["step 0: loss = 0.5", "step 1: loss = 1.5"]


def test_the_sweep_stays_unchanged_and_temporary_files_are_removed(finished: Path, project: Path) -> None:
    before = contents(project / "runs"), set(os.listdir(project)) - {"__pycache__"}
    said = failing(finished, "--trial", "2", "--params", "fails=true").stdout
    call("debug", "demo", "--trial", "0")
    call("debug", finished)
    assert (contents(project / "runs"), set(os.listdir(project)) - {"__pycache__"}) == before
    place = re.search(r"writes to (\S+), removed at the end", said)
    assert place is not None
    assert not Path(place[1]).parent.exists()


def test_files_can_be_kept(finished: Path) -> None:
    said = call("debug", finished, "--trial", "2", "--keep", "kept").stdout
    assert f"writes to {Path('kept/trial-0002').resolve()}\n" in said
    assert list(Path("kept/trial-0002/checkpoint").glob("*/state"))
    assert list(Path("kept/trial-0002").glob("events.out.tfevents.*"))
    again = call("debug", finished, "--trial", "2", "--keep", "kept", status=2)
    assert "trial-0002 already exists; choose another" in again.stderr
    inside = call("debug", finished, "--keep", "runs/demo/more", status=2)
    assert "must not be changed" in inside.stderr
    assert not Path("runs/demo/more").exists()
    Path("sweep.yaml").write_text(finished.read_text())  # this file does not make the project a sweep
    call("debug", finished, "--trial", "2", "--keep", "kept too")
    assert Path("kept too/trial-0002").is_dir()


def test_values_are_printed_literally_and_not_as_markup(project: Path) -> None:
    Path("train.py").write_text("print('{\"loss\": 1}')\n")
    Path("demo.yaml").write_text(
        "name: demo\nprogram: train.py\nmetric: {name: loss, goal: minimize}\nstop: {trials: 1}\n"
        "parameters: {image: {values: ['repo:v:1', '1:100:1']}}\n"
    )
    assert "--image=repo:v:1" in call("debug", "demo.yaml", "--params", "image=repo:v:1").stdout
    call("run", "demo.yaml", "--inline", "--quiet", "--set", "enqueue=[{image: '1:100:1'}]")
    assert "1:100:1" in call("trials", "demo").stdout


def test_a_running_sweep_is_only_read(make_sweep: MakeSweep) -> None:
    file = make_sweep(
        """
        import pathlib, time

        def train(trial):
            if not pathlib.Path("go").exists():
                pathlib.Path("running").touch()
                while not pathlib.Path("go").exists():
                    time.sleep(0.05)
            return trial.params.x
        """,
        stop={"trials": 2},
    )
    with subprocess.Popen(sweep_command("run", file, "--inline", "--quiet")) as running:
        while not Path("running").exists():
            assert running.poll() is None
            time.sleep(0.05)
        try:
            before = Path("runs/demo/journal.log").read_bytes()
            other = ("debug", file, "--trial", "0", "--set", "objective=now.py:train")
            assert "there is no file now.py" in call(*other, status=2).stderr
            Path("now.py").write_text("def train(trial):\n    return trial.params.x\n")
            said = call(*other).stdout
            assert "note: differs from the sweep in" in said
            assert "objective: demo_objective.py:train -> now.py:train" in said
            assert Path("runs/demo/journal.log").read_bytes() == before
        finally:
            Path("go").touch()
        assert running.wait(180) == 0


def test_all_forms_of_parameters_are_accepted(finished: Path) -> None:
    call("best", "demo", status=0)
    Path("best.yaml").write_text(call("best", "demo").stdout)
    Path("best.json").write_text(call("best", "demo", "--format", "json").stdout)
    for arguments in (
        ["--params", "x=0.25,act=gelu"],
        ["--params", "x=0.25", "--params", "act=gelu"],
        ["--params", "{x: 0.25, act: gelu}"],
        ["--params", "best.yaml", "--params", "x=0.25,act=gelu"],
        ["--params", "best.json", "--params", "{x: 2.5e-1}", "--params", "act=gelu"],
    ):
        said = call("debug", finished, *arguments).stdout
        assert "params {'x': 0.25, 'act': 'gelu', 'fails': False}" in said


def test_a_comma_in_a_value_does_not_separate_parameters(make_sweep: MakeSweep) -> None:
    file = make_sweep(
        "def train(trial):\n    print(dict(trial.params))\n    return 0.0\n",
        parameters={"sizes": {"value": [1, 2]}, "x": {"min": 0.0, "max": 1.0}},
    )
    assert "{'sizes': [3, 4], 'x': 0.5}" in call("debug", file, "--params", "sizes=[3, 4],x=0.5").stdout


def test_a_comma_separates_parameters_whatever_their_names_are(make_sweep: MakeSweep) -> None:
    file = make_sweep(
        "def train(trial):\n    print(dict(trial.params))\n    return 0.0\n",
        parameters={"a/b": 1, "größe %": 2, "x": {"min": 0.0, "max": 1.0}},
    )
    said = call("debug", file, "--params", "x=0.5,a/b=3, größe %=4", status=2).stderr
    assert "größe %" in said
    assert "{'a/b': 3, 'größe %': 2, 'x': 0.5}" in call("debug", file, "--params", "x=0.5,a/b=3").stdout


def test_parameters_that_are_not_given_are_listed(make_sweep: MakeSweep) -> None:
    file = make_sweep(CODE, parameters={**PARAMETERS, "act": {"values": ["relu", "gelu"], "default": "gelu"}})
    said = call("debug", file).stdout
    assert "by default: act\n" in said
    assert "not given, so drawn at random: x\n" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--params", "xx=1"], "error: --params xx: there is no parameter 'xx'; did you mean 'x'?"),
        (["--params", "act=rellu"], "error: --params act: act is never 'rellu'; it is one of 'relu', 'gelu'"),
        (["--params", "x"], "error: --params x: is neither key=value nor a file; write lr=0.1"),
        (["--params", "=1"], "error: --params =1: expected key=value, for example lr=0.01"),
        (["--params", "{x"], "error: --params {x: is not YAML"),
        (["--params", "notes.txt"], "notes.txt: expected parameters such as {lr: 0.1}"),
        (["--params", "nowhere.yaml"], "nowhere.yaml: is neither key=value nor a file"),
        (["--params", "runs"], "error: --params runs: is a folder; write a file in it, or lr=0.1"),
        (["--trial", "3"], "error: --trial 3: demo has no such trial; they are 0 to 2"),
        (["--trial", "-1"], "error: --trial -1: demo has no such trial"),
        (["--repeat", "1"], "error: --repeat 1: demo has no repeats; leave it out"),
        (["--set", "objective=demo_objective.py:trian"], "did you mean 'train'?"),
    ],
)
def test_an_invalid_option_is_an_error_of_one_line(
    finished: Path, arguments: list[str], message: str
) -> None:
    Path("notes.txt").write_text("only text")
    said = call("debug", finished, *arguments, status=2).stderr
    assert message in said
    assert len(said.splitlines()) == 1


def test_missing_files_and_sweeps_are_errors_with_hints(finished: Path) -> None:
    assert "did you mean" in call("debug", "dmo.yaml", status=2).stderr
    assert "did you mean 'demo'?" in call("debug", "dem", status=2).stderr
    never = call("debug", finished, "--trial", "0", "--set", "name=other", status=2)
    assert "other: there is no such sweep in runs" in never.stderr


def test_a_failure_prints_the_traceback_of_the_users_code_and_has_a_status(finished: Path) -> None:
    done = subprocess.run(
        sweep_command("debug", finished, "--params", "fails=true"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert [line.split(", in ")[1] for line in lines if line.startswith("  File")] == ["train", "inner"]
    assert lines[-2] == "ValueError: bad luck"
    assert re.fullmatch(r"failed after .* s: ValueError: bad luck", lines[-1])


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ("raise __import__('sweep').TrialPruned", 0, "it pruned itself after"),
        ("return float('nan')", 1, "the metric is NaN"),
        ("return 'low'", 1, "what the objective returned is 'low'; it must be a number"),
        ("return {'los': 1.0}", 1, "the objective returned no 'loss'; did you mean 'los'?"),
        ("raise SystemExit(3)", 1, "failed after"),
        ("1 / 0", 1, "ZeroDivisionError: division by zero"),
    ],
)
def test_each_result_has_its_message_and_exit_status(
    body: str, status: int, message: str, make_sweep: MakeSweep
) -> None:
    file = make_sweep(f"def train(trial):\n    {body}\n")
    done = subprocess.run(sweep_command("debug", file), capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    assert message in (done.stdout + done.stderr).splitlines()[-1]
    assert "sweep/" not in done.stderr


def test_all_metrics_are_shown_and_a_missing_one_is_a_failure(make_sweep: MakeSweep) -> None:
    file = make_sweep(
        "def train(trial):\n    return {'loss': 1.0, **({} if trial.params.x == 1 else {'size': 2.0})}\n",
        metric=None,
        metrics=[{"name": "loss", "goal": "minimize"}, {"name": "size", "goal": "minimize"}],
    )
    assert "loss = 1, size = 2 after" in call("debug", file, "--params", "x=0.5").stdout
    missing = failing(file, "--params", "x=1")
    assert "the metric 'size' was never logged" in missing.stderr


def test_a_module_that_cannot_be_imported_shows_where(make_sweep: MakeSweep) -> None:
    file = make_sweep("import nowhere_at_all\ndef train(trial):\n    return 1.0\n")
    done = failing(file)
    assert done.stderr.count("  File") == 1
    assert done.stderr.endswith("demo_objective.py:train cannot be imported\n")


def test_repeats_have_their_labels_and_seeds(make_sweep: MakeSweep) -> None:
    file = make_sweep(
        "def train(trial):\n    print('dir', trial.directory.name)\n    return trial.seed + trial.repeat\n",
        repeats={"seeds": [11, 12]},
        stop={"trials": 1},
    )
    sweep.run(file, inline=True)
    assert "loss = 11 after" in call("debug", file, "--trial", "0").stdout
    for repeat in ("1", "seed-12"):
        said = call("debug", file, "--trial", "0", "--repeat", repeat).stdout
        assert "demo, trial 0/seed-12 again" in said
        assert "dir seed-12" in said
        assert re.search(r"loss = 13 after .* s; in the sweep it was 13", said)
    assert "write 0 to 1, or seed-11, seed-12" in call("debug", file, "--repeat", "2", status=2).stderr
    more = ("--set", "repeats={seeds: [11, 12, 13]}", "--repeat", "2")
    assert re.search(r"loss = 15 after .* s\n", call("debug", file, "--trial", "0", *more).stdout)


def test_a_seed_that_was_drawn_for_the_sweep_is_read_from_its_study(make_sweep: MakeSweep) -> None:
    file = make_sweep(CODE, parameters=PARAMETERS, stop={"trials": 1}, sampler={"type": "random"})
    result = sweep.run(file, inline=True)
    value = f"{result.best_value:.6g}"
    assert f"loss = {value} after" in call("debug", file, "--trial", "0").stdout


# At a terminal.


@pytest.fixture
def stopping(make_sweep: MakeSweep) -> Path:
    return make_sweep(
        """
        def train(trial):
            secret = 41
            breakpoint()
            print("went on with", secret)
            return trial.params.x
        """,
        stop={"trials": 3},
    )


def test_breakpoint_prompts_and_answers(stopping: Path) -> None:
    with Terminal(sweep_command("debug", stopping, "--params", "x=0.25")) as terminal:
        terminal.wait_for(r"\(Pdb\) ")
        terminal.type("p trial.params")
        terminal.wait_for(r"\{'x': 0\.25\}\n\(Pdb\) ")
        terminal.type("secret = 42")
        terminal.wait_for(r"\(Pdb\) ")
        terminal.type("c")
        terminal.wait_for("went on with 42")
        assert terminal.wait() == 0
    assert "loss = 0.25 after" in terminal.text


def test_quitting_the_debugger_prints_no_traceback(stopping: Path) -> None:
    with Terminal(sweep_command("debug", stopping)) as terminal:
        terminal.wait_for(r"\(Pdb\) ")
        terminal.type("q")
        assert terminal.wait() == 1
    assert "quit in the debugger" in terminal.text
    assert "Traceback" not in terminal.text


def test_breakpoint_prompts_in_an_inline_sweep_and_quitting_it_stops_the_sweep(stopping: Path) -> None:
    with Terminal(sweep_command("run", stopping, "--inline")) as terminal:
        terminal.wait_for(r"\(Pdb\) ")
        terminal.type("p trial.number + 100")
        terminal.wait_for(r"100\n\(Pdb\) ")
        terminal.type("c")
        terminal.wait_for("went on with 41")
        terminal.wait_for(r"trial 0 COMPLETE")
        terminal.wait_for(r"\(Pdb\) ")
        terminal.type("q")
        assert terminal.wait() == 130
    assert "1 complete, 1 waiting.\nResume with: sweep run " in terminal.text
    assert "Traceback" not in terminal.text


def test_post_mortem_is_where_the_exception_was_raised(finished: Path) -> None:
    with Terminal(sweep_command("debug", finished, "--params", "fails=true", "--pdb")) as terminal:
        terminal.wait_for(r"ValueError: bad luck\n[\s\S]*\(Pdb\) ")
        terminal.type("p secret + 1")
        terminal.wait_for(r"42\n\(Pdb\) ")
        terminal.type("u")
        terminal.wait_for(r"inner\(trial\)\n\(Pdb\) ")
        terminal.type("u")
        terminal.wait_for(r"Oldest frame\n\(Pdb\) ")  # no frames of the orchestrator above
        terminal.type("import os; os.path.exists(trial.directory)")
        terminal.wait_for(r"True\n\(Pdb\) ")
        terminal.type("q")
        assert terminal.wait() == 1
    assert "failed after" in terminal.text


def test_ctrl_c_prints_where_the_trial_was_interrupted(make_sweep: MakeSweep) -> None:
    file = make_sweep(
        """
        import time

        def train(trial):
            print("now", flush=True)  # the signal can arrive before this line is finished
            while True:  # Python handles a signal only after a long sleep
                time.sleep(0.05)
        """
    )
    with Terminal(sweep_command("debug", file)) as terminal:
        terminal.wait_for(r"now\n")
        terminal.press_ctrl_c()
        assert terminal.wait() == 130
    assert re.search(r'demo_objective\.py", line [567], in train\n', terminal.text)
    assert terminal.text.rstrip().endswith("interrupted")
    assert "sweep/" not in terminal.text


SCRIPT = """
    import json, sys
    x = float(sys.argv[1].partition("=")[2])
    if x < 0.5:
        breakpoint()
    if x > 0.9:
        print("on stderr", file=sys.stderr)
        sys.exit("too large")
    for step in range(2):
        print(json.dumps({"step": step, "loss": x}))
"""


@pytest.fixture
def script(make_sweep: MakeSweep, project: Path) -> Path:
    (project / "my train.py").write_text(textwrap.dedent(SCRIPT))
    return make_sweep("", objective=None, program="my train.py")


def test_the_command_line_of_a_script_and_its_metric_are_shown(script: Path) -> None:
    lines = call("debug", script, "--params", "x=0.75").stdout.splitlines()
    assert f"$ /usr/bin/env {sys.executable} 'my train.py' --x=0.75" in lines
    assert lines[-1].startswith("loss = 0.75 after")
    assert "step 1: loss = 0.75" in lines


def test_a_script_that_fails_prints_its_own_errors(script: Path) -> None:
    done = failing(script, "--params", "x=0.95")
    assert "on stderr\ntoo large\nfailed after" in done.stderr
    assert "exit status 1: too large" in done.stderr.splitlines()[-1]
    refused = call("debug", script, "--pdb", status=2)
    assert "--pdb: is for functions; write breakpoint() in the script" in refused.stderr


def test_breakpoint_prompts_in_a_script_too(script: Path) -> None:
    with Terminal(sweep_command("debug", script, "--params", "x=0.25")) as terminal:
        terminal.wait_for(r"\(Pdb\) ")
        terminal.type("p x * 2")
        terminal.wait_for(r"0\.5\n\(Pdb\) ")
        terminal.type("c")
        assert terminal.wait() == 0
    assert "loss = 0.25 after" in terminal.text


def test_ctrl_c_terminates_a_script_and_its_child_processes(make_sweep: MakeSweep, project: Path) -> None:
    (project / "slow.py").write_text(
        "import subprocess, sys, time\n"
        "child = subprocess.Popen(['sleep', '600'])\nprint('child', child.pid, flush=True)\ntime.sleep(600)\n"
    )
    file = make_sweep("", objective=None, program="slow.py")
    with Terminal(sweep_command("debug", file)) as terminal:
        line = terminal.wait_for(r"child \d+\n")
        terminal.press_ctrl_c()
        assert terminal.wait() == 130
    assert "sweep/" not in terminal.text
    with suppress(psutil.NoSuchProcess):
        assert not processes.is_alive(psutil.Process(int(line.split()[-1])))


ASKING = """
    def train(trial):
        x = trial.suggest_float("x", 0, 1)
        kind = trial.suggest_categorical("kind", ["a", "b"])
        deep = trial.suggest_categorical("deep", [True, False])
        layers = trial.suggest_int("layers", 1, 8)
        print(f"{deep=} {layers=}")
        trial.set_user_attr("note", "seen")
        return x
"""


def test_a_define_by_run_objective_gets_the_given_parameters(make_sweep: MakeSweep) -> None:
    file = make_sweep(ASKING, parameters="define-by-run", stop={"trials": 2})
    sweep.run(file, inline=True)
    row = json.loads(call("trials", "demo", "--format", "json").stdout)[1]
    again = call("debug", file, "--trial", "1").stdout
    assert again.splitlines()[-1].endswith(f"in the sweep it was {row['value']:.6g}")
    assert f"asks for kind: {row['params']['kind']}\n" in again
    given = call("debug", file, "--params", "x=3,nn=1,deep=1,layers=4.0").stdout
    assert re.search(r"asks for x: 3\nasks for kind: [ab] \(drawn at random\)\n", given)
    assert "deep=True layers=4\nnote = seen\n" in given
    assert "it never asked for nn" in given
    assert "loss = 3 after" in given
    wrong = failing(file, "--params", "kind=c")
    assert "ValueError: kind: 'c' not in ('a', 'b')" in wrong.stderr
    text = failing(file, "--params", "layers=many")
    assert "ValueError: layers: 'many' is not a valid type" in text.stderr
