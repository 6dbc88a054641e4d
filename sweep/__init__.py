"""sweep: hyperparameter sweeps with Optuna's samplers, Ray's workers and TensorBoard's HParams tab.

Importing it is cheap: each public name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna import TrialPruned

    from sweep.api import SweepResult, run
    from sweep.errors import InputError, SweepError
    from sweep.reporting import report
    from sweep.spec import SweepSpec
    from sweep.trial import Trial

__all__ = ["InputError", "SweepError", "SweepResult", "SweepSpec", "Trial", "TrialPruned", "report", "run"]

_HOMES = {
    "InputError": "sweep.errors",
    "SweepError": "sweep.errors",
    "SweepResult": "sweep.api",
    "SweepSpec": "sweep.spec",
    "Trial": "sweep.trial",
    "TrialPruned": "optuna",
    "report": "sweep.reporting",
    "run": "sweep.api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sweep' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
