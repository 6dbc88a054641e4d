"""Why a script failed: its exit status and the line of its output that explains it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import sweep
from sweep.script.errors import ScriptCrash, ScriptError
from sweep.script.exit_status import check_exit_status
from tests.commands import PATIENCE, sweep_command
from tests.script.conftest import MakeScript, run


@pytest.mark.process
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
            '{"step": 1, "val_loss": 0.5}, '
            "or read what it prints with metrics_from: {regex: 'val_loss=(?P<val_loss>\\S+)'}",
        ),
        (
            "print('so far'); print({'val_loss': 1}); print({'val_loss': 2})",
            "the script never reported 'val_loss'; it reported nothing: {'val_loss': 1} is not JSON on one "
            "line; "
            'print(json.dumps(...)) writes it; have it print lines such as {"step": 1, "val_loss": 0.5}, '
            "or read what it prints with metrics_from: {regex: 'val_loss=(?P<val_loss>\\S+)'}",
        ),
        (
            'print(\'{"val_loss": "1"}\')',
            'the script never reported \'val_loss\'; it reported nothing: {"val_loss": "1"} has no metric '
            'that is a number; have it print lines such as {"step": 1, "val_loss": 0.5}, '
            "or read what it prints with metrics_from: {regex: 'val_loss=(?P<val_loss>\\S+)'}",
        ),
    ],
)
def test_the_reason_of_a_failure_is_one_line(make_script: MakeScript, code: str, reason: str) -> None:
    result = run(make_script(code))
    trial = result.trials[0]
    assert (trial.state, trial.reason, trial.attempts) == ("FAIL", reason, 1)
    assert reason in (trial.directory / "error.txt").read_text()


@pytest.mark.process
def test_a_script_that_is_killed_by_a_signal_has_crashed_and_is_retried(make_script: MakeScript) -> None:
    file = make_script(
        """
        import os, signal, sys, traceback, warnings
        print('so far')
        try:
            1 / 0
        except ArithmeticError:
            traceback.print_exc()
        warnings.warn("lr is deprecated")
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        trial={"retries": 1},
    )
    trial = run(file).trials[0]
    assert (trial.reason, trial.attempts) == ("killed by SIGKILL", 2), "what it printed earlier is unrelated"
    assert "lr is deprecated" in (trial.directory / "error.txt").read_text()


@pytest.mark.process
def test_running_out_of_memory_is_recognized_by_the_exception(make_script: MakeScript) -> None:
    file = make_script("raise MemoryError", trial={"retries": 1, "retry_on": ["oom"]})
    assert run(file).trials[0].attempts == 2


@pytest.mark.process
def test_the_reason_of_a_torchrun_failure_is_the_exception_of_the_child_process(
    make_script: MakeScript,
) -> None:
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
    assert crash.reason == "exit status 1 (one of its processes was killed by SIGSEGV)"
    assert crash.attempts == 1


@pytest.mark.parametrize(
    "line",
    [
        "RuntimeError: Address already in use",
        "torch.distributed.DistNetworkError: port: 12355, code: -98, name: EADDRINUSE, message: in use",
        "OSError: [Errno 98] Address already in use",
    ],
)
def test_a_port_that_another_trial_uses_is_an_error_that_says_what_to_do(line: str) -> None:
    with pytest.raises(ScriptError, match=r"choose a free one .*, or write max_parallel: 1"):
        check_exit_status(1, ["Traceback (most recent call last):", "  ...", line])


