"""sweep: hyperparameter sweeps with Optuna's samplers, Ray's workers and TensorBoard's HParams tab.

Importing it is cheap: each public name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna import TrialPruned

    from sweep.api import run
    from sweep.callbacks import Callback
    from sweep.errors import InputError, SweepError
    from sweep.result import SweepResult, load
    from sweep.sweepfile import SweepSpec
    from sweep.trial.channel import Interrupted
    from sweep.trial.params import Params
    from sweep.trial.reporting import report
    from sweep.trial.trial import Trial

__all__ = [
    "Callback",
    "InputError",
    "Interrupted",
    "Params",
    "SweepError",
    "SweepResult",
    "SweepSpec",
    "Trial",
    "TrialPruned",
    "load",
    "report",
    "run",
]

_HOMES = {
    "Callback": "sweep.callbacks",
    "InputError": "sweep.errors",
    "Interrupted": "sweep.trial.channel",
    "Params": "sweep.trial.params",
    "SweepError": "sweep.errors",
    "SweepResult": "sweep.result",
    "SweepSpec": "sweep.sweepfile",
    "Trial": "sweep.trial.trial",
    "TrialPruned": "optuna",
    "load": "sweep.result",
    "report": "sweep.trial.reporting",
    "run": "sweep.api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sweep' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
