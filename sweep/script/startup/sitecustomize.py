"""Runs at the start of every Python process of a script, and reads its settings from the environment.

The script is not changed, but Python's writers of event files are adapted (`sweep_event_files.py`). The child
processes of a function are treated in the same way. W&B's package is kept offline (`sweep_wandb.py`),
also in child processes with another environment (`sweep_children.py`). In a distributed training the metrics
of rank 0 count, whatever the other ranks print and log.

Only the standard library is used, because the script can run in any Python environment. The
environment's own `sitecustomize` runs too.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder

import sweep_children  # type: ignore[import-not-found]  # next to this file
import sweep_event_files  # type: ignore[import-not-found]
import sweep_wandb  # type: ignore[import-not-found]

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would slow down every Python process of a script
    from typing import Any

_SEPARATED = "SWEEP_SEPARATED_RANK"
"""Environment variable that a rank whose stdout was separated passes to its child processes."""


def _run_own() -> None:
    """Run the `sitecustomize` that Python would have loaded: it loads only one."""
    here = os.path.dirname(os.path.abspath(__file__))
    path = [place for place in sys.path if os.path.abspath(place) != here]
    spec = PathFinder.find_spec("sitecustomize", path)
    if spec is not None and spec.loader is not None:
        from importlib.util import module_from_spec

        spec.loader.exec_module(module_from_spec(spec))


def _write_whole_lines() -> None:
    """Print each line with one write, so that lines of several processes do not mix."""
    streams: Any = (sys.stdout, sys.stderr)
    for stream in streams:
        try:  # noqa: SIM105 - importing contextlib takes time
            stream.reconfigure(line_buffering=True, write_through=False)
        except Exception:  # noqa: BLE001 - it is closed, or of another type
            pass


def _separate_other_ranks() -> None:
    """Keep apart what this process prints and logs if it is not rank 0 of a distributed training.

    It prints to stderr, from which no JSON lines are read, and its W&B run is not the trial's. Its child
    processes inherit both, and their own stdout is left alone: the rank may read it. Nothing that a worker of
    another rank than 0 prints is read.
    """
    rank = sweep_event_files.other_rank()
    run = os.environ.get("WANDB_RUN_ID", "rank")
    if rank:
        if os.environ.get("SWEEP_RANK", "0") == "0" and os.environ.get(_SEPARATED) != str(rank):
            os.dup2(2, 1)
            os.environ[_SEPARATED] = str(rank)
        if not run.startswith("rank"):  # as in a child process
            os.environ["WANDB_RUN_ID"] = ("rank%d-%s" % (rank, run))[:64]  # noqa: UP031


sweep_event_files.trial_of_script = os.environ.get("SWEEP_TRIAL_DIR", "")
sweep_event_files.MODULES.update(sweep_wandb.modules())
sweep_event_files.MODULES.update(sweep_children.keep_variables())
sweep_event_files.install()
if sweep_event_files.trial_of_script:
    _separate_other_ranks()
    _write_whole_lines()
_run_own()
