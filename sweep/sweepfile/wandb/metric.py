"""Translates W&B's `metric` and `early_terminate` to our sweep file."""

from __future__ import annotations

from typing import Any

from sweep.sweepfile.command import EXIT_STATUS
from sweep.sweepfile.types import short_repr
from sweep.sweepfile.wandb.values import WandbFileError, join_names, number, plain

METRIC_KEYS = ("name", "goal", "target", "impute", "impute_while_running")


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
    if not isinstance(metric, dict):
        return metric, None
    ignored = [f"metric.{key}" for key in metric if key in METRIC_KEYS[3:]]
    if ignored:
        notes.append(f"{join_names(ignored)}: ignored; failed trials do not influence the search")
    target = metric.get("target")
    ours = {key: value for key, value in metric.items() if key not in METRIC_KEYS[2:]}
    return {"goal": "minimize", **ours}, None if target is None else number(target, ("metric", "target"))


def read_early_terminate(raw: Any, has_metric: bool) -> dict[str, Any]:
    """W&B's `early_terminate` as our pruner `bands`, whose model validates it.

    Raises:
        WandbFileError: it is not W&B's hyperband, or the file has no metric.
    """
    path = ("early_terminate",)
    if not isinstance(raw, dict):
        raise WandbFileError(path, f"expected {{type: hyperband, min_iter: 3}}, got {short_repr(raw)}")
    if raw.get("type") != "hyperband":
        raise WandbFileError((*path, "type"), f"{short_repr(raw.get('type'))} is not known; write hyperband")
    if not has_metric:
        raise WandbFileError(path, "needs a metric; write metric: {name: val_loss, goal: minimize}")
    unused = "s" if raw.get("max_iter") is None else "min_iter"
    return {**{key: plain(value) for key, value in raw.items() if key != unused}, "type": "bands"}
