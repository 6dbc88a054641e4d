"""Sweep files, and directories of sweeps that somebody sends, run no code when they are read."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import socket
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import sweep
from sweep.analysis.view import SweepView
from sweep.cli.tensorboard import _start
from sweep.errors import InputError
from sweep.study import snapshot
from sweep.sweepfile import load_spec
from tests.cli.test_odd_sweeps import COMMANDS
from tests.commands import call_here
from tests.conftest import MakeSweep

CODE = "def train(trial):\n    trial.report(1.0, 0)\n    return trial.params.x\n"
MARKER = "ran"


class Trap:
    """Unpickling it creates the marker in the current folder."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (MARKER,)


def set_traps(root: Path, project: Path) -> None:
    """Change each file of a sweep's directory so that code would run if its content were trusted."""
    trap = f"import os\nos.makedirs({str(project / MARKER)!r}, exist_ok=True)\n"
    for folder in (project, root):
        for name in ("trap", "trapped_objective", "yaml", "optuna", "sitecustomize", "demo_objective"):
            (folder / f"{name}.py").write_text(trap)
    spec = yaml.safe_load((root / "sweep.yaml").read_text())
    spec.update(
        objective="trapped_objective.py:train",
        sampler={"type": "trap:Sampler"},
        pruner={"type": "trap:Pruner"},
        cwd=str(root),
        env={"PYTHONPATH": str(root), "LD_PRELOAD": ""},
    )
    (root / "sweep.yaml").write_text(yaml.safe_dump(spec))
    pickled = pickle.dumps(Trap(), 0)  # a text, which `sweep logs` can print
    for name in (".code", ".usage", ".command", ".environment", ".password", ".lock", "function.pkl"):
        (root / name).write_bytes(pickled)
    for trial in root.glob("trial-*"):
        for name in ("args.json", "output.log", "error.txt", "checkpoint/0000-step-0/model.pt"):
            (trial / name).parent.mkdir(parents=True, exist_ok=True)
            (trial / name).write_bytes(pickled)
    (root / ".snapshot").write_bytes(forged_snapshot(root / "journal.log", pickled))


def forged_snapshot(journal: Path, content: bytes) -> bytes:
    """A snapshot with this content that fits the journal."""
    position = journal.stat().st_size
    facts = {
        "versions": snapshot._versions(),
        "lines": len(journal.read_text().splitlines()),
        "position": position,
        "journal": snapshot._checksum_of(journal, position),
        "checksum": zlib.crc32(content),
    }
    return content + b"\n" + json.dumps(facts).encode()


@pytest.mark.process
def test_no_command_that_reads_a_sweep_runs_code_of_its_directory(
    make_sweep: MakeSweep, project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    sweep.run(make_sweep(CODE), inline=True)
    root = project / "runs/demo"
    shutil.copytree(root, project / "runs/usual")
    out = tmp_path_factory.mktemp("out")
    set_traps(root, project)
    for command, parts in COMMANDS.items():
        arguments = [part.format(name="demo", out=out) for part in parts]
        if "usual" not in arguments and command != "watch":
            call_here(*arguments)
            assert not (project / MARKER).exists(), command
    assert len(SweepView.open("demo", project / "runs").rows()) == 6
    assert not (project / MARKER).exists()


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps(Trap()),
        b"cos\nsystem\n(S'mkdir ran'\ntR.",
        b'c__builtin__\neval\n(S\'__import__("os").mkdir("ran")\'\ntR.',
        b"\x80\x04\x8c\x08builtins\x8c\x04exec\x93\x8c\x00\x85R.",
        b"\x80\x04cdatetime\ndatetime.__class__\n.",
        b"",
        b".",
        b"\x80\x04]\x94(",
    ],
)
def test_a_forged_snapshot_creates_nothing_but_the_objects_of_a_study(
    content: bytes, make_sweep: MakeSweep, project: Path
) -> None:
    sweep.run(make_sweep(CODE), inline=True)
    root = project / "runs/demo"
    (root / ".snapshot").write_bytes(forged_snapshot(root / "journal.log", content))
    assert len(SweepView.open("demo", project / "runs").rows()) == 6
    assert not (project / MARKER).exists()


@pytest.mark.parametrize(
    "entry",
    [
        "x: !!python/object/apply:os.mkdir [ran]",
        "x: !!python/object/new:os.mkdir [ran]",
        "x: !!python/name:os.mkdir",
        "x: !!python/module:os",
        "x: !include /etc/passwd",
        'constraints: [\'__import__("os").mkdir("ran")\']',
        "constraints: ['x.__class__.__bases__']",
        "constraints: ['(lambda: x)() < 1']",
        "constraints: ['min.__globals__ == x']",
        "constraints: ['[x for x in (1,)] < 2']",
        "constraints: ['x ** 10 ** 10 < f\"{x}\"']",
        "constraints: ['9 ** 9 ** 9 ** 9 < x']",
    ],
)
def test_a_sweep_file_cannot_contain_code(entry: str, make_sweep: MakeSweep, project: Path) -> None:
    file = make_sweep(CODE)
    file.write_text(file.read_text() + entry + "\n")
    with pytest.raises(InputError):
        sweep.run(file, inline=True)
    call_here("check", file, status=2)
    assert not (project / MARKER).exists()


def test_reading_a_sweep_file_does_not_import_what_it_names(make_sweep: MakeSweep, project: Path) -> None:
    file = make_sweep("import os\nos.mkdir('ran')\n")
    load_spec(file)
    assert not (project / MARKER).exists()


@pytest.mark.process
def test_tensorboard_listens_on_this_machine_only(make_sweep: MakeSweep, project: Path) -> None:
    sweep.run(make_sweep(CODE), inline=True)
    url = _start(project / "runs/demo", "127.0.0.1", None)
    port = int(url.rstrip("/").rpartition(":")[2])
    assert is_answered("127.0.0.1", port)
    assert not is_answered("127.0.0.2", port), "a socket on all interfaces would answer"


def test_the_dashboard_listens_on_this_machine_only(make_sweep: MakeSweep, project: Path) -> None:
    from sweep.rendering.dashboard import make_dashboard

    sweep.run(make_sweep(CODE), inline=True)
    study = SweepView.open("demo", project / "runs").study
    assert study is not None
    server, _ = make_dashboard(study, None)
    with server:
        assert is_answered("127.0.0.1", server.server_port)
        assert not is_answered("127.0.0.2", server.server_port)


def is_answered(host: str, port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(30)
        return client.connect_ex((host, port)) == 0
