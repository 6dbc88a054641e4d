"""Keeps W&B's package offline in a script, whatever the script does to its environment.

`WANDB_MODE=offline` is not enough: scripts pass `mode="online"`, or remove the variables of a W&B agent from
their environment, and `wandb.Api`, `wandb.sweep` and `wandb.agent` have no mode. So the mode and the server
are held in W&B's settings, from which all of these read them. `wandb.Api` raises an error, and
`wandb.sweep` and `wandb.agent` are replaced: an agent calls its function once.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would slow down every Python process of a script
    from collections.abc import Callable
    from typing import Any

_ONLINE = ("online", "shared", "run")
_NO_SERVER = "http://127.0.0.1:9"
"""An address at which no server listens (the discard port)."""
_KEPT = {
    "WANDB_MODE": "offline",
    "WANDB_DIR": os.environ.get("SWEEP_TRIAL_DIR"),
    "WANDB_SILENT": "true",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_X_TRANSACTION_LOG_FLUSH_INTERVAL": "1",
}
"""Variables that apply even if the script removes them, and their values if they were removed before this
process started. Those of the trial's run can be removed: other runs do not have its id."""
_NO_ACCESS = (
    "a sweep keeps wandb offline, and %s needs its server: use it before or after the sweep, or write "
    "env: {WANDB_MODE: online} in the sweep file"
)
_has_warned = False


def modules() -> dict[str, Callable[[Any], None]]:
    """W&B's modules that are adapted when they are imported.

    There are none if the sweep file's `env` sets an online mode, and in the child processes of a function.
    """
    mode = os.environ.get("SWEEP_WANDB_MODE")
    if mode in _ONLINE or (mode is None and "SWEEP_TRIAL_DIR" in os.environ):
        return {}
    kept = {name: os.environ.get(name, value) for name, value in _KEPT.items()}
    kept["WANDB_MODE"] = "offline" if kept["WANDB_MODE"] in _ONLINE else kept["WANDB_MODE"]
    sweep_id = os.environ.get("WANDB_SWEEP_ID", "sweep")
    return {
        "wandb.sdk.wandb_settings": lambda module: _keep_offline(module.Settings, kept),
        "wandb.env": _keep_errors,
        "wandb.apis.public.api": lambda module: _refuse(module.Api, "__init__", "wandb.Api"),
        "wandb.sdk.lib.wbauth": lambda module: _refuse(module, "authenticate_session", "logging in"),
        "wandb.sdk.wandb_sweep": lambda module: _replace_sweep(module, sweep_id),
        "wandb.wandb_agent": _replace_agent,
    }


def _keep_offline(cls: Any, kept: dict[str, str | None]) -> None:
    """Keep the mode and the server in W&B's settings, to which `init`, `setup` and the environment write."""
    initialise, set_attribute = cls.__init__, cls.__setattr__

    def __init__(self: Any, *args: Any, **values: Any) -> None:
        initialise(self, *args, **{name: _offline(name, value) for name, value in values.items()})
        for name, value in (("mode", kept["WANDB_MODE"]), ("base_url", _NO_SERVER)):
            if name not in values:
                self.__dict__[name] = value  # a default; assigning it would override other settings

    def __setattr__(self: Any, name: str, value: Any) -> None:
        set_attribute(self, name, _offline(name, value))

    cls.__init__, cls.__setattr__ = __init__, __setattr__
    update = cls.update_from_env_vars

    def update_from_env_vars(self: Any, environ: Any, *args: Any, **options: Any) -> None:
        update(self, {**kept, **environ}, *args, **options)

    cls.update_from_env_vars = update_from_env_vars


def _offline(name: str, value: Any) -> Any:
    """A setting, with which nothing is sent."""
    global _has_warned
    if name == "base_url":
        return _NO_SERVER
    if name != "mode" or value not in _ONLINE:
        return value
    if not _has_warned:
        _has_warned = True
        sys.stderr.write("sweep: wandb stays offline, although the script sets mode=%r\n" % value)  # noqa: UP031
    return "offline"


def _keep_errors(module: Any) -> None:
    """Keep W&B's service from sending reports of its own errors."""
    module.error_reporting_enabled = lambda: False


def _refuse(owner: Any, name: str, what: str) -> None:
    """Replace a function that would try for minutes to reach the server."""

    def refuse(*args: Any, **options: Any) -> None:
        from wandb.errors import CommError

        raise CommError(_NO_ACCESS % what)

    setattr(owner, name, refuse)


def _replace_sweep(module: Any, sweep_id: str) -> None:
    def sweep(*args: Any, **options: Any) -> str:
        sys.stderr.write("sweep: wandb.sweep creates no W&B sweep; the sweep file has the search space\n")
        return sweep_id

    module.sweep = sweep


def _replace_agent(module: Any) -> None:
    def agent(sweep_id: Any, function: Any = None, *args: Any, **options: Any) -> None:
        if function is None:
            raise RuntimeError("the sweep replaces wandb.agent: pass a function to it, or remove the call")
        sys.stderr.write("sweep: wandb.agent calls its function once, with the parameters of this trial\n")
        function()

    module.agent = agent