@pytest.mark.process
def test_a_metric_that_the_first_trial_never_reports_stops_the_sweep(
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


@pytest.mark.process
def test_a_later_trial_that_does_not_report_does_not_stop_the_sweep(make_script: MakeScript) -> None:
    file = make_script(
        """
        import os
        if os.environ["SWEEP_TRIAL_DIR"][-1] != "1":
            print('{"val_loss": 1}')
        """,
        stop={"trials": 3},
    )
    assert [trial.state for trial in run(file).trials] == ["COMPLETE", "FAIL", "COMPLETE"]


@pytest.mark.process
def test_the_reason_is_the_first_line_of_the_exception_and_error_txt_has_the_traceback(
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
            "wandb runs offline here",
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
        (
            [
                "  + Exception Group Traceback (most recent call last):",
                '  |   File "t.py", line 3, in <module>',
                "  | ExceptionGroup: failed (2 sub-exceptions)",
                "  +-+---------------- 1 ----------------",
                "    | ValueError: not raised",
                "    +---------------- 2 ----------------",
                "    | Traceback (most recent call last):",
                '    |   File "t.py", line 1, in step',
                "    | TypeError: bad batch",
                "    +------------------------------------",
            ],
            1,
            "exit status 1: TypeError: bad batch$",
        ),
        (
            ["Traceback (most recent call last):", "ImportError: ", "", "AutoModel requires PyTorch", "See"],
            1,
            "exit status 1: ImportError: AutoModel requires PyTorch$",
        ),
        (
            [
                "Traceback (most recent call last):",
                "RuntimeError: Error(s) in loading Net:",
                "\tMissing key a",
            ],
            1,
            "exit status 1: RuntimeError: Error\\(s\\) in loading Net: Missing key a$",
        ),
        (
            ["Traceback (most recent call last):", "ValueError: handled", "epoch 1", "error: no data folder"],
            1,
            "exit status 1: error: no data folder$",
        ),
        (["| lr | loss |", "|  1 | none |"], 1, r"exit status 1: \|  1 \| none \|$"),
        (["Stopping", ""], 255, "exit status 255"),
        (["run.sh: line 2: $'\\r': command not found"], 127, "CRLF line ends: convert it with sed"),
        (["epoch 1", "bad data", "a.py:3: UserWarning: old", "  warnings.warn('old')"], 3, "3: bad data$"),
        (["no data", '{"loss": 0.5}'], 3, "exit status 3: no data$"),
        (['{"loss": 0.5}'], 3, "exit status 3$"),
        (["epoch 1", "Fatal Python error: Aborted", "epoch 2"], -6, "SIGABRT: Fatal Python error: Aborted$"),
        (
            ["terminate called after throwing an instance of 'X'", "  what():  no GPU", "#0 frame"],
            134,
            r"exit status 134 \(SIGABRT\): what\(\):  no GPU$",
        ),
        (["Traceback (most recent call last):", "ValueError: handled"], -9, "^killed by SIGKILL$"),
        (["a.py:3: UserWarning: old"], 137, r"exit status 137 \(SIGKILL\)$"),
        (
            ["FATAL Flags parsing error: Unknown command line flag 'lrr'", "Pass --helpshort or --helpfull"],
            1,
            "exit status 1: FATAL Flags parsing error: Unknown command line flag 'lrr'$",
        ),
        (
            ["Usage: t.py", "╭─ Error ─────╮", "│ No such command 'x'. │", "│ ─── │", "╰──────╯"],
            2,
            "exit status 2: No such command 'x'.$",
        ),
        (
            [
                "usage: t.py [--hydra-help]",
                "  [overrides ...]",
                "t.py: error: unrecognized arguments: --x=True",
            ],
            2,
            "--x=True; Hydra reads name=value, without --: write command: .*{args_hydra}",
        ),
        (
            ["hydra.errors.ConfigCompositionException: Could not override 'lrr'."],
            1,
            "has no such key: correct its name, or, to add it: write command: .*{args_override_hydra}",
        ),
    ],
)
def test_the_reason_depends_on_status_and_output(tail: list[str], status: int, reason: str) -> None:
    kind = ScriptCrash if status < 0 or 128 < status < 255 else ScriptError
    with pytest.raises(kind, match=reason):
        check_exit_status(status, tail)


@pytest.mark.parametrize(
    ("line", "macro"),
    [
        ("t.py: error: argument --amp: ignored explicit argument 'True'", "args_argparse"),
        ("t.py: error: unrecognized arguments: True", "args_argparse"),
        ("t.py: error: unrecognized arguments: --no-amp", "args_argparse"),
        ("t.py: error: argument --x/--no-x: ignored explicit argument 'False'", "args_tyro"),
        ("t.py: error: argument --betas: invalid float value: '[0.9, 0.99]'", "args_hf"),
        ("t.py: error: argument --pair: expected 2 arguments", "args_hf"),
        ("t.py: error: argument --lr: invalid float value: 'None'", "args_argparse"),
        ("Error: Option '--amp' does not take a value.", "args_click"),
        ("Error: Got unexpected extra argument (True)", "args_click"),
        ("Error: Invalid value for '--betas': '[0.9]' is not a valid float.", "args_click"),
        ("Error: Option '--pair' requires 2 arguments.", "args_tyro"),
        ("Error: Invalid value for '--pair': '--pair=2' is not a valid integer.", "args_tyro"),
        ("Error: No such option '--no-amp'.", "args_no_boolean_flags"),
        ("│ Unrecognized options: True │", "args_tyro"),
        ("hydra.errors.OverrideParseException: no viable alternative at input '{'k''", "args_hydra"),
        ("hydra.errors.ConfigCompositionException: Could not override 'x'.", "args_override_hydra"),
        ("force-add of config groups is not supported: '++model=b'", "args_hydra"),
        ("t.py: error: unrecognized arguments: --lrr=3", ""),
        ("t.py: error: argument --lr: invalid float value: 'abc'", ""),
    ],
)
def test_a_usage_error_names_the_macro_that_passes_such_values(line: str, macro: str) -> None:
    with pytest.raises(ScriptError) as raised:
        check_exit_status(2, ["usage: t.py", line])
    found = re.findall(r'"\$\{program\}", "\$\{(\w+)\}"\]', str(raised.value))
    assert found == ([macro] if macro else [])
    assert line.strip("│ ") in str(raised.value)
