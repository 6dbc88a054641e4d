"""An objective sees the process of `python train.py`, whichever way it is run."""

from __future__ import annotations

import json
import os
import string
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sweep
from sweep.debug import DebugTrial
from sweep.engine.ray import private
from sweep.sweepfile import read_sweep_file
from tests.commands import PATIENCE, call

LOOK = """
import argparse, json, os, sys

def look():
    argparse.ArgumentParser().parse_args()
    return {
        "arguments": [os.path.basename(sys.argv[0]), *sys.argv[1:]],
        "cwd": os.getcwd(),
        "env": {name: value for name, value in os.environ.items() if name.startswith("MY_")},
        "path": os.path.realpath(sys.path[0]),
    }

assert __name__ != "__main__"

AT_IMPORT = look()

def train(trial):
    (trial.directory / "seen.json").write_text(json.dumps([AT_IMPORT, look()]))
    sys.argv.append("--left=over")
    os.environ["MY_LEFT"] = "over"
    os.chdir("/")
    return 1.0
"""


def _run_on_ray(file: Path) -> Path:
    return sweep.run(file, fresh=True).directory


def _run_inline(file: Path) -> Path:
    return sweep.run(file, fresh=True, inline=True).directory


def _debug(file: Path) -> Path:
    root = Path("kept").resolve()
    assert DebugTrial(read_sweep_file(file, []), {}, None, None, "").run(root, True, False) == 0
    return root


Way = Callable[[Path], Path]


@contextmanager
def _project() -> Iterator[Path]:
    before = os.getcwd()
    with TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield Path(folder).resolve()
        finally:
            os.chdir(before)


