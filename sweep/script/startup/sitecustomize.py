"""Runs at the start of every Python process of a script, and reads its settings from the environment.

The script is not changed, but Python's writers of event files are adapted (`sweep_event_files.py`). The child
processes of a function are treated in the same way.

W&B's package is kept from sending anything: `mode="online"` in a script would override `WANDB_MODE`, and
`wandb.sweep` and `wandb.agent` have no mode. The sweep replaces them: an agent calls its function once.

Only the standard library is used, because the script can run in any Python environment. The
environment's own `sitecustomize` runs too.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder

from sweep_event_files import MODULES, install  # type: ignore[import-not-found]  # next to this file

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would slow down every Python process of a script
    from typing import Any

_ONLINE = ("online", "shared", "run")
_has_warned = False


def _keep_offline(cls: Any) -> None:
    """Keep the mode offline in W&B's settings, to which `init`, `setup` and the environment write."""
    initialise, set_attribute = cls.__init__, cls.__setattr__

    def __init__(self: Any, *args: Any, **values: Any) -> None:
        initialise(self, *args, **{name: _offline(name, value) for name, value in values.items()})

    def __setattr__(self: Any, name: str, value: Any) -> None:
        set_attribute(self, name, _offline(name, value))

    cls.__init__, cls.__setattr__ = __init__, __setattr__


def _offline(name: str, value: Any) -> Any:
    global _has_warned
    if name != "mode" or value not in _ONLINE:
        return value
    if not _has_warned:
        _has_warned = True
        sys.stderr.write("sweep: wandb stays offline, although the script sets mode=%r\n" % value)  # noqa: UP031
    return "offline"


def _replace_sweep(module: Any) -> None:
    def sweep(*args: Any, **options: Any) -> str:
        return os.environ["WANDB_SWEEP_ID"]

    module.sweep = sweep


def _replace_agent(module: Any) -> None:
    def agent(sweep_id: Any, function: Any = None, *args: Any, **options: Any) -> None:
        if function is None:
            raise RuntimeError("the sweep replaces wandb.agent: pass a function to it, or remove the call")
        sys.stderr.write("sweep: wandb.agent calls its function once, with the parameters of this trial\n")
        function()

    module.agent = agent


if os.environ.get("WANDB_MODE") == "offline":  # unless the sweep file's `env` sets another mode
    MODULES["wandb.sdk.wandb_settings"] = lambda module: _keep_offline(module.Settings)
    MODULES["wandb.sdk.wandb_sweep"] = _replace_sweep
    MODULES["wandb.wandb_agent"] = _replace_agent


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


if "SWEEP_TRIAL_DIR" in os.environ:
    install()
    _write_whole_lines()
_run_own()
