"""Translates W&B's `metric` and `early_terminate` to our sweep file."""

from __future__ import annotations

from typing import Any

from sweep.sweepfile.command import EXIT_STATUS
from sweep.sweepfile.types import short_repr
from sweep.sweepfile.wandb.values import WandbFileError, join_names, number, plain

METRIC_KEYS = ("name", "goal", "target", "impute", "impute_while_running")
_HYPERBAND_KEYS = ("type", "min_iter", "max_iter", "s", "eta", "strict")


def read_metric(metric: Any, method: str, notes: list[str]) -> tuple[Any, int | float | None]:
    """Translate the metric of a W&B file.

    Args:
        metric: W&B's `metric`, None if the file has none.
        method: W&B's `method`.
        notes: receives hints for the author of the file.

    Returns:
        the metric as in our sweep file, and its target.

    Raises:
        WandbFileError: the metric is missing although the method needs it, or the target is not a number.
    """
    if metric is None:
        if method == "bayes":
            raise WandbFileError(
                ("metric",), "is missing, and bayes needs it; write metric: {name: val_loss, goal: minimize}"
            )
        notes.append("no metric: a trial is complete if its script exits with status 0")
        return {"name": EXIT_STATUS, "goal": "minimize"}, None
    if isinstance(metric, str) and method != "bayes":
        notes.append(
            f"metric: has no name and goal, and W&B ignores it; read as {{name: {metric}, goal: minimize}}"
        )
        metric = {"name": metric}
    if not isinstance(metric, dict):
        return metric, None
    ignored = [f"metric.{key}" for key in metric if key in METRIC_KEYS[3:]]
    if ignored:
        notes.append(f"{join_names(ignored)}: ignored; failed trials do not influence the search")
    unknown = [f"metric.{key}" for key in metric if key not in METRIC_KEYS]
    if unknown:
        effect = "ignored here, but W&B's bayes rejects it" if method == "bayes" else "ignored"
        notes.append(f"{join_names(unknown)}: W&B's metric has no such key; {effect}")
    goal = "minimize" if metric.get("goal") is None else metric["goal"]
    if goal not in ("minimize", "maximize"):
        raise WandbFileError(
            ("metric", "goal"),
            f"{short_repr(goal)} is not a goal, and W&B minimizes then; write minimize or maximize",
        )
    target = metric.get("target")
    bound = None if target is None else number(target, ("metric", "target"))
    if metric.get("name") is None and method != "bayes":
        notes.append(
            "metric: has no name, and W&B ignores it: a trial is complete if its script exits with status 0"
        )
        return {"name": EXIT_STATUS, "goal": "minimize"}, None
    ours = {key: value for key, value in metric.items() if key == "name"}
    return {"goal": goal, **ours}, bound


def read_early_terminate(raw: Any, metric: Any, notes: list[str]) -> dict[str, Any]:
    """W&B's `early_terminate` as our pruner `bands`, whose model validates it.

    Args:
        raw: W&B's `early_terminate`.
        metric: W&B's `metric`, None if the file has none.
        notes: receives hints for the author of the file.

    Raises:
        WandbFileError: it is not W&B's hyperband.
    """
    path = ("early_terminate",)
    if not isinstance(raw, dict):
        raise WandbFileError(path, f"expected {{type: hyperband, min_iter: 3}}, got {short_repr(raw)}")
    if raw.get("type") != "hyperband":
        raise WandbFileError((*path, "type"), f"{short_repr(raw.get('type'))} is not known; write hyperband")
    unknown = [f"early_terminate.{key}" for key in raw if key not in _HYPERBAND_KEYS]
    if unknown:
        notes.append(f"{join_names(unknown)}: W&B's hyperband has no such key; ignored")
    options = {key: plain(raw[key]) for key in _HYPERBAND_KEYS if raw.get(key) is not None}
    unused = _without_bands(options) if metric is not None else "there is no metric"
    if unused:
        notes.append(f"early_terminate: W&B stops no trial with it, because {unused}; ignored")
        return {"type": "none"}
    without = "s" if "max_iter" not in options else "min_iter"
    return {"type": "bands", **{key: value for key, value in options.items() if key not in ("type", without)}}


def _without_bands(options: dict[str, Any]) -> str:
    """Why W&B's hyperband has no bands, at which it would stop trials; empty if it has some."""
    most, count, eta = options.get("max_iter"), options.get("s"), options.get("eta", 3)
    if most is None:
        return "" if "min_iter" in options else "it has neither min_iter, nor max_iter and s"
    if count is None:
        return "max_iter needs s, the number of bands below it"
    numbers = [value for value in (most, count, eta) if isinstance(value, int | float)]
    if len(numbers) == 3 and eta > 1 and (count < 1 or most < eta):
        return f"it has no band: max_iter is {most}, s is {count} and eta is {eta}"
    return ""
