"""Sweeps that run a script instead of a function: real scripts, real processes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

import sweep
from sweep.script.errors import ScriptCrash, ScriptError
from sweep.script.exit_reason import check_ended_well
from sweep.script.json_lines import read_line
from sweep.script.output import Output
from sweep.script.reference import ScriptReference
from sweep.script.wandb_offline import OfflineRuns
from sweep.sweepfile import load_spec
from sweep.system import processes
from sweep.trial.trial import Trial
from tests.commands import PATIENCE, sweep_command

MakeScript = Callable[..., Path]


@pytest.fixture
def make_script(project: Path) -> MakeScript:
    """Writes a script and its sweep file; returns the sweep file."""

    def make(code: str, at: str = "train.py", **keys: Any) -> Path:
        (project / at).parent.mkdir(exist_ok=True)
        (project / at).write_text(textwrap.dedent(code))
        spec = {
            "program": at,
            "metric": {"name": "val_loss", "goal": "minimize"},
            "sampler": {"type": "random", "seed": 1},
            "parameters": {"lr": {"min": 0.0, "max": 1.0}, "kind": "a b"},
            "stop": {"trials": 1},
            **keys,
        }
        file = project / "demo.yaml"
        file.write_text(
            yaml.safe_dump({key: value for key, value in spec.items() if value is not None}, sort_keys=False)
        )
        return file

    return make


def run(file: Path) -> sweep.SweepResult:
    return sweep.run(file, inline=True)


def is_alive(pid: int) -> bool:
    try:
        return processes.is_alive(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return False


def output(result: sweep.SweepResult, number: int = 0) -> bytes:
    return (result.trials[number].directory / "output.log").read_bytes()


REPORTS = """
    import json, sys
    lr = float(sys.argv[1].removeprefix("--lr="))
    for step in (1, 2, 5):
        print(json.dumps({"step": step, "val_loss": lr / step, "epoch": step, "note": "x"}))
    print("bye", file=sys.stderr)
