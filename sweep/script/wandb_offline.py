"""Metrics that a script logs with W&B's package, which runs in offline mode: no server, no account.

`wandb.init` reads the parameters from a YAML file (`WANDB_SWEEP_PARAM_PATH`), and everything that is logged
is written to `wandb/offline-run-*/run-*.wandb` (`wandb_file`).
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import psutil
import yaml

from sweep.script.metric_sources import MetricRecord
from sweep.script.process import written_files
from sweep.script.wandb_file import RunFile

_PARAMETERS = ".wandb-params.yaml"
RUN_ID = "WANDB_RUN_ID"
_MODE = "WANDB_MODE"
_ONLINE = ("online", "shared", "run")
_HELD_MODE = "SWEEP_WANDB_MODE"
"""The mode as `startup/sweep_wandb.py` reads it: scripts remove the variables of W&B."""
_NO_SERVER = "http://127.0.0.1:9"
"""For a Python that ignores `startup/sweep_wandb.py`, which holds the same address in W&B's settings."""


def wandb_variables(
    directory: Path, sweep: str, number: int, label: str, seed: int, env: Mapping[str, str]
) -> dict[str, str]:
    """Environment variables with which W&B's package runs offline and receives the trial's parameters.

    The sweep file's `env` takes precedence. Unless it sets an online mode, nothing can reach the server.

    Args:
        directory: the trial's directory.
        sweep: the sweep's name.
        number: the trial's number.
        label: the repeat's name; empty without repeats.
        seed: the trial's seed, so that runs of different sweeps with the same directory differ.
        env: the variables of the sweep file's `env`.
    """
    name = "-".join(filter(None, [sweep, f"{number:04d}", label]))
    digest = hashlib.sha256(f"{directory}|{seed}".encode()).hexdigest()[:8]
    mode = env.get(_MODE, "offline")
    variables = {
        _MODE: mode,
        "WANDB_DIR": str(directory),
        "WANDB_SWEEP_PARAM_PATH": str(directory / _PARAMETERS),
        RUN_ID: f"{name[-55:].lstrip('-')}-{digest}",
        "WANDB_SWEEP_ID": sweep,
        "WANDB_NAME": name,
        "WANDB_SILENT": "true",
        # Seconds between writes to the file. The default of 15 s is too late for pruning.
        "WANDB_X_TRANSACTION_LOG_FLUSH_INTERVAL": "1",
    }
    if mode not in _ONLINE:
        variables |= {"WANDB_BASE_URL": _NO_SERVER, "WANDB_ERROR_REPORTING": "false"}
    own = {name: env[name] for name in variables.keys() & env.keys()}
    return {**variables, **own, _HELD_MODE: mode}


def write_parameters(directory: Path, params: Mapping[str, Any]) -> None:
    """Write the file from which `wandb.config` is read."""
    # Not allow_unicode: PyYAML would write some line separators (U+0085) verbatim, and read them as blanks.
    text = yaml.safe_dump({name: {"value": value} for name, value in params.items()}, sort_keys=False)
    (directory / _PARAMETERS).write_text(f"wandb_version: 1\n\n{text}", encoding="utf-8")


_REFUSED = "ignoring partial history record"
"""W&B's message about a row whose step is lower than an earlier one's."""


