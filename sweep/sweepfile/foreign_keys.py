"""Hints for keys of Optuna, Ray Tune, Hydra and W&B, for which the nearest spelling would be misleading."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from sweep.errors import nearest, suggestion
from sweep.sweepfile.types import python_literal
from sweep.sweepfile.yaml import write_yaml

# The entry of a sweep file that replaces each key; two entries are alternatives.
_ENTRIES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("n_trials", "n_trial", "ntrials", "num_trials", "trials", "max_trials", "num_samples", "run_cap"),
        ("stop.trials",),
    ),
    **dict.fromkeys(("timeout", "time_budget_s"), ("stop.time", "trial.timeout")),
    **dict.fromkeys(("n_jobs", "max_concurrent_trials", "max_concurrent"), ("max_parallel",)),
    **dict.fromkeys(("study_name", "experiment_name"), ("name",)),
    **dict.fromkeys(("search_space", "space", "param_space", "config"), ("parameters",)),
    **dict.fromkeys(("direction", "mode", "goal"), ("metric.goal",)),
    "seed": ("sampler.seed",),
    **dict.fromkeys(("scheduler", "early_terminate"), ("pruner",)),
    "grace_period": ("pruner.min_resource",),
    "max_t": ("pruner.max_resource",),
}
_EXAMPLES: dict[str, Any] = {"parameters": {"lr": {"min": 1e-4, "max": 1e-1, "log": True}}, "pruner": "asha"}
"""Values to show; all other entries keep the value of the foreign key."""
_SCOPES = {"stop.time": " for the whole sweep", "trial.timeout": " for each trial"}
_UNNEEDED = {
    "SweepSpec": {
        "callbacks": "sweep.run takes them, in Python",
        "gc_after_trial": "trial.isolate gives each trial a separate process",
        "catch": "a trial that raises fails, and the sweep continues",
    },
    "AshaPruner": {"max_t": "a trial ends when its objective does"},
}
_SECTIONS = {
    "SweepSpec": "",
    "Metric": "metric.",
    "ListedMetric": "metric.",
    "Stop": "stop.",
    "AshaPruner": "pruner.",
    "HyperbandPruner": "pruner.",
}
_PARAMETER_KEYS = {"low": "min", "lower": "min", "high": "max", "upper": "max", "choices": "values"}


def foreign_key_hint(
    model: str, key: Any, data: Mapping[Any, Any], arguments: Mapping[str, str] | None = None
) -> str | None:
    """What to write instead of the key of another tool; None for any other key.

    Args:
        model: the class name of the model that has no such key.
        key: the key.
        data: the mapping that has the key.
        arguments: for a call of `sweep.run`, its arguments by the entries they set; None for a file.
    """
    section = _SECTIONS.get(model)
    unneeded = _UNNEEDED.get(model, {})
    if key in unneeded:
        return f"leave it out: {unneeded[key]}"
    if section == "" and key == "n_jobs" and data[key] == -1:
        return "leave it out: as many trials as fit run at once"
    if section == "" and str(key).lower() == "method":
        return "a W&B file has method in small letters"
    hints = []
    for entry in _ENTRIES.get(key, ()):
        if section is None or not entry.startswith(section):
            continue
        value = _EXAMPLES.get(entry, data[key])
        if entry == "metric.goal" and isinstance(value, str):
            value = {"min": "minimize", "max": "maximize"}.get(value, value)
        name, _, below = entry.removeprefix(section).partition(".")
        argument = (arguments or {}).get(entry)
        if below and argument is None:
            present = data.get(name)
            value = {**(present if isinstance(present, Mapping) else {}), below: value}
        python = (f'"{name}": ' if section else f"{argument or name}=") + python_literal(value)
        text = _yaml(name, value) if arguments is None else python
        hints.append(text if section else text + _SCOPES.get(entry, ""))
    return f"write {', or '.join(hints)}" if hints else None


def parameter_key_error(key: Any, data: Mapping[Any, Any], keys: Iterable[str]) -> str:
    """The message about an unknown key of a parameter; for Optuna's keys it shows the rewritten parameter."""
    text = str(key)
    if data[key] is None and ":" in text:
        return "unknown key; write a space after ':'"
    if data[key] is None and (text.isdigit() or text.endswith((")", "]"))):
        return (
            "unknown key: a comma ends an entry; write numbers without one, and put text with one in quotes"
        )
    keys = list(keys)
    if isinstance(data[key], Mapping) and not set(keys) & data.keys() and nearest(key, keys) is None:
        return f"unknown key; for a group write {{{_yaml('parameters', dict(data))}}}"
    if key not in _PARAMETER_KEYS and not (key == "type" and _PARAMETER_KEYS.keys() & data.keys()):
        return f"unknown key; {suggestion(key, keys)}"
    renamed = {_PARAMETER_KEYS.get(name, name): value for name, value in data.items() if name != "type"}
    if len(renamed) < len(data.keys() - {"type"}) or not renamed.keys() <= set(keys):
        return f"unknown key; {'leave it out' if key == 'type' else f'write {_PARAMETER_KEYS[key]!r}'}"
    if data.get("type") == "float":
        renamed = {
            key: float(value) if type(value) is int and abs(value) < 2**63 else value
            for key, value in renamed.items()
        }
    return f"unknown key; write {{{', '.join(_yaml(name, value) for name, value in renamed.items())}}}"


def _yaml(name: str, value: Any) -> str:
    """An entry as YAML on one line; "..." replaces a value that is too long or not plain data."""
    try:
        text = write_yaml({name: value}, flow=True).strip()[1:-1]
    except (yaml.YAMLError, ValueError):
        return f"{name}: ..."
    return text if len(text) <= 80 else f"{name}: ..."