"""


def test_arguments_arrive_and_json_lines_are_metrics(make_script: MakeScript) -> None:
    file = make_script(REPORTS + "    assert sys.argv[2:] == ['--kind=a b'], sys.argv\n", stop={"trials": 3})
    result = run(file)
    assert [trial.state for trial in result.trials] == ["COMPLETE"] * 3
    for trial, found in zip(result.trials, result.study.trials, strict=True):
        lr = trial.params["lr"]
        assert found.intermediate_values == {1: lr, 2: lr / 2, 5: lr / 5}
        assert trial.value == lr / 5
        assert trial.metrics == pytest.approx({"val_loss": lr / 5, "best/val_loss": lr / 5, "epoch": 5.0})
    assert output(result).endswith(b"bye\n")


def test_without_a_step_lines_are_counted(make_script: MakeScript) -> None:
    file = make_script(
        """
        import sys
        for loss in (3, 2, 1):
            print('{"other": 1}')
            print('{"val_loss": %d}' % loss)
        sys.stdout.write('{"_step": 9, "val_loss": 0.5}')
        """
    )
    assert run(file).study.trials[0].intermediate_values == {1: 3, 3: 2, 5: 1, 9: 0.5}


def test_output_is_kept_byte_for_byte_and_shown(
    make_script: MakeScript, capfd: pytest.CaptureFixture[str]
) -> None:
    noise = bytes(range(256)) * 3000 + b'{"val_loss": 1}' + b"\n{" + b"[" * 100000 + b"}\n\xff\xfe{\n"
    file = make_script(
        f"""
        import sys
        noise = bytes(range(256)) * 3000 + b'{{"val_loss": 1}}' + b"\\n{{" + b"[" * 100000 + b"}}\\n\\xff\\xfe{{\\n"
        sys.stdout.buffer.write(noise)
        print('{{"val_loss": 2, "step": 3}}')
        sys.stdout.buffer.write(b"x" * {3 << 20} + b"\\n")
        print('\\r 10%\\r 20%\\r{{"val_loss": 3, "step": 4}}')
        """  # noqa: E501
    )
    result = run(file)
    assert result.trials[0].state == "COMPLETE", result.trials[0].reason
    log = output(result)
    assert log.startswith(noise + b'{"val_loss": 2, "step": 3}\n' + b"x" * 1000)
    assert len(log) > len(noise) + (3 << 20)
    assert result.study.trials[0].intermediate_values == {3: 2, 4: 3}
    assert '{"val_loss": 2, "step": 3}' in capfd.readouterr().out


def test_lines_of_both_streams_are_written_whole_whatever_comes_between(
    make_script: MakeScript, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sweep.script.output._PATIENCE_FOR_LINES", 600)
    with (tmp_path / "both").open("w") as both:  # as a worker's streams are
        monkeypatch.setattr("sys.stdout", both)
        monkeypatch.setattr("sys.stderr", both)
        run(
            make_script(
                """
                import sys, time
                for step in range(20):
                    print("on stderr", step, end=" ", file=sys.stderr, flush=True)
                    time.sleep(0.01)  # it is read by now, as a rule
                    print('{"step": %d, "val_loss": 1}' % step)
                    print("and", file=sys.stderr)
                """
            )
        )
    lines = (tmp_path / "both").read_text().splitlines()
    assert [line for line in lines if line.startswith("on")] == [f"on stderr {n} and" for n in range(20)]
    assert [line for line in lines if line.startswith("{")] == [
        f'{{"step": {n}, "val_loss": 1}}' for n in range(20)
    ]


def test_a_prompt_is_seen_although_its_line_has_no_end(make_script: MakeScript) -> None:
    file = make_script(
        """
        import os, pathlib, time
        log = pathlib.Path(os.environ["SWEEP_TRIAL_DIR"], "output.log")
        print("tell me:", end=" ", flush=True)
        end = time.monotonic() + 180
        while not log.read_text().endswith("tell me: ") and time.monotonic() < end:
            time.sleep(0.01)
        assert time.monotonic() < end
        print('\\n{"val_loss": 1}')
        """
    )
    assert run(file).trials[0].state == "COMPLETE"


def test_who_prints_on_when_the_script_has_ended_is_not_waited_for(tmp_path: Path) -> None:
    script = subprocess.Popen(
        ["sh", "-c", "yes >&2 & echo $!; echo the last word"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    script.wait()
    output = Output(script, tmp_path / "output.log", wants_all=True)
    begin = time.monotonic()
    output.finish()
    assert output.is_at_end
    assert time.monotonic() - begin < 30
    pid, *words = [line.text for line in output.take(0) if line.is_stdout]
    os.kill(int(pid), signal.SIGKILL)
    assert words == ["the last word"]


def test_output_and_metrics_are_there_while_it_runs(make_script: MakeScript) -> None:
    file = make_script(
        """
        import os, pathlib, time
        log = pathlib.Path(os.environ["SWEEP_TRIAL_DIR"], "output.log")
        print('{"val_loss": 1}')
        end = time.monotonic() + 180
        while "val_loss" not in log.read_text() and time.monotonic() < end:
            time.sleep(0.01)
        assert time.monotonic() < end
        """
    )
    assert run(file).trials[0].state == "COMPLETE"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("print('no such data'); raise SystemExit(3)", "exit status 3: no such data"),
        ("print('step 1'); raise SystemExit('bad lr')", "exit status 1: bad lr"),
        ("print('one'); raise ValueError('broken')", "exit status 1: ValueError: broken"),
        ("raise SystemExit(3)", "exit status 3"),
        (
            'print(\'{"val-loss": 1, "x": 2}\')',
            "the script never reported 'val_loss'; it reported val-loss: did you mean it?",
        ),
        (
            "print('{\"val_loss \": 1}')",
            "the script never reported 'val_loss'; it reported 'val_loss ': did you mean it?",
        ),
        ("print('{\"x\": 2}')", "the script never reported 'val_loss'; it reported x"),
        (
            "pass",
            "the script never reported 'val_loss'; it reported nothing: have it print lines such as "
            '{"step": 1, "val_loss": 0.5}',
        ),
        (
            "print('so far'); print({'val_loss': 1}); print({'val_loss': 2})",
            "the script never reported 'val_loss'; it reported nothing: {'val_loss': 1} is not JSON in one "
            'line, which json.dumps would write; have it print lines such as {"step": 1, "val_loss": 0.5}',
        ),
        (
            'print(\'{"val_loss": "1"}\')',
            'the script never reported \'val_loss\'; it reported nothing: {"val_loss": "1"} has no metric '
            'that is a number; have it print lines such as {"step": 1, "val_loss": 0.5}',
        ),
    ],
)
def test_why_a_script_failed_is_said_in_one_line(make_script: MakeScript, code: str, reason: str) -> None:
    result = run(make_script(code))
    trial = result.trials[0]
    assert (trial.state, trial.reason, trial.attempts) == ("FAIL", reason, 1)
    assert reason in (trial.directory / "error.txt").read_text()


def test_a_script_that_a_signal_ends_has_crashed_and_runs_again(make_script: MakeScript) -> None:
    file = make_script(
        "import os, signal; print('so far'); os.kill(os.getpid(), signal.SIGSEGV)", trial={"retries": 1}
    )
    trial = run(file).trials[0]
    assert (trial.reason, trial.attempts) == ("killed by SIGSEGV: so far", 2)


def test_memory_that_ran_out_is_seen_in_the_last_line(make_script: MakeScript) -> None:
    file = make_script("raise MemoryError", trial={"retries": 1, "retry_on": ["oom"]})
    assert run(file).trials[0].attempts == 2


def test_pruning_ends_a_script_that_ignores_sigterm_and_its_children(
    make_script: MakeScript, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweep.script.process._GRACE", 0.5)
    file = make_script(
        """
        import os, signal, subprocess, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        number = int(os.environ["SWEEP_TRIAL_DIR"][-1])
        if number == 2:
            child = subprocess.Popen(["sleep", "600"], start_new_session=True)
            open("pids", "w").write(f"{os.getpid()} {child.pid}")
        for step in range(6000 if number == 2 else 300):
            print('{"step": %d, "val_loss": %d}' % (step, number))
            time.sleep(0.1 if number == 2 else 0)
        """,
        stop={"trials": 3},
        pruner={"type": "median", "startup_trials": 2},
    )
    begin = time.monotonic()
    result = run(file)
    assert [trial.state for trial in result.trials] == ["COMPLETE", "COMPLETE", "PRUNED"]
    assert time.monotonic() - begin < 500
    assert not any(is_alive(int(pid)) for pid in (project / "pids").read_text().split())


def test_what_a_script_leaves_behind_ends_with_it(make_script: MakeScript, project: Path) -> None:
    file = make_script(
        """
        import subprocess
        child = subprocess.Popen(["sleep", "600"])
        open("pid", "w").write(str(child.pid))
        print('{"val_loss": 1}')
        """
    )
    begin = time.monotonic()
    assert run(file).trials[0].state == "COMPLETE"
    assert time.monotonic() - begin < 500, "the child keeps the pipe open"
    assert not is_alive(int((project / "pid").read_text()))


def test_a_script_that_ends_just_before_it_would_have_been_asked_to_is_complete(
    make_script: MakeScript, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def must_end(trial: Trial) -> bool:
        while not (project / "pid").exists() or is_alive(int((project / "pid").read_text())):
            time.sleep(0.05)
        return True

    monkeypatch.setattr(Trial, "must_end", must_end)
    file = make_script(
        """
        import os, time
        print('{"val_loss": 1}', flush=True)
        time.sleep(2)  # until it is asked for the first time
        open("pid.tmp", "w").write(str(os.getpid()))
        os.rename("pid.tmp", "pid")
        """
    )
    (trial,) = run(file).trials
    assert (trial.state, trial.value) == ("COMPLETE", 1.0)


SLEEPS = """
    import os, time
    print('{"val_loss": 1}')
    open("pid.tmp", "w").write(str(os.getpid()))
    os.rename("pid.tmp", "pid")
    time.sleep(600)