class OfflineRuns:
    """Reads the metrics that a trial's script logs with W&B's package.

    The trial's run is the one with the trial's id, which `wandb.init()` takes from `WANDB_RUN_ID`; after
    `finish`, a script can begin it again. Only if a script never begins it, its other runs are read when it
    has exited, and a metric that several of them have is left out: none of them is the trial's.

    Its runs are in the trial's directory, unless `wandb.init(dir=...)` names another one. Then the run with
    the trial's id is found in the working directory, or anywhere while a process has its file open.

    Args:
        directory: the trial's directory; existing runs belong to earlier attempts.
        cwd: the script's working directory.
        run_id: the trial's run id.

    Attributes:
        ignored: the metrics that the script has logged only to other runs, and how many of them have each.
        refused: what W&B has refused to log, once `rest` has been called; empty if nothing.
    """

    def __init__(self, directory: Path, cwd: Path, run_id: str) -> None:
        self._directory = directory
        self._cwd = cwd
        self._run_id = run_id
        self._file_name = f"run-{run_id}.wandb"
        self._earlier = set(self._files())
        self._runs: dict[Path, RunFile] = {}
        self._others: dict[Path, RunFile] = {}
        self._bases = {cwd.resolve(): None}
        """Directories to which a path in a run's file can be relative."""
        self.ignored: dict[str, int] = {}
        self.refused = ""

    def read(self, family: Iterable[psutil.Process] = ()) -> list[MetricRecord]:
        """The metrics that have been logged to the trial's run since the last call.

        Args:
            family: the script's processes.
        """
        family = list(family)
        opened = [path.resolve() for path in written_files(family, self._file_name)]
        for file in [*self._files(), *opened]:
            if file not in self._earlier and file not in self._runs and file not in self._others:
                runs = self._runs if file.name == self._file_name else self._others
                runs[file] = RunFile(file, partial(list, self._bases))
                if len(self._others) == 1 and runs is self._others and not self._runs:
                    self._say_which_counts(file)
        for process in family if self._runs or self._others else ():
            with suppress(psutil.Error):
                self._bases[Path(process.cwd())] = None
        records = [timed for run in self._runs.values() for timed in run.read()]
        return [record for _, record in sorted(records, key=itemgetter(0))]

    def rest(self) -> list[MetricRecord]:
        """The metrics that are known only after the script has exited and everything has been read.

        These are the values that were set in the summary of the trial's run and differ from the last logged
        ones, or without such a run the metrics of the other ones.
        """
        self.refused = next(filter(None, map(_refused, [*self._runs, *self._others])), "")
        if self.refused:
            sys.stderr.write(f"sweep: {self.refused}\n")
        others = {run: [record for _, record in run.read()] for run in self._others.values()}
        names = Counter(name for run in others for name in {**run.logged, **run.set_values})
        if self._runs:
            self.ignored = dict(names)
            return _set_values(list(self._runs.values()))
        self.ignored = {name: count for name, count in names.items() if count > 1}
        records = [record for found in others.values() for record in found]
        records += _set_values(list(others))
        return [
            MetricRecord(step, {name: value for name, value in values.items() if names[name] == 1})
            for step, values in records
        ]

    def _say_which_counts(self, file: Path) -> None:
        sys.stderr.write(
            f"sweep: the W&B run {file.stem.removeprefix('run-')} does not have the trial's id "
            f"({RUN_ID}={self._run_id}); it is read after the script exits, if there is no run with that id\n"
        )

    def _files(self) -> list[Path]:
        # W&B uses `.wandb` if it cannot create `wandb`. `latest-run` is a link to another directory.
        files = list(self._directory.resolve().glob("*wandb/*run-[0-9]*/run-*.wandb"))
        files += self._cwd.resolve().glob(f"*wandb/*run-[0-9]*/{self._file_name}")
        return sorted(set(files))


def _set_values(runs: Sequence[RunFile]) -> list[MetricRecord]:
    """The values that were set in the summaries of several runs, unless a later one has logged the metric."""
    found = []
    for index, run in enumerate(runs):
        logged = {name for later in runs[index + 1 :] for name in later.logged}
        values = {name: value for name, value in run.set_values.items() if name not in logged}
        if values:
            found.append(MetricRecord(None, values))
    return found


def _refused(file: Path) -> str:
    """What W&B has refused to log to a run. In a sweep it says so only in its own log."""
    with suppress(OSError, ValueError, KeyError):
        for line in (file.parent / "logs" / "debug-internal.log").read_text(errors="replace").splitlines():
            if _REFUSED in line:
                row = json.loads(line)
                return (
                    f"wandb.log refused what was logged with step={row['step']}, because the run was at step "
                    f"{row['current']}: pass step in all calls, or use define_metric with a step_metric"
                )
    return ""