def _write(code: str, target: str, **keys: Any) -> Path:
    path = Path(target.partition(":")[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(code)
    spec = {
        "name": "demo",
        "objective": target,
        "metric": {"name": "loss", "goal": "minimize"},
        "parameters": {"x": {"min": 0.0, "max": 1.0}},
        "max_parallel": 1,
        "stop": {"trials": 2},
        **keys,
    }
    file = Path("space.yaml").resolve()
    file.write_text(yaml.safe_dump(spec))
    return file


STEMS = st.sampled_from(
    ["train", "__main__", "code", "random", "01-train.v2", "my train", "sweep", "optuna", "a.b"]
)
FOLDERS = st.sampled_from(["", "lib/", "lib.v1/deep/"])
NAMES = st.text(string.ascii_uppercase, min_size=1, max_size=5).map("MY_{}".format)
VALUES = st.text(string.ascii_letters + string.digits + " =:,#'\"{}[]é\t", max_size=12)


def _check(way: Way, stem: str, folder: str, env: dict[str, str], cwd: str | None) -> None:
    outer = sys.argv, list(sys.argv), os.getcwd(), dict(os.environ), list(sys.path)
    with _project() as project:
        (project / "work").mkdir()
        keys = {"env": env} if cwd is None else {"env": env, "cwd": cwd}
        directory = way(_write(LOOK, f"{folder}{stem}.py:train", **keys))
        expected = {
            "arguments": [f"{stem}.py"],
            "cwd": str(project / (cwd or "")),
            "env": env,
            "path": str(project / folder),
        }
        for seen in directory.glob("trial-*/seen.json"):
            assert json.loads(seen.read_text()) == [expected, expected]
        assert len(list(directory.glob("trial-*/seen.json"))) == (1 if way is _debug else 2)
    assert (sys.argv, list(sys.argv), os.getcwd()) == outer[:3]
    # Libraries that are imported meanwhile set variables of their own.
    assert {name: os.environ.get(name) for name in {*outer[3], *env}} == {**dict.fromkeys(env), **outer[3]}
    assert sys.path[: len(outer[4])] == outer[4]


@pytest.mark.parametrize("way", [_run_inline, _debug])
@settings(max_examples=20)
@given(
    stem=STEMS,
    folder=FOLDERS,
    env=st.dictionaries(NAMES, VALUES, max_size=3),
    cwd=st.sampled_from([None, "work"]),
)
def test_arguments_environment_working_directory_and_path_are_those_of_python_train_py(
    way: Way, stem: str, folder: str, env: dict[str, str], cwd: str | None
) -> None:
    """At the import of the objective and when it is called; the caller's are restored."""
    _check(way, stem, folder, env, cwd)


@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stem=STEMS, folder=FOLDERS, env=st.dictionaries(NAMES, VALUES, max_size=3), cwd=st.just("work"))
def test_they_are_the_same_on_ray(
    ray_cluster: None, stem: str, folder: str, env: dict[str, str], cwd: str
) -> None:
    _check(_run_on_ray, stem, folder, env, cwd)


@pytest.mark.process
@pytest.mark.parametrize("command", [["run", "--inline"], ["debug"]], ids=["inline", "debug"])
def test_the_command_lines_own_arguments_are_hidden(project: Path, command: list[str]) -> None:
    file = _write(LOOK, "train.py:train", cwd="work", env={"MY_MARK": True, "OUT": "x"})
    (project / "work").mkdir()
    (project / "train.py").write_text(LOOK.replace("trial.directory", "__import__('pathlib').Path('..')"))
    call(command[0], file, "--set", "sampler.seed=3", *command[1:])
    seen = json.loads((project / "seen.json").read_text())
    assert seen[0] == seen[1]
    assert seen[0]["arguments"] == ["train.py"]
    assert seen[0]["env"] == {"MY_MARK": "true"}
    assert seen[0]["cwd"] == str(project / "work")


SCRIPT = """
import sweep
{objective}

if __name__ == "__main__":
    result = sweep.run(
        train, n_trials=1, name="demo", inline={inline}, env={{"MY_MARK": "1"}}, cwd="work",
        resources={{"cpu": 0.5}}, max_parallel=1,
    )
    assert result.trials[0].state == "COMPLETE", result.trials[0].reason
    print(sys.argv, os.getcwd(), os.environ.get("MY_MARK"))
"""


@pytest.mark.process
@pytest.mark.parametrize("inline", [True, False], ids=["inline", "ray"])
def test_a_function_of_a_script_sees_the_script_without_its_arguments(project: Path, inline: bool) -> None:
    """The script itself keeps them."""
    (project / "work").mkdir()
    objective = (
        LOOK.replace("AT_IMPORT = look()", "")
        .replace("assert __name__", "__name__")
        .replace("AT_IMPORT", "look()")
    )
    (project / "tune.py").write_text(SCRIPT.format(objective=objective, inline=inline))
    done = _run_script("tune.py", "--lr", "3")
    assert done.stdout.splitlines()[-1] == f"['tune.py', '--lr', '3'] {project} None"
    seen = json.loads((project / "runs/demo/trial-0000/seen.json").read_text())
    expected = {"arguments": ["tune.py"], "cwd": str(project / "work"), "env": {"MY_MARK": "1"}}
    assert seen == [{**expected, "path": str(project)}] * 2


def _run_script(*arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


EARLY = """
import os, tempfile, time
import from_pythonpath

def train(trial):
    assert time.tzname == ("JST", "JST"), time.tzname
    assert tempfile.gettempdir() == os.environ['TMPDIR']
    return 1.0
"""


def _write_early(project: Path) -> Path:
    (project / "lib").mkdir()
    (project / "lib/from_pythonpath.py").touch()
    env = {"TZ": "Asia/Tokyo", "TMPDIR": str(project), "PYTHONPATH": "lib"}
    return _write(EARLY, "train.py:train", env=env, stop={"trials": 1})


@pytest.mark.parametrize("way", [_run_inline, _debug])
def test_variables_that_python_has_read_before_count_where_that_is_possible(project: Path, way: Way) -> None:
    before = time.tzname, gettempdir(), list(sys.path)
    directory = way(_write_early(project))
    assert not list(directory.glob("*/error.txt"))
    assert (time.tzname, gettempdir(), sys.path[: len(before[2])]) == before


def test_they_count_on_ray(project: Path, ray_cluster: None) -> None:
    assert sweep.run(_write_early(project)).best_value == 1.0


LIBRARIES = ("sweep", "optuna", "ray", "tensorboardX", "yaml", "rich", "typer", "statistics", "code", "queue")


def _hide(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        (folder / f"{name}.py").write_text(f"raise ImportError('this is the {name} of the user')\n")


@pytest.mark.process
@pytest.mark.parametrize("command", [["check"], ["run", "--inline"], ["debug"], ["run"]], ids=" ".join)
def test_files_next_to_the_sweep_file_do_not_replace_libraries(project: Path, command: list[str]) -> None:
    file = _write("def train(trial):\n    trial.report(0.5, 0)\n    return 0.5\n", "train.py:train")
    installed = Path(yaml.__file__).parent.parent.iterdir()
    _hide(project, {*sys.stdlib_module_names, *LIBRARIES, *(path.stem for path in installed)} - {"__main__"})
    sweep_script = Path(sys.executable).with_name("sweep")
    done = subprocess.run(
        [sweep_script, command[0], file, *command[1:]],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "of the user" not in done.stdout + done.stderr


USER_MODULES = """
import json
from statistics import answer  # this process has imported the standard library's
import datasets.part
import sweep

def train(trial):
    import statistics
    trial.suggest_float("x", 0, 1)
    if trial.number == 3:
        raise sweep.TrialPruned
    return statistics.answer + answer + datasets.part.answer
"""


def _write_user_modules(project: Path) -> None:
    _hide(project, LIBRARIES)
    (project / "statistics.py").write_text("answer = 40\n")
    (project / "datasets").mkdir()
    (project / "datasets/__init__.py").touch()
    (project / "datasets/part.py").write_text("answer = 1\n")


@pytest.mark.parametrize("way", [_run_inline, _debug])
def test_the_objective_gets_its_own_files_in_the_place_of_libraries(project: Path, way: Way) -> None:
    import statistics

    _write_user_modules(project)
    way(_write(USER_MODULES, "train.py:train"))
    assert sys.modules["statistics"] is statistics


def test_on_ray_the_objective_gets_its_own_files_in_the_place_of_libraries(
    project: Path, ray_cluster: None
) -> None:
    _write_user_modules(project)
    result = sweep.run(_write(USER_MODULES, "train.py:train", stop={"trials": 4}))
    assert [(trial.state, trial.value) for trial in result.trials] == [("COMPLETE", 81)] * 3 + [
        ("PRUNED", None)
    ]


@pytest.mark.process
def test_a_script_next_to_such_files_can_call_the_api(project: Path) -> None:
    """Except `sweep.py`: the script itself imports that."""
    _hide(project, {*LIBRARIES} - {"sweep"})
    (project / "statistics.py").write_text("answer = 40\n")
    (project / "tune.py").write_text(
        "import statistics, sweep\n"
        "result = sweep.run(lambda trial: trial.suggest_float('x', 0, 1), n_trials=2, inline=True)\n"
        "print(len(result.trials), statistics.answer)"
    )
    assert _run_script("tune.py").stdout.split()[-2:] == ["2", "40"]


def test_a_ray_connection_whose_workers_would_import_another_sweep_is_refused(
    project: Path, ray_cluster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "sweep.py").touch()
    monkeypatch.setattr(private, "_driver_path", lambda: [str(project)])
    with pytest.raises(sweep.InputError, match=r"has another module called sweep, .* do not call ray\.init"):
        sweep.run(_write(LOOK, "train.py:train"))


CHILDREN = """
import multiprocessing, os
{more}

class Item:
    def __init__(self, value):
        self.value = value

def double(item):
    return Item(2 * item.value)

def train(trial):
    values = []
    for method in ("spawn", "forkserver", "fork"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            values += [item.value for item in pool.map(double, [Item(1), Item(2)])]
    assert values == [2, 4] * 3
    return float(sum(values))
"""
RELATIVE = "from .helper import answer\nfrom .. import top\nassert (answer, top.answer) == (1, 2)"
CHILD_CASES = {
    "train.py": "",
    "01-train.v2.py": "",
    "code.py": "",
    "my train.py": "",
    "pkg/sub/train.py": RELATIVE,
    "plain/sub/train.py": RELATIVE,
}


def _write_children(target: str) -> Path:
    file = _write(CHILDREN.format(more=CHILD_CASES[target]), f"{target}:train", stop={"trials": 1})
    folder = Path(target).parent
    if CHILD_CASES[target]:
        (folder / "helper.py").write_text("answer = 1")
        (folder.parent / "top.py").write_text("answer = 2")
    if target.startswith("pkg"):
        (folder / "__init__.py").touch()
        (folder.parent / "__init__.py").touch()
    return file


@pytest.mark.process
@pytest.mark.parametrize("target", CHILD_CASES)
def test_spawned_children_find_the_objects_of_an_objective_whatever_its_file_is_called(
    project: Path, target: str
) -> None:
    call("run", _write_children(target), "--inline")


@pytest.mark.parametrize("target", ["01-train.v2.py", "code.py", "plain/sub/train.py"])
def test_on_ray_spawned_children_find_the_objects_of_an_objective_too(
    project: Path, ray_cluster: None, target: str
) -> None:
    result = sweep.run(_write_children(target))
    assert [(trial.state, trial.reason) for trial in result.trials] == [("COMPLETE", None)]


@pytest.mark.process
@pytest.mark.parametrize("inline", [True, False], ids=["inline", "ray"])
def test_spawned_children_find_the_objects_of_the_script_that_calls_the_api(
    project: Path, inline: bool
) -> None:
    (project / "work").mkdir()
    objective = "import os, sys\n" + CHILDREN.format(more="")
    (project / "tune.v1.py").write_text(SCRIPT.format(objective=objective, inline=inline))
    _run_script("tune.v1.py")


@pytest.mark.process
def test_a_forked_pool_of_an_inline_trial_terminates_without_a_traceback(project: Path) -> None:
    code = "import multiprocessing\ndef train(trial):\n    with multiprocessing.Pool(1) as pool:\n"
    file = _write(f"{code}        return pool.map(float, [1])[0]\n", "train.py:train")
    assert "Traceback" not in call("run", file, "--inline", "--plain").stderr


@pytest.mark.process
def test_a_script_without_a_main_guard_is_not_run_again_by_the_children_of_its_trials(project: Path) -> None:
    (project / "tune.py").write_text(
        "import multiprocessing\nimport sweep\n"
        "def train(trial):\n"
        "    child = multiprocessing.get_context('spawn').Process(target=print)\n"
        "    child.start()\n    child.join()\n    return float(child.exitcode)\n"
        "print(sweep.run(train, n_trials=1, inline=True).best_value)"
    )
    done = _run_script("tune.py")
    assert done.stdout.splitlines()[-1] == "1.0"
    assert done.stderr.splitlines()[-1].startswith(
        "sweep.errors.InputError: sweep.run is called while a child process of a trial imports the script; "
        "call it only under if __name__ == '__main__':"
    )
    assert len(list((project / "runs").iterdir())) == 1


REFUSED = {
    "v1.2/train.py": "from .helper import x\ndef train(trial): ...",
    "code/train.py": "from .helper import x\ndef train(trial): ...",
    "ray/train.py": "from .helper import x\ndef train(trial): ...",
}


@pytest.mark.parametrize("target", REFUSED)
def test_relative_imports_in_a_folder_that_cannot_be_a_package_are_refused(
    project: Path, target: str
) -> None:
    file = _write(REFUSED[target], f"{target}:train")
    with pytest.raises(sweep.InputError, match=r"write the imports in train\.py without dots"):
        sweep.run(file, inline=True)


def test_a_module_below_a_folder_with_the_name_of_a_library_in_use_is_refused(project: Path) -> None:
    file = _write("def train(trial): ...", "optuna/train.py:train", objective="optuna.train:train")
    (project / "optuna/__init__.py").touch()
    with pytest.raises(
        sweep.InputError, match=r"rename your optuna, or write the file: optuna/train\.py:tra"
    ):
        sweep.run(file, inline=True)


@pytest.mark.process
def test_the_module_of_a_custom_sampler_does_not_see_the_command_line_either(project: Path) -> None:
    (project / "samplers.py").write_text(
        "import argparse, optuna\n"
        "argparse.ArgumentParser().parse_args()\nclass Own(optuna.samplers.RandomSampler): ...\n"
    )
    file = _write("def train(trial): return 1.0", "train.py:train", sampler={"type": "samplers:Own"})
    call("run", file, "--inline")