"""


def wait_for_pid(project: Path) -> int:
    """That of the script SLEEPS, once it sleeps."""
    end = time.monotonic() + PATIENCE
    while not (project / "pid").exists() and time.monotonic() < end:
        time.sleep(0.02)
    return int((project / "pid").read_text())


def test_ctrl_c_ends_the_script_too(make_script: MakeScript, project: Path) -> None:
    command = sweep_command("run", make_script(SLEEPS), "--inline")
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    script = psutil.Process(wait_for_pid(project))
    running.send_signal(signal.SIGINT)
    assert running.wait(PATIENCE) == 130
    assert not script.is_running()


def test_ctrl_c_ends_a_script_that_is_just_being_started(
    make_script: MakeScript, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **keys: Any) -> None:
            super().__init__(*args, **keys)
            wait_for_pid(project)
            signal.raise_signal(signal.SIGINT)

    file = make_script(SLEEPS)
    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(file)
    assert not is_alive(wait_for_pid(project))


def test_a_variable_of_the_command_is_known_where_the_machine_of_the_trial_lacks_it(
    make_script: MakeScript, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA", "/here")
    monkeypatch.setenv("ELSEWHERE", "/e")
    command = ["${interpreter}", "${program}", "${envvar:DATA}", "${envvar:GONE}"]
    spec = load_spec(make_script("", command=command, env={"E": "${envvar:ELSEWHERE}"}))
    found = ScriptReference.find(spec, project, project)
    for name in ("DATA", "ELSEWHERE"):
        monkeypatch.delenv(name)
    assert found.arguments({}, project, 0, 0)[-2:] == ["/here", "GONE"]
    monkeypatch.setenv("DATA", "/there")
    assert found.arguments({}, project, 0, 0)[-2:] == ["/there", "GONE"]


def test_environment_and_directory_are_those_of_the_file(make_script: MakeScript, project: Path) -> None:
    (project / "data").mkdir()
    file = make_script(
        """
        import os
        assert os.path.basename(os.getcwd()) == "data", os.getcwd()
        assert [os.environ[name] for name in ("A", "B", "C")] == ["x y", "1", "true"]
        assert os.environ["WANDB_MODE"] == "disabled"
        print('{"val_loss": 1}')
        """,
        cwd="data",
        env={"A": "x y", "B": 1, "C": True, "WANDB_MODE": "disabled"},
    )
    here = os.getcwd()
    result = run(file)
    assert result.trials[0].state == "COMPLETE", result.trials[0].reason
    assert "A" not in os.environ
    assert os.getcwd() == here


def test_they_are_for_functions_too(make_script: MakeScript, project: Path) -> None:
    (project / "data").mkdir()
    (project / "work.py").write_text(
        "import os\n"
        "def train(trial):\n    assert os.getcwd().endswith('data')\n    return float(os.environ['A'])\n"
    )
    file = make_script("", program=None, objective="work.py:train", cwd="data", env={"A": 4})
    assert run(file).trials[0].value == 4
    assert "A" not in os.environ


def test_a_program_that_is_executable_runs_as_it_is(make_script: MakeScript, project: Path) -> None:
    file = make_script("", at="train.sh")
    (project / "train.sh").write_text('#!/bin/sh\necho "{\\"val_loss\\": ${1#--lr=}}"\n')
    with pytest.raises(sweep.InputError, match=r"demo.yaml:\d+: program: train.sh is neither a .py file nor"):
        run(file)
    (project / "train.sh").chmod(0o755)
    trial = run(file).trials[0]
    assert trial.value == trial.params["lr"]


def test_a_command_says_how_to_run_it(make_script: MakeScript, project: Path) -> None:
    code = """
        import json, sys
        name, place, file = sys.argv[1:]
        params = json.load(open(file))
        assert params["kind"] == name == "a b"
        assert place.endswith("/runs/demo/trial-0000/out")
        print(json.dumps({"val_loss": params["lr"]}))
    """
    items = ["${interpreter}", "${program}", "${kind}", "${trial_dir}/out", "${args_json_file}"]
    trial = run(make_script(code, command=items)).trials[0]
    assert trial.value == trial.params["lr"], trial.reason
    seen = subprocess.run(
        [sys.executable, "-c", "from sweep.cli import main; main()", "check", "demo.yaml", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    directory = str(project.resolve() / "runs" / "demo" / "trial-0000")
    assert json.loads(seen.stdout)["command"] == [
        *(sys.executable, "train.py", "a b", f"{directory}/out", f"{directory}/args.json"),
    ]


def test_a_program_beside_the_sweep_file_is_found(make_script: MakeScript, project: Path) -> None:
    file = make_script(REPORTS, at="spaces/train.py")
    file = file.rename(project / "spaces" / "demo.yaml")
    file.write_text(file.read_text().replace("program: spaces/train.py", "program: train.py"))
    assert run(file).trials[0].state == "COMPLETE"


def test_wandb_semantics_pass_groups_as_mappings_and_run_this_python(
    make_script: MakeScript, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # nobody has activated the environment
    file = make_script(
        f"""
        import sys
        assert sys.argv[1:] == ["--sgd={{'momentum': 2}}", "--x=1"], sys.argv
        assert sys.prefix == {sys.prefix!r}
        print('{{"val_loss": 1}}')
        """,
        arguments="nested",
        parameters={"sgd": {"parameters": {"momentum": 2.0}}, "x": 1},
    )
    result = run(file)
    assert result.trials[0].state == "COMPLETE", result.trials[0].reason


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"program": "trian.py"}, "program: there is no file trian.py; did you mean train.py?"),
        ({"program": None}, "objective: is missing; write for example objective: train.py:train"),
        ({"objective": "a.py:f"}, "objective: excludes 'program': a sweep runs a function or a script"),
        ({"command": "python train.py"}, 'write ["python", "train.py"]'),
        ({"command": []}, "command: is empty"),
        ({"command": ["python", "${progam}"]}, "there is no ${progam}; did you mean ${program}?"),
        ({"command": ["pyhton3"]}, "command: there is no program 'pyhton3' on PATH; did you mean python3"),
        (
            {"command": ["train.py"]},
            "command: there is no program 'train.py' on PATH; did you mean ./train.py?",
        ),
        ({"command": ["./train.py"]}, "command: ./train.py is not executable"),
        ({"command": ["python", "${program}"], "program": None}, "program: is missing, but the command uses"),
        ({"cwd": "dta"}, "cwd: there is no directory dta; did you mean data?"),
        ({"env": {"A": [1]}}, "env.A: expected a string, a number, true or false, got [1]"),
        ({"env": {"A B": 1}}, "'A B' cannot name a variable"),
        ({"arguments": "nestd"}, "arguments: 'nestd' is not valid; did you mean 'nested'?"),
    ],
)
def test_a_mistake_is_one_located_line(
    make_script: MakeScript, project: Path, keys: dict[str, Any], message: str
) -> None:
    (project / "data").mkdir()
    file = make_script("", **keys)
    with pytest.raises(sweep.InputError, match=re.escape(message)) as error:
        run(file)
    assert "\n" not in str(error.value)
    assert re.match(r".*demo.yaml:\d+: ", str(error.value))
    assert not (project / "runs").exists()


def test_the_written_sweep_file_says_the_same(make_script: MakeScript, project: Path) -> None:
    file = make_script(
        "",
        command=["${interpreter}", "${program}", "-O", 1, "${args}"],
        env={"A": "1e-4", "B": "true"},
        cwd="data",
        arguments="nested",
    )
    spec = sweep.SweepSpec.model_validate(yaml.safe_load(file.read_text()) | {"name": "demo"})
    (project / "again.yaml").write_text(spec.to_yaml())
    from sweep.sweepfile import load_spec

    assert load_spec(project / "again.yaml") == spec


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"a": 1}', (None, {"a": 1.0})),
        ('{"a": 1, "step": 3, "_step": 9}', (3, {"a": 1.0})),
        ('{"a": 1, "step": -1}', (None, {"a": 1.0})),
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
def test_what_counts_as_a_line_of_metrics(line: str, expected: Any) -> None:
    assert read_line(line) == (expected if isinstance(expected, list) else [expected] if expected else [])


def test_lines_that_several_processes_print_at_once_are_all_read(make_script: MakeScript) -> None:
    file = make_script(
        """
        import json, os
        first = os.fork()
        for step in range(0 if first else 1, 1000, 2):
            print(json.dumps({"step": step, "val_loss": 1.0}))
        if first:
            os.waitpid(first, 0)
            print("the last line has no end", end="")
        """
    )
    result = run(file)
    assert sorted(result.study.trials[0].intermediate_values) == list(range(1000))
    assert output(result).endswith(b"}\nthe last line has no end")


def test_what_sweep_report_says_counts_although_a_line_with_it_came_first(
    make_script: MakeScript, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweep.script.run._LOOK_EVERY", 60)  # or when there is another line
    file = make_script(
        """
        import sweep
        for epoch in range(3):
            print('{"step": %d, "val_loss": 1.0}' % (1000 * epoch + 500))
            sweep.report({"val_loss": 1.0}, step=epoch)
        """
    )
    assert list(run(file).study.trials[0].intermediate_values) == [0, 1, 2]


def test_of_what_torchrun_starts_the_own_exception_is_the_reason(make_script: MakeScript) -> None:
    file = make_script(
        """
        import os, signal, sys, torch
        if os.environ["RANK"] == "1":
            signal.pause()
        store = torch.distributed.HashStore()
        torch.distributed.init_process_group("gloo", rank=0, world_size=1, store=store)
        if os.environ["SWEEP_TRIAL_DIR"][-1] == "1":
            os.kill(os.getpid(), signal.SIGSEGV)
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB")
        """,
        program=None,
        command=[
            *("${interpreter}", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"),
            "train.py",
        ],
        stop={"trials": 2},
        trial={"retries": 1, "retry_on": ["oom"]},
    )
    oom, crash = run(file).trials
    assert (
        oom.reason
        == "oom: exit status 1: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20 MiB"
    )
    assert oom.attempts == 2
    assert crash.reason == "exit status 1 (a process of it was killed by SIGSEGV)"
    assert crash.attempts == 1


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


def test_what_is_logged_by_means_of_wandb_is_read_while_the_file_grows(tmp_path: Path) -> None:
    runs = OfflineRuns(tmp_path)
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
    assert runs.summary() == [(None, {"test_acc": 9.0, "val_loss": 1.0})], "set by hand since"
    assert OfflineRuns(tmp_path).read() == [], "an earlier attempt's"


@pytest.mark.usefixtures("ray_cluster")
def test_on_ray_a_script_that_overruns_its_limit_is_ended_whatever_it_has_become(
    make_script: MakeScript, project: Path
) -> None:
    file = make_script(
        "",
        program=None,
        command=["sh", "-c", "echo $$ > pid; exec env -i sleep 600"],
        trial={"timeout": 10},
    )
    (trial,) = sweep.run(file).trials
    assert (trial.state, trial.reason) == ("FAIL", "ran longer than 10 s")
    assert not is_alive(int((project / "pid").read_text()))


@pytest.mark.usefixtures("ray_cluster")
def test_on_ray_scripts_run_and_are_pruned(make_script: MakeScript) -> None:
    file = make_script(
        """
        import os, time
        number = int(os.environ["SWEEP_TRIAL_DIR"][-1])
        os.write(2, b"on stderr %d\\n" % number)  # at once: another stream may come between parts of a line
        if number == 3:
            raise SystemExit(5)
        for step in range(6000 if number == 2 else 300):
            print('{"step": %d, "val_loss": %d}' % (step, number))
            time.sleep(0.1 if number == 2 else 0)
        """,
        stop={"trials": 4},
        max_parallel=1,
        pruner={"type": "median", "startup_trials": 2},
    )
    result = sweep.run(file)
    assert [trial.state for trial in result.trials] == ["COMPLETE", "COMPLETE", "PRUNED", "FAIL"]
    assert result.trials[3].reason == "exit status 5: on stderr 3"
    assert sorted(output(result).splitlines()) == sorted(
        [b"on stderr 0", *(b'{"step": %d, "val_loss": 0}' % step for step in range(300))]
    )


def test_a_regular_expression_finds_metrics_in_lines_and_progress_bars(make_script: MakeScript) -> None:
    file = make_script(
        r"""
        import sys
        print("epoch 1: loss=9, val_loss=0.50, took 3 s")
        sys.stderr.write("\repoch 2: 10%\repoch 2: val_loss=0.4,\repoch 3: val_loss: 1e-1]")
        sys.stderr.flush()
        print("epoch x: val_loss=none")
        """,
        metrics_from={"regex": r"epoch (?P<step>\d+):.*val_loss[=:] ?(?P<val_loss>\S+)"},
    )
    assert run(file).study.trials[0].intermediate_values == {1: 0.5, 2: 0.4, 3: 0.1}


def test_a_mapping_names_metrics_that_no_group_can_and_steps_may_have_their_own_lines(
    make_script: MakeScript,
) -> None:
    file = make_script(
        """
        for epoch in range(2):
            print("Epoch", epoch)
            print("  loss:", epoch + 0.5, " acc 90%")
        """,
        metric={"name": "val/loss", "goal": "minimize"},
        metrics_from={"regex": {"val/loss": r"loss: (\S+)", "acc": r"acc (?P<value>\S+)"}},
    )
    trial = run(file).trials[0]
    assert trial.metrics["acc"] == 90
    assert trial.value == 1.5


def test_an_expression_that_takes_for_ever_fails_the_trial_and_says_so(
    make_script: MakeScript, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweep.script.patterns._PATIENCE", 0.3)
    file = make_script(
        "print('a' * 60); import time; time.sleep(600)", metrics_from={"regex": "(?P<val_loss>(a+)+)$b"}
    )
    begin = time.monotonic()
    trial = run(file).trials[0]
    assert "takes more than 0.3 s for the line 'aaa" in str(trial.reason)
    assert time.monotonic() - begin < 120


@pytest.mark.parametrize(
    ("regex", "message"),
    [
        (
            "loss=(",
            "metrics_from.regex: 'loss=(' is not a regular expression: missing ), unterminated subpattern",
        ),
        ("loss=(.*)", "'loss=(.*)' has no named group; name groups after metrics"),
        ("(?P<val_los>.*)", "metrics_from.regex: finds no 'val_loss'; did you mean 'val_los'?"),
        ({"val_loss": "loss="}, "metrics_from.regex.val_loss: 'loss=' has no group for the value"),
        ({}, "metrics_from.regex: is empty"),
        ([1], "metrics_from.regex.0: expected a string, got 1"),
        (3, "metrics_from.regex: expected a list"),
        ({"val_loss": 3}, "metrics_from.regex.val_loss: expected a string, got 3"),
    ],
)
def test_a_wrong_expression_is_one_located_line(make_script: MakeScript, regex: Any, message: str) -> None:
    with pytest.raises(sweep.InputError, match=re.escape(message)) as error:
        run(make_script("", metrics_from={"regex": regex}))
    assert re.match(r".*demo.yaml:\d+: ", str(error.value))
    assert "\n" not in str(error.value)


def test_sweep_report_works_in_children_and_without_any_output(make_script: MakeScript) -> None:
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


def test_sweep_report_does_nothing_elsewhere_but_sees_mistakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SWEEP_TRIAL_DIR", raising=False)
    sweep.report(1.0, 3)
    with pytest.raises(ValueError, match="step is -1"):
        sweep.report(1.0, -1)
    with pytest.raises(ValueError, match=r"value is 10+\.\.\.; it has to be a number"):
        sweep.report(10**400)
    with pytest.raises(ValueError, match="'a' is 'x'; it has to be a number"):
        sweep.report({"a": "x"})  # type: ignore[dict-item]
    monkeypatch.setenv("SWEEP_TRIAL_DIR", "x")
    with pytest.raises(RuntimeError, match=r"an objective has trial\.report"):
        sweep.report(1.0)


def test_of_several_sources_the_strongest_one_counts(make_script: MakeScript) -> None:
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


def test_a_metric_that_never_comes_ends_the_sweep_with_its_first_trial(
    make_script: MakeScript, project: Path
) -> None:
    file = make_script("print('{\"val-loss\": 1}')", stop={"trials": 50})
    ended = subprocess.run(
        sweep_command("run", file, "--inline"), capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert ended.returncode == 1
    message = "the script never reported 'val_loss'; it reported val-loss: did you mean it?"
    assert message in ended.stdout, ended
    (project / "train.py").write_text("print('{\"val_loss\": 1}')")
    result = sweep.run(file, inline=True, overrides={"stop.trials": 3})
    assert [trial.state for trial in result.trials] == ["FAIL", "COMPLETE", "COMPLETE"]


def test_a_sweep_in_which_trials_report_goes_on_when_one_does_not(make_script: MakeScript) -> None:
    file = make_script(
        """
        import os
        if os.environ["SWEEP_TRIAL_DIR"][-1] != "1":
            print('{"val_loss": 1}')
        """,
        stop={"trials": 3},
    )
    assert [trial.state for trial in run(file).trials] == ["COMPLETE", "FAIL", "COMPLETE"]


def test_it_runs_in_its_trials_directory_with_what_env_says_of_it(make_script: MakeScript) -> None:
    file = make_script(
        """
        import os, sys
        trial = os.environ["SWEEP_TRIAL_DIR"]
        assert os.getcwd() == os.path.join(trial, "work")
        assert os.environ["OUT"] == trial + "/out", os.environ["OUT"]
        assert os.environ["KIND"] == "a b-0" and os.environ["RAW"] == "${kind}"
        print('{"val_loss": 1}')
        """,
        cwd="${trial_dir}/work",
        env={"OUT": "${trial_dir}/out", "KIND": "${kind}-${number}", "RAW": "$${kind}"},
    )
    result = run(file)
    assert result.trials[0].state == "COMPLETE", result.trials[0].reason


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"cwd": "${trial_di}"}, "cwd: '${trial_di}' is not possible; write a directory, or begin with"),
        ({"env": {"A": "${knid}"}}, "env.A: '${knid}': there is no ${knid}; did you mean ${kind}?"),
        ({"env": {"A": "${args}"}}, "env.A: '${args}': ${args} is several arguments"),
        (
            {"program": None, "objective": "train.py:f", "cwd": "${trial_dir}"},
            "cwd: is the same for all trials; an objective has trial.directory",
        ),
    ],
)
def test_what_cannot_be_said_of_a_trial_is_one_located_line(
    make_script: MakeScript, keys: dict[str, Any], message: str
) -> None:
    with pytest.raises(sweep.InputError, match=re.escape(message)):
        run(make_script("", **keys))


def test_hundreds_of_megabytes_of_output_leave_a_log_of_its_beginning_and_its_end(
    make_script: MakeScript, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = make_script(
        """
        import sys
        print("first line")
        block = "".join("line %07d\\n" % number for number in range(1 << 16))
        for _ in range(100):
            sys.stdout.write(block)
        sys.stdout.write("endless" * (5 << 20))
        sys.stdout.write("\\n")
        print('{"val_loss": 1}')
        print("last line")
        """
    )
    monkeypatch.setattr("sys.stdout", open(os.devnull, "w"))  # noqa: SIM115 - not the terminal
    result = run(file)
    log = output(result)
    assert result.trials[0].value == 1
    assert len(log) < 25 << 20
    assert log.startswith(b"first line\nline 0000000\n")
    assert log.endswith(b'endless\n{"val_loss": 1}\nlast line\n')
    left_out = re.findall(rb"\n\[ *(\d+) bytes left out\]\n", log)
    assert len(left_out) == 1
    printed = len("first line\n") + 100 * (13 << 16) + 7 * (5 << 20) + len('\n{"val_loss": 1}\nlast line\n')
    note = len(b"\n[%15d bytes left out]\n" % 0)
    assert int(left_out[0]) + len(log) - note == printed


def test_values_reach_the_script_as_they_are(make_script: MakeScript) -> None:
    words = ["a b", 'it\'s "so"', "$(rm -rf x)", "two\nlines", "--flag", "", "*", "ü\\n", "a;b|c&d"]
    file = make_script(
        f"""
        import argparse
        parser = argparse.ArgumentParser()
        for number in range({len(words)}):
            parser.add_argument("--w%d" % number)
        found = parser.parse_args()
        assert list(vars(found).values()) == {words!r}, found
        print('{{"val_loss": 1}}')
        """,
        parameters={f"w{number}": word for number, word in enumerate(words)},
    )
    result = run(file)
    assert result.trials[0].state == "COMPLETE", result.trials[0].reason


def test_what_a_double_fork_hides_is_ended_too(make_script: MakeScript, project: Path) -> None:
    file = make_script(
        """
        import os, signal, sys, time
        if os.fork() == 0:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            if os.fork() == 0:
                open("pid.tmp", "w").write(str(os.getpid()))
                os.rename("pid.tmp", "pid")
                time.sleep(600)
            os._exit(0)
        while not os.path.exists("pid"):
            time.sleep(0.01)
        print('{"val_loss": 1}')
        sys.stdout.flush()
        os._exit(3)
        """
    )
    begin = time.monotonic()
    trial = run(file).trials[0]
    assert trial.reason == 'exit status 3: {"val_loss": 1}'
    assert time.monotonic() - begin < 120
    assert not is_alive(int((project / "pid").read_text()))


def test_a_script_that_closes_its_output_runs_on(make_script: MakeScript) -> None:
    file = make_script(
        """
        import os, time, sweep
        print('{"val_loss": 3, "step": 0}', flush=True)
        os.close(1), os.close(2)
        time.sleep(1)
        sweep.report(2, 1)
        os._exit(0)
        """
    )
    assert run(file).trials[0].value == 2


def test_the_pythons_own_sitecustomize_and_pythonpath_stay(make_script: MakeScript, project: Path) -> None:
    (project / "lib").mkdir()
    (project / "lib" / "sitecustomize.py").write_text("import sys; sys.mine = __file__")
    (project / "lib" / "helper.py").write_text("")
    file = make_script(
        "import sys, helper; assert sys.mine; print('{\"val_loss\": 1}')", env={"PYTHONPATH": "lib"}
    )
    assert run(file).trials[0].state == "COMPLETE"


@pytest.mark.usefixtures("ray_cluster")
def test_on_ray_it_has_its_gpu_its_directory_and_a_limit_for_expressions(make_script: MakeScript) -> None:
    file = make_script(
        """
        import os, time
        trial = os.environ["SWEEP_TRIAL_DIR"]
        assert os.getcwd() == trial == os.environ["OUT"]
        print("gpu", os.environ["CUDA_VISIBLE_DEVICES"])
        print("loss 0.5")
        if trial.endswith("1"):
            print("a" * 60)
            time.sleep(60)
        """,
        resources={"gpu": 1},
        cwd="${trial_dir}",
        env={"OUT": "${trial_dir}"},
        metrics_from={"regex": ["loss (?P<val_loss>.*)", "(?P<x>(a+)+)$b"]},
        stop={"trials": 2},
        max_parallel=1,
    )
    result = sweep.run(file)
    assert [trial.state for trial in result.trials] == ["COMPLETE", "FAIL"], result.trials
    assert re.search(rb"^gpu [0-3]$", output(result), re.MULTILINE)
    assert "takes more than 5 s" in str(result.trials[1].reason)


def test_a_script_that_is_run_again_with_nothing_left_to_do_keeps_what_it_had_reported(
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


def test_of_a_progress_bar_the_last_state_of_each_step_counts(make_script: MakeScript) -> None:
    file = make_script(
        r"""
        import sys
        for epoch in range(2):
            for batch in range(100):
                loss = 10 - epoch - batch / 100
                sys.stderr.write("\rEpoch %d: %d%% loss=%.2f val_loss=%.2f" % (epoch, batch, batch, loss))
            if epoch == 0:
                sys.stderr.write("\nEpoch 0 acc=0.5\n")
        """,
        metrics_from={"regex": [r"Epoch (?P<step>\d+)", r"val_loss=(?P<val_loss>\S+)", r"acc=(?P<acc>\S+)"]},
    )
    result = run(file)
    assert result.study.trials[0].intermediate_values == {0: 9.01, 1: 8.01}
    assert result.trials[0].metrics["acc"] == 0.5


def test_variables_of_the_sweep_file_add_to_those_that_are_there(
    make_script: MakeScript, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_PATH", "/there")
    monkeypatch.setenv("PYTHONBREAKPOINT", "ray.util.rpdb.set_trace")
    file = make_script(
        """
        import json, os, shutil, sys
        assert os.environ["PATH"].count("/opt/x/bin") == 1
        assert os.path.dirname(shutil.which("python")) == os.path.dirname(sys.executable)
        assert shutil.which("env")
        assert "$" not in os.environ["PATH"] + os.environ["PYTHONPATH"]
        assert os.environ["SOME_PATH"] == "/here:/there"
        assert "PYTHONBREAKPOINT" not in os.environ, "Ray's fails outside of its workers"
        assert sys.argv[1] == os.environ["SWEEP_TRIAL_DIR"] + "/out", sys.argv
        print('{"val_loss": 1}')
        """,
        command=["${interpreter}", "${program}", "${envvar:OUT}"],
        env={
            "PATH": "/opt/x/bin:${envvar:PATH}",
            "PYTHONPATH": "src:${envvar:PYTHONPATH}",
            "SOME_PATH": "/here:${envvar:SOME_PATH}",
            "OUT": "${trial_dir}/out",
        },
    )
    (trial,) = run(file).trials
    assert trial.state == "COMPLETE", trial.reason


def test_numbers_in_nested_json_have_dotted_names(make_script: MakeScript) -> None:
    file = make_script(
        'print(\'{"epoch": 0, "val": {"loss": 1.5, "note": "x"}}\')',
        metric={"name": "val.loss", "goal": "minimize"},
    )
    assert run(file).best_value == 1.5


def test_a_name_that_is_no_text_does_no_harm(make_script: MakeScript) -> None:
    file = make_script("import sweep\nsweep.report({'val_loss': 1.0, 'a\\ud800': 2.0}, 1)")
    assert run(file).trials[0].metrics == {"val_loss": 1.0, "a?": 2.0, "best/val_loss": 1.0}


def test_what_a_script_calls_like_the_sweeps_own_curve_is_left_out(make_script: MakeScript) -> None:
    file = make_script('for i in 3, 1, 2: print(\'{"val_loss": %d, "best/val_loss": 100}\' % i)')
    assert run(file).trials[0].metrics == {"val_loss": 2.0, "best/val_loss": 1.0}


def test_the_reason_is_the_first_line_of_an_exception_and_its_story_is_as_it_was_printed(
    make_script: MakeScript,
) -> None:
    file = make_script(
        "def step():\n"
        '    raise RuntimeError("CUDA error: device-side assert\\nFor debugging consider ...")\n'
        "step()"
    )
    (trial,) = run(file).trials
    assert trial.reason == "exit status 1: RuntimeError: CUDA error: device-side assert"
    error = (trial.directory / "error.txt").read_text()
    assert '\n  File "' in error
    assert "\n    raise RuntimeError(" in error


@pytest.mark.parametrize(
    ("tail", "status", "reason"),
    [
        (
            ["wandb: ERROR No API key configured. Use `wandb login`"],
            1,
            "wandb is kept offline here",
        ),
        (["Killed"], 137, r"exit status 137 \(SIGKILL\): Killed"),
        (
            [
                "Traceback (most recent call last):",
                "ValueError: no data",
                "Traceback (most recent call last):",
                "subprocess.CalledProcessError: Command '['python', 'x']' returned non-zero exit status 1.",
            ],
            1,
            "exit status 1: ValueError: no data$",
        ),
        (["Stopping", ""], 255, "exit status 255"),
    ],
)
def test_an_exit_status_says_more_than_its_number(tail: list[str], status: int, reason: str) -> None:
    kind = ScriptCrash if status == 137 else ScriptError
    with pytest.raises(kind, match=reason):
        check_ended_well(status, tail)


def test_an_argument_that_is_too_long_is_named(make_script: MakeScript) -> None:
    file = make_script("pass", parameters={"text": "x" * 200_000, "lr": {"min": 0.0, "max": 1.0}})
    (trial,) = run(file).trials
    assert trial.reason is not None
    assert re.search(r"too long: --text=x+\.\.\. has 200007 characters; \$\{args_json_file\}", trial.reason)
