"""Words of other tools (Optuna, Ray Tune, Hydra, W&B) in a sweep file or a call, and what is written for them
here.

What is merely alike would mislead who comes from there: `n_trials` is like none of our keys, `low` is like
`log`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sweep.errors import suggestion
from sweep.sweepfile.types import Scalar, is_sound, show

_GIVEN = ...
"""Stands for what was given with the word."""
_METRIC = "val/loss"
"""Stands for the metric's name, if it has one."""
_AT_ONCE = {"max_parallel": _GIVEN}

_TABLE: list[tuple[str, dict[str, Any] | str]] = [
    ("n_trials ntrials num_trials max_trials num_samples trials run_cap", {"stop": {"trials": _GIVEN}}),
    ("timeout time_budget_s time_budget time", {"stop": {"hours": 2}, "trial": {"timeout": "30m"}}),
    ("patience", {"stop": {"plateau": _GIVEN}}),
    ("max_failures max_retries", {"trial": {"retries": _GIVEN}}),
    ("n_jobs max_concurrent_trials max_concurrent num_workers", _AT_ONCE),
    ("study_name experiment_name", {"name": _GIVEN}),
    (
        "space search_space param_space params config",
        {"parameters": {"lr": {"min": 1e-4, "max": 1e-1, "log": True}}},
    ),
    ("direction mode goal", {"metric": {"name": _METRIC, "goal": _GIVEN}}),
    (
        "directions",
        {"metrics": [{"name": _METRIC, "goal": "minimize"}, {"name": "ms", "goal": "minimize"}]},
    ),
    ("seed", {"sampler": {"type": "tpe", "seed": _GIVEN}}),
    ("search_alg algorithm", {"sampler": {"type": "tpe"}}),
    ("scheduler early_terminate early_stopping", {"pruner": {"type": "asha"}}),
    ("resources_per_trial", {"resources": {"cpu": 1, "gpu": 1}}),
    ("script", {"program": _GIVEN}),
    ("function", {"objective": "train.py:train"}),
    ("callbacks", "sweep.run takes them, in Python"),
    ("load_if_exists", "a sweep of the same name that is there goes on"),
    ("gc_after_trial", "trial.isolate gives each trial a process of its own"),
    ("show_progress_bar", "there is one on a terminal, and wherever sweep.run is given progress=True"),
    ("catch", "a trial that raises fails, and the sweep goes on"),
]
"""Words, and what a sweep file has instead, each entry an alternative; or why nothing is needed."""
_INSTEAD = {word: found for words, found in _TABLE for word in words.split()}

_FOR = {"stop": "the whole sweep", "trial": "each trial"}
"""What alternatives are for."""
_PLACES = {
    "SweepSpec": None,
    "Metric": "metric",
    "ListedMetric": "metric",
    "Stop": "stop",
    "TrialRules": "trial",
}
"""The models with such words, and where they stand in a sweep file."""
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
    return instead(model, key, entry) or f"unknown key; {suggestion(key, keys)}"


def instead(
    model: str, key: Any, entry: Mapping[Any, Any], arguments: Mapping[str, str] | None = None
) -> str | None:
    """What is written here for a word of other tools; None if it is none.

    Args:
        model: the name of the class whose data it is in.
        key: the word.
        entry: all of that data.
        arguments: of the call that has it, by what they stand for in a sweep file where their names differ
            (`stop.trials`: `n_trials`); None if a file has it.
    """
    found = _INSTEAD.get(key) if model in _PLACES else None
    place = _PLACES.get(model)
    if isinstance(found, dict) and place is not None:
        found = {name: value for name, value in found.get(place, {}).items() if name not in entry}
    if not found or (isinstance(found, str) and place is not None):
        return None
    given = entry[key]
    if found == _AT_ONCE and isinstance(given, int) and given < 1:  # Optuna's word for all cores is -1
        found = "as many trials run at once as there is room for"
    if isinstance(found, str):
        return f"unknown key; leave it out: {found}"
    filled = _fill(found, given, _metric(entry.get("metric")))
    if arguments is None:
        written = {name: f"{name}: {_as_yaml(value)}" for name, value in filled.items()}
    elif place is None:
        written = {name: _as_argument(name, value, arguments) for name, value in filled.items()}
    else:
        written = {name: f"{_as_python(name)}: {_as_python(value)}" for name, value in filled.items()}
    if place is None and len(written) > 1:
        written = {name: f"{text} for {_FOR[name]}" for name, text in written.items()}
    return f"unknown key; write {(', or ' if place is None else ', ').join(written.values())}"


def _fill(example: Any, given: Any, metric: str) -> Any:
    """An example with what was given, if it can be written in a message."""
    if isinstance(example, dict):
        goal = _GOALS.get(given, given) if isinstance(given, str) else given
        return {
            name: _fill(value, goal if name == "goal" else given, metric) for name, value in example.items()
        }
    if isinstance(example, list):
        return [_fill(value, given, metric) for value in example]
    if example is _GIVEN and isinstance(given, Scalar) and is_sound(given) and len(str(given)) < _MOST:
        return given
    return metric if example == _METRIC else example


def _metric(raw: Any) -> str:
    """The metric's name, or an example of one."""
    name = raw.get("name") if isinstance(raw, Mapping) else raw
    return name if isinstance(name, str) and name else _METRIC


def _as_argument(name: str, value: Any, arguments: Mapping[str, str]) -> str:
    """An entry of a sweep file as an argument of a call."""
    for entry, argument in arguments.items():
        first, _, key = entry.partition(".")
        if first == name and (not key or key in value):
            return f"{argument}={_as_python(value[key] if key else value)}"
    return f"{name}={_as_python(value)}"


def _as_python(value: Any) -> str:
    if isinstance(value, dict):
        return (
            "{" + ", ".join(f"{_as_python(name)}: {_as_python(inner)}" for name, inner in value.items()) + "}"
        )
    if isinstance(value, list):
        return f"[{', '.join(map(_as_python, value))}]"
    if value is _GIVEN:
        return "..."
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _as_yaml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_as_yaml(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_as_yaml, value))}]"
    return "..." if value is _GIVEN else _text(value)


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
