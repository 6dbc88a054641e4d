"""The output of a script: copied to the log, split into lines, and limited in size."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from sweep.script.bounded_log import BoundedLog
from sweep.script.output import ScriptOutput
from tests.script.conftest import MakeScript, output, run

pytestmark = pytest.mark.process


def test_output_is_copied_byte_for_byte(make_script: MakeScript, capfd: pytest.CaptureFixture[str]) -> None:
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


def test_lines_of_stdout_and_stderr_do_not_mix(
    make_script: MakeScript, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sweep.script.output._LONGEST_HOLD_TIME", 600)
    with (tmp_path / "both").open("w") as both:  # both are one file in a worker
        monkeypatch.setattr("sys.stdout", both)
        monkeypatch.setattr("sys.stderr", both)
        run(
            make_script(
                """
                import sys, time
                for step in range(20):
                    print("on stderr", step, end=" ", file=sys.stderr, flush=True)
                    time.sleep(0.01)  # usually it has been read by then
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


def test_lines_of_both_streams_are_read_in_the_order_in_which_they_were_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_reading, is_printed = threading.Event(), threading.Event()

    class Terminal(io.BytesIO):
        def flush(self) -> None:
            is_reading.set()
            assert is_printed.wait(60)

    monkeypatch.setattr("sys.stderr", io.TextIOWrapper(Terminal()))
    printing = "echo begins >&2; read line; echo epoch 1 >&2; echo loss 0.5"
    script = subprocess.Popen(
        ["sh", "-c", printing], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    output = ScriptOutput(script, tmp_path / "output.log", wants_all=True)
    assert is_reading.wait(60)
    assert script.stdin is not None
    script.stdin.close()
    script.wait()
    is_printed.set()
    output.close()
    assert [line.text for line in output.read_lines(0)] == ["begins", "epoch 1", "loss 0.5"]


def test_a_line_is_as_a_terminal_shows_it(tmp_path: Path) -> None:
    script = subprocess.Popen(["printf", "  a  \n"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output = ScriptOutput(script, tmp_path / "output.log", wants_all=True)
    script.wait()
    output.close()
    assert [line.text for line in output.read_lines(0)] == ["  a  "]


def test_a_prompt_without_a_newline_is_printed(make_script: MakeScript) -> None:
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


def test_a_process_that_prints_after_the_script_has_exited_does_not_block(tmp_path: Path) -> None:
    script = subprocess.Popen(
        ["sh", "-c", "yes >&2 & echo $!; echo the last line"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    script.wait()
    output = ScriptOutput(script, tmp_path / "output.log", wants_all=True)
    begin = time.monotonic()
    output.close()
    assert output.is_at_end
    assert time.monotonic() - begin < 30
    pid, *rest = [line.text for line in output.read_lines(0) if line.is_stdout]
    os.kill(int(pid), signal.SIGKILL)
    assert rest == ["the last line"]


def test_output_is_in_the_log_while_the_script_runs(make_script: MakeScript) -> None:
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


def test_the_middle_of_hundreds_of_megabytes_of_output_is_left_out_of_the_log(
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


def test_the_log_of_a_later_attempt_says_how_much_is_left_out_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweep.script.bounded_log.HEAD", 1000)
    monkeypatch.setattr("sweep.script.bounded_log.TAIL", 1000)
    path, printed = tmp_path / "output.log", 0
    for _ in range(2):
        log = BoundedLog(path)
        for number in range(400):
            with path.open("a") as file:
                printed += file.write(f"line {number}\n")
            log.cut()
    found = re.findall(rb"\n\[ *(\d+) bytes left out\]\n", path.read_bytes())
    note = len(b"\n[%15d bytes left out]\n" % 0)
    assert [int(count) for count in found] == [printed - path.stat().st_size + note]


def test_a_script_that_closes_its_output_continues_to_run(make_script: MakeScript) -> None:
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


def test_a_line_is_kept_whose_carriage_return_and_line_feed_are_read_separately(tmp_path: Path) -> None:
    printing = "printf '10%%\\r20%%\\r' >&2; printf 'the cause\\r' >&2; sleep 0.5; printf '\\nbye\\n' >&2"
    script = subprocess.Popen(["sh", "-c", printing], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output = ScriptOutput(script, tmp_path / "output.log", wants_all=True)
    script.wait()
    output.close()
    assert list(output.tail) == ["the cause", "bye"]
