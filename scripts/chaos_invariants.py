"""The invariants that `chaos.py` checks: nothing is lost, nothing runs twice, and TensorBoard agrees."""

from __future__ import annotations

import json
import math
import re
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from chaos_objective import STEPS, expected_walk

if TYPE_CHECKING:
    from chaos import Record, Sweep

REPOSITORY = Path(__file__).resolve().parent.parent
MARK = "SWEEP_CHAOS"
"""Environment variable that all processes of the sweep inherit, including Ray's."""
_FAILED = re.compile(r"trial \d+ failed after .*? and will run again: (.*)")
_LOSSES = ("its process crashed or was killed", "its machine was lost", "its machine left the cluster")
"""The reasons of attempts that were lost."""


def check(sweep: Sweep, record: Record) -> dict[str, int]:
    """Count violations of the invariants: all numbers except the first have to be 0."""
    # Private, but the only names of the operations in the journal.
    from optuna.storages.journal._storage import JournalOperation
    from optuna.trial import TrialState

    trials = sweep.trials()
    journal = [json.loads(line) for line in (sweep.root / "journal.log").read_text().splitlines()]
    outcomes = Counter(
        entry["trial_id"]
        for entry in journal
        if entry["op_code"] == JournalOperation.SET_TRIAL_STATE_VALUES
        and TrialState(entry["state"]).is_finished()
    )
    created = sum(entry["op_code"] == JournalOperation.CREATE_TRIAL for entry in journal)
    lost = list(range(len(trials), created))
    lost += [trial.number for trial in trials if not trial.state.is_finished()]
    lost += [number for number in record.finished if number >= len(trials)]
    twice = [trial.number for trial in trials if outcomes[trial._trial_id] != 1]
    overlapping = []
    for trial in trials:
        diary = [line.split(" ", 2) for line in _lines(sweep.root / f"trial-{trial.number:04d}/diary.txt")]
        finished = trial.datetime_complete.timestamp() if trial.datetime_complete else math.inf
        if any(float(when) > finished + 0.05 for when, _, _ in diary):
            twice.append(trial.number)
        writers = [pid for _, pid, _ in diary]
        changes = [pid for pid, before in zip(writers, [None, *writers], strict=False) if pid != before]
        if len(changes) != len(set(changes)):
            overlapping.append(trial.number)
    wrong = [
        trial.number
        for trial in trials
        if trial.state.name != "COMPLETE" or trial.value != expected_walk(trial.number, STEPS - 1)
    ]
    return {
        "trials": len(trials),
        "lost": len(lost),
        "run twice": len(set(twice)),
        "two attempts at a time": len(overlapping),
        "with a wrong result": len(wrong),
        "failures without a kill": len(_own_failures(sweep)),
        "zombies": len(_remaining_processes(sweep)),
        "rows that disagree": sum(_disagreements(sweep, trials, fast) for fast in (True, False)),
        "other violations": len(record.violations),
    }


def _own_failures(sweep: Sweep) -> list[str]:
    """Attempts that failed although neither their process nor their machine was lost."""
    reasons = [found[1] for line in sweep.output() if (found := _FAILED.match(line))]
    found = [reason for reason in reasons if not reason.startswith(_LOSSES)]
    for reason in found:
        print(f"failed: {reason}")
    return found


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def _remaining_processes(sweep: Sweep) -> list[psutil.Process]:
    """Processes with the mark that are still running. Ray's exit some time after a SIGKILL of the driver."""
    end = time.monotonic() + 180
    while True:
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(MARK) == sweep.folder.name:
                    found.append(process)
        found += sweep.processes()
        if not found or time.monotonic() > end:
            for process in found:
                print(f"still running: {process.pid} {title_of(process)[:150]}")
            return found
        time.sleep(1)


def _disagreements(sweep: Sweep, trials: list[Any], fast: bool) -> int:
    """The number of rows in which TensorBoard and the study differ: status, parameters, values, curve."""
    sys.path.insert(0, str(REPOSITORY))
    from tests.tensorboard_client import hparams, metrics, status, tensorboard

    wrong = 0
    with tensorboard(sweep.root, fast) as board:
        rows = board.wait_for_rows(len(trials), 120)
        by_name = {row["name"]: row for row in rows}
        if len(rows) != len(trials) or len(by_name) != len(rows):
            print(f"TensorBoard has {len(rows)} rows for {len(trials)} trials")
            return abs(len(rows) - len(trials)) or 1
        for trial in trials:
            row = by_name[f"chaos/t{trial.number:04d}"]
            walk = [expected_walk(trial.number, step) for step in range(STEPS)]
            curve = board.scalars(f"trial-{trial.number:04d}", "loss")
            found = metrics(row)
            agrees = (
                status(row) == "STATUS_SUCCESS"
                and math.isclose(hparams(row)["x"], trial.params["x"], rel_tol=1e-9)
                and math.isclose(found["loss"], trial.value, rel_tol=1e-4, abs_tol=1e-6)
                and math.isclose(found["best/loss"], min(walk), rel_tol=1e-4, abs_tol=1e-6)
                and [step for step, _ in curve] == list(range(STEPS))
            )
            if not agrees:
                steps = [step for step, _ in curve]
                print(f"trial {trial.number}: {status(row)} {found} {steps} instead of {trial.value}")
                wrong += 1
    return wrong


def title_of(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""
