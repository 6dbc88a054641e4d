"""Commands on a sweep of 10,000 trials, and plain Optuna's commands on the same journal."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmark.case import Case, Column, Measurement, Values
from benchmark.contestants import command, this_project
from benchmark.work import Work, count_spans, read_spans

_COMMANDS = ("status", "best", "trials")


def cases(quick: bool, trials: int | None) -> list[Case]:
    work = Work(100 if quick else 10_000, parameters=5)
    return [Case("f", name, "all", work) for name in ("sweep", "optuna")]


def measure(case: Case, folder: Path) -> Values:
    ours, optuna = folder / "sweep", folder / "optuna"
    if not ours.exists():
        _build(case.work, ours, optuna)
    mine = {"sweep": ours, "optuna": optuna}[case.contestant]
    values = {"opening": _seconds({"sweep": _open_sweep, "optuna": _open_optuna}[case.contestant], mine)}
    for name in _COMMANDS:
        arguments = {"sweep": _sweep, "optuna": _optuna}[case.contestant](name, mine)
        values[name] = _seconds(_run, arguments)
    # A trial more: this project's command names the number of all trials, Optuna's script that of its own.
    trials = count_spans(ours) + 1 if case.contestant == "sweep" else 1
    arguments = command(case.contestant, replace(case.work, trials=trials), mine)
    began = time.time()
    _run(arguments)
    return {**values, "resume": read_spans(mine)[-1].start - began}


def _build(work: Work, ours: Path, optuna: Path) -> None:
    import sweep

    ours.mkdir()
    optuna.mkdir()
    sweep.run(this_project.sweep_file(work, ours), runs=ours / "runs", inline=True, progress=False)
    shutil.copy(ours / "runs" / "bench" / "journal.log", optuna)


def _open_sweep(folder: Path) -> None:
    import sweep

    assert sweep.load("bench", runs=folder / "runs").study.trials


def _open_optuna(folder: Path) -> None:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    storage = JournalStorage(JournalFileBackend(str(folder / "journal.log")))
    assert optuna.load_study(study_name="bench", storage=storage).trials


def _sweep(name: str, folder: Path) -> list[str]:
    return [*this_project.sweep_command(), name, "bench", "--runs", str(folder / "runs")]


def _optuna(name: str, folder: Path) -> list[str]:
    program = str(Path(sys.executable).with_name("optuna"))
    names = {"status": "studies", "best": "best-trial", "trials": "trials"}
    study = [] if name == "status" else ["--study-name", "bench"]
    storage = ["--storage", str(folder / "journal.log"), "--storage-class", "JournalFileBackend"]
    return [program, *storage, "--quiet", names[name], *study]


def _run(arguments: list[str]) -> None:
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)


def _seconds(call: Callable[..., None], argument: object) -> float:
    began = time.perf_counter()
    call(argument)
    return time.perf_counter() - began


MEASUREMENT = Measurement(
    "10,000 trials on disk",
    """\
A sweep of 10,000 finished trials with ten reports each, in seconds: reading all trials in a running
program, the commands `sweep status`, `best` and `trials`, and `sweep run` up to the first step of one
trial more. Plain Optuna does the same with the same journal: `optuna studies`, `best-trial` and `trials`,
and a script that optimizes one trial more.""",
    cases,
    measure,
    {
        "Seconds": [
            Column("opening", "all", "opening", ".2f", ratio=True),
            Column("`status`, `studies`", "all", "status", ".2f", ratio=True),
            Column("`best`, `best-trial`", "all", "best", ".2f", ratio=True),
            Column("`trials`", "all", "trials", ".2f", ratio=True),
            Column("resume", "all", "resume", ".2f", ratio=True),
        ]
    },
    keeps_folder=True,
)
