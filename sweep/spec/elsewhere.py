"""Words of other tools (Optuna, Ray Tune, Hydra, W&B) in a sweep file, and what is written for them here.

What is merely alike would mislead who comes from there: `n_trials` is like none of our keys, `low` is like
`log`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sweep.errors import suggestion
from sweep.spec.types import is_sound, show

_COUNTS = ("n_trials", "num_trials", "max_trials", "num_samples")
_TRIALS = "stop: {{trials: {}}}"
_AT_ONCE = "max_parallel: {}"
_NAME = "name: {}"
_SPACE = "parameters: {{lr: {{min: 1e-4, max: 1e-1, log: true}}}}"
_TIME = "stop: {{hours: 2}} for the whole sweep, or trial: {{timeout: 30m}} for each trial"
_RETRIES = "trial: {{retries: {}}}"

_WORDS: dict[str, dict[str, str]] = {
    "SweepSpec": {
        **dict.fromkeys(
            ("n_trials", "num_trials", "max_trials", "num_samples", "trials", "run_cap"), _TRIALS
        ),
        **dict.fromkeys(("n_jobs", "max_concurrent_trials", "max_concurrent", "num_workers"), _AT_ONCE),
        **dict.fromkeys(("study_name", "experiment_name"), _NAME),
        **dict.fromkeys(("space", "search_space", "param_space", "params", "config"), _SPACE),
        **dict.fromkeys(("timeout", "time_budget_s", "time_budget"), _TIME),
        **dict.fromkeys(("max_failures", "max_retries"), _RETRIES),
        **dict.fromkeys(("direction", "mode", "goal"), "metric: {{name: {metric}, goal: {}}}"),
        "directions": "metrics: [{{name: val/loss, goal: minimize}}, {{name: ms, goal: minimize}}]",
        "seed": "sampler: {{type: tpe, seed: {}}}",
        **dict.fromkeys(("search_alg", "algorithm"), "sampler: {{type: tpe}}"),
        **dict.fromkeys(("scheduler", "early_terminate", "early_stopping"), "pruner: {{type: asha}}"),
        "resources_per_trial": "resources: {{cpu: 1, gpu: 1}}",
        "script": "program: {}",
        "function": "objective: train.py:train",
        "callbacks": "callbacks=[...] where Python calls sweep.run",
    },
    "Metric": dict.fromkeys(("direction", "mode"), "goal: {}"),
    "Stop": {
        **dict.fromkeys(_COUNTS, "trials: {}"),
        **dict.fromkeys(("timeout", "time_budget_s", "time"), "hours: 2"),
        "patience": "plateau: {}",
    },
    "TrialRules": dict.fromkeys(("max_failures", "max_retries"), "retries: {}"),
}
_WORDS["ListedMetric"] = _WORDS["Metric"]
"""By the model, and by the word: what is to be written with its value."""

_NEEDLESS = {
    "load_if_exists": "the same command goes on with a sweep that is there",
    "gc_after_trial": "trial: {isolate: true} gives each trial a process of its own",
    "show_progress_bar": "there is one where the terminal can show it",
    "catch": "a trial that raises fails, and the sweep goes on",
}
_GOALS = {"min": "minimize", "max": "maximize"}

_OF_PARAMETERS = {
    **dict.fromkeys(("low", "lower", "minimum"), "min"),
    **dict.fromkeys(("high", "upper", "maximum"), "max"),
    **dict.fromkeys(("choices", "options", "categories", "grid_search"), "values"),
    **dict.fromkeys(("log_scale", "logscale"), "log"),
}
_MOST = 80
"""An entry that is longer is not written out in a message."""


def unknown(model: str, key: Any, entry: Mapping[Any, Any], keys: Iterable[str]) -> str:
    """What is said of a key that nobody knows here: what is written for it, or which key is like it.

    Args:
        model: the name of the class whose data it is in.
        key: the unknown one.
        entry: all of that data.
        keys: those that there are.
    """
    if model == "SweepSpec" and key in _NEEDLESS:
        return f"unknown key; leave it out: {_NEEDLESS[key]}"
    template = _WORDS.get(model, {}).get(key)
    if template is None:
        return f"unknown key; {suggestion(key, keys)}"
    value = entry[key]
    if template == _AT_ONCE and isinstance(value, int) and value < 1:  # Optuna's word for all cores is -1
        return "unknown key; leave it out: as many trials run at once as there is room for"
    text = _GOALS.get(value, value) if isinstance(value, str) and "goal" in template else _text(value)
    return f"unknown key; write {template.format(text, metric=_metric(entry.get('metric')))}"


def _metric(raw: Any) -> str:
    """The metric's name, or an example of one."""
    name = raw.get("name") if isinstance(raw, Mapping) else raw
    return name if isinstance(name, str) and name else "val/loss"


def unknown_of_parameter(key: Any, entry: Mapping[Any, Any], keys: Iterable[str]) -> str:
    """Like `unknown` for a parameter, which is written out as a whole if that is clear."""
    if key not in _OF_PARAMETERS and not (key == "type" and _OF_PARAMETERS.keys() & entry.keys()):
        return f"unknown key; {suggestion(key, keys)}"
    renamed = {_OF_PARAMETERS.get(name, name): value for name, value in entry.items() if name != "type"}
    kind = entry.get("type")
    number = {"float": float, "int": int}.get(kind) if isinstance(kind, str) else None
    shown = {
        name: number(value) if number and name in ("min", "max") and _is_number(value) else value
        for name, value in renamed.items()
    }
    text = ", ".join(f"{name}: {_text(value)}" for name, value in shown.items())
    if renamed.keys() <= set(keys) and len(renamed) == len(entry) - ("type" in entry) and len(text) < _MOST:
        return f"unknown key; write {{{text}}}"
    if key == "type":
        return "unknown key; leave it out: whole bounds are for whole numbers, others for floats"
    return f"unknown key; write {_OF_PARAMETERS[key]!r}"


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, (int, float)) and is_sound(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) and len(value) < _MOST else show(value)
