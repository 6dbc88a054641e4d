"""Runs commands of the command line, each in a separate process."""

from __future__ import annotations

import functools
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import cast

PATIENCE = 180
"""Seconds after which something that takes a few seconds hangs: test machines are slow and busy."""
UNNEEDED_LIBRARIES = frozenset(
    [
        "aiohttp",
        "alembic",
        "cmaes",
        "fastapi",
        "grpc",
        "IPython",
        "jax",
        "lightning",
        "matplotlib",
        "opentelemetry",
        "pandas",
        "plotly",
        "pyarrow",
        "scipy",
        "sklearn",
        "sqlalchemy",
        "tensorboard",
        "tensorflow",
        "torch",
        "transformers",
        "wandb",
    ]
)
"""Libraries that take long to import, and that a sweep needs only if its objective or its file uses them."""


def sweep_command(*arguments: object) -> list[str]:
    """The command line that runs `sweep` with these arguments, in this Python."""
    return [sys.executable, "-c", "from sweep.cli import main; main()", *map(str, arguments)]


def call(
    *arguments: object, status: int = 0, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command, and check its exit status and that it prints no traceback.

    Args:
        arguments: the arguments of `sweep`.
        status: the expected exit status.
        env: additional environment variables.
    """
    texts = [str(argument) for argument in arguments]
    environment = {**os.environ, **(env or {})}
    run = _run_in_new_process if texts[0] == "run" and "--inline" not in texts else _run_in_fork
    done = run(texts, environment)
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def call_here(*arguments: object, status: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command that only reads, as `call` does, but in this process, which does all imports once."""
    from sweep import cli

    texts = [str(argument) for argument in arguments]
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    before = sys.argv
    sys.argv = ["sweep", *texts]
    try:
        with redirect_stdout(out), redirect_stderr(err):
            found = cli._call_app()
    finally:
        sys.argv = before
    shown = [cast("io.BytesIO", stream.buffer).getvalue().decode() for stream in (out, err)]
    assert found == status, "".join(shown)
    return subprocess.CompletedProcess(texts, found, *shown)


def _run_in_new_process(
    arguments: Sequence[str], environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        sweep_command(*arguments),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        env=environment,
    )


def _run_in_fork(
    arguments: Sequence[str], environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a command in a fork of a process with all imports done, which take most of the time.

    Commands that use Ray cannot be run this way: Ray reads the environment with which a process was started.
    """
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        json.dump([arguments, environment, os.getcwd(), str(out), str(err)], server.stdin)
        print(file=server.stdin, flush=True)
        status = int(server.stdout.readline())
        return subprocess.CompletedProcess(list(arguments), status, out.read_text(), err.read_text())


@functools.cache
def _server() -> subprocess.Popen[str]:
    """A process that forks for each line of its input. It exits with this process, which closes the input."""
    return subprocess.Popen(
        [sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


_SERVER = f"""
import json, os, signal, sys
import pandas, sweep.analysis.explanation, sweep.api, sweep.cli.app, sweep.console.display
import sweep.console.summary, sweep.launch

for line in sys.stdin:
    arguments, environment, directory, out, err = json.loads(line)
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
sys.argv[1:] = arguments
from sweep.cli import main
main()
"""
