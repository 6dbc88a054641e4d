"""Hyperparameter sweeps with Optuna's samplers, Ray's workers and TensorBoard's HParams tab.

    import sweep

    def train(trial):
        lr = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
        return (lr - 0.01) ** 2

    result = sweep.run(train, name="demo", n_trials=20)
    print(result.best_params)

`import sweep` is cheap: each public name is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sweep.system import libraries as _libraries

if TYPE_CHECKING:
    from optuna import TrialPruned as TrialPruned

    from sweep.api import run as run
    from sweep.callbacks import Callback as Callback
    from sweep.errors import InputError as InputError
    from sweep.errors import SweepError as SweepError
    from sweep.result import SweepResult as SweepResult
    from sweep.result import load as load
    from sweep.sweepfile.model import SweepSpec as SweepSpec
    from sweep.trial.channel import Interrupted as Interrupted
    from sweep.trial.params import Params as Params
    from sweep.trial.reporting import report as report
    from sweep.trial.trial import Trial as Trial

    __version__: str

_MODULES = {
    "Callback": "sweep.callbacks",
    "InputError": "sweep.errors",
    "Interrupted": "sweep.trial.channel",
    "Params": "sweep.trial.params",
    "SweepError": "sweep.errors",
    "SweepResult": "sweep.result",
    "SweepSpec": "sweep.sweepfile.model",
    "Trial": "sweep.trial.trial",
    "TrialPruned": "optuna",
    "load": "sweep.result",
    "report": "sweep.trial.reporting",
    "run": "sweep.api",
}
__all__ = list(_MODULES)
_libraries.install()


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("sweep-hpo")
    if name not in _MODULES:
        raise AttributeError(f"module 'sweep' has no attribute {name!r}")
    return getattr(_libraries.import_own(_MODULES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
