"""How many threads numeric libraries use: what the user has set, otherwise a trial's share of the cores."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

import psutil

_GENERAL = "OMP_NUM_THREADS"
_VARIABLES = (_GENERAL, "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""NumPy, torch and others read these once, when they are imported."""


def chosen_threads(env: Mapping[str, str]) -> dict[str, str]:
    """The variables that the user has set: in the environment of this process, or in the sweep file.

    Args:
        env: the sweep file's `env`. Values for scripts can contain macros, which differ by trial.
    """
    return {name: value for name, value in {**os.environ, **env}.items() if name in _VARIABLES}


def late_variables(env: Mapping[str, str]) -> str:
    """A note if the sweep file sets variables that this process has already read; empty if not."""
    names = ", ".join(sorted(env.keys() & {*_VARIABLES}))
    if not names or "numpy" not in sys.modules:
        return ""
    return (
        f"env: {names}: numpy is imported already, and keeps its threads in this process; set the variable "
        "in the shell instead"
    )


def thread_variables(share: int, chosen: Mapping[str, str]) -> dict[str, str]:
    """The variables for a process with this share of the cores, unless the user has set some of them."""
    return {} if chosen else dict.fromkeys(_VARIABLES, str(share))


def set_threads(share: int, chosen: Mapping[str, str]) -> None:
    """Set the variables of a worker's process, before it imports a numeric library.

    If the user has set the general variable, the others are left alone: libraries prefer their own variable
    (torch prefers MKL's), and use the general one without it.

    Args:
        share: a trial's share of the cores.
        chosen: the variables that the user has set where the sweep was started. Those that were set where
            Ray was started count too.
    """
    # os.environ also has what Ray has set: OMP_NUM_THREADS for each of its workers.
    of_machine = psutil.Process().environ()
    chosen = {name: value for name, value in {**of_machine, **chosen}.items() if name in _VARIABLES}
    for name in _VARIABLES:
        if name in chosen and "${" not in chosen[name]:
            os.environ[name] = chosen[name]
        elif name in chosen or _GENERAL in chosen:
            os.environ.pop(name, None)
        else:
            os.environ[name] = str(share)
