"""The command line as a person has it: each command in a process of its own."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

PATIENCE = 180
"""Seconds after which something that takes a few is taken to hang: machines that test are slow and busy."""


def sweep_command(*arguments: object) -> list[str]:
    """What starts `sweep` with these arguments, in this Python."""
    return [sys.executable, "-c", "from sweep.cli import main; main()", *map(str, arguments)]


def call(
    *arguments: object, status: int = 0, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command, see that it ends with `status`, and that an error is no traceback.

    Args:
        arguments: those of `sweep`.
        status: the exit status.
        env: is added to the environment.
    """
    words = [str(argument) for argument in arguments]
    environment = {**os.environ, **(env or {})}
    run = _run_afresh if words[0] == "run" and "--inline" not in words else _run_warm
    done = run(words, environment)
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def _run_afresh(words: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        sweep_command(*words), capture_output=True, text=True, check=False, timeout=PATIENCE, env=environment
    )


def _run_warm(words: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """The same in a fork of a process that has imported already what commands import, which takes most of
    their time. Not for what uses Ray: it looks at the environment that processes were started with.
    """
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        json.dump([words, environment, os.getcwd(), str(out), str(err)], server.stdin)
        print(file=server.stdin, flush=True)
        status = int(server.stdout.readline())
        return subprocess.CompletedProcess(list(words), status, out.read_text(), err.read_text())


@functools.cache
def _server() -> subprocess.Popen[str]:
    """Forks for each line of its input; it ends with this process, which closes that."""
    return subprocess.Popen(
        [sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


_SERVER = f"""
import json, os, signal, sys
import sweep.api, sweep.cli.app, sweep.console.display, sweep.console.summary, sweep.launch

for line in sys.stdin:
    words, environment, directory, out, err = json.loads(line)
    child = os.fork()
    if child == 0:
        break
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    sys.exit()

signal.alarm({PATIENCE})
os.chdir(directory)
os.environ.clear()
os.environ.update(environment)
for descriptor, path in enumerate((os.devnull, out, err)):
    opened = os.open(path, os.O_RDWR | os.O_CREAT)
    os.dup2(opened, descriptor)
    os.close(opened)
sys.argv[1:] = words
from sweep.cli import main
main()
"""
