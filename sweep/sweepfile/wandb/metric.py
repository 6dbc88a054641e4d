"""W&B's `metric` and `early_terminate`."""

from __future__ import annotations

from typing import Any

from sweep.errors import suggestion
from sweep.sweepfile.command import EXIT_STATUS
from sweep.sweepfile.types import short_repr
from sweep.sweepfile.wandb.values import DialectError, join_names, number, positive_integer

METRIC_KEYS = ("name", "goal", "target", "impute", "impute_while_running")
_HYPERBAND_KEYS = ("type", "min_iter", "max_iter", "s", "eta", "strict")


def read_metric(metric: Any, method: str, notes: list[str]) -> tuple[dict[str, Any], int | float | None]:
    """The metric of a W&B file.

    Args:
        metric: W&B's `metric`, None if the file has none.
        method: W&B's `method`.
        notes: receives hints for the author of the file.

    Returns:
        the metric as in our sweep file, and its target.

    Raises:
        DialectError: W&B would reject the metric.
    """
    if metric is None:
        if method == "bayes":
            raise DialectError(
                ("metric",), "is missing, and bayes needs it; write metric: {name: val_loss, goal: minimize}"
            )
        notes.append("no metric: the script's exit status decides, and 0 is complete")
        return {"name": EXIT_STATUS, "goal": "minimize"}, None
    if not isinstance(metric, dict):
        raise DialectError(
            ("metric",), f"expected {{name: val_loss, goal: minimize}}, got {short_repr(metric)}"
        )
    for key in metric:
        if key not in METRIC_KEYS:
            raise DialectError(("metric", key), f"unknown key; {suggestion(key, METRIC_KEYS)}")
    ignored = [f"metric.{key}" for key in metric if key.startswith("impute")]
    if ignored:
        notes.append(f"{join_names(ignored)}: ignored; failed trials do not influence the search")
    target = metric.get("target")
    return (
        {"goal": "minimize", **{key: value for key, value in metric.items() if key in ("name", "goal")}},
        None if target is None else number(target, ("metric", "target")),
    )


def read_early_terminate(raw: Any, has_metric: bool) -> dict[str, Any]:
    """W&B's `early_terminate` as our pruner `bands`.

    Raises:
        DialectError: W&B would reject it.
    """
    path = ("early_terminate",)
    if not isinstance(raw, dict):
        raise DialectError(path, f"expected {{type: hyperband, min_iter: 3}}, got {short_repr(raw)}")
    for key in raw:
        if key not in _HYPERBAND_KEYS:
            raise DialectError((*path, key), f"unknown key; {suggestion(key, _HYPERBAND_KEYS)}")
    if raw.get("type") != "hyperband":
        raise DialectError((*path, "type"), f"{short_repr(raw.get('type'))} is not known; write hyperband")
    if not has_metric:
        raise DialectError(path, "needs a metric; write metric: {name: val_loss, goal: minimize}")
    found: dict[str, Any] = {"type": "bands"}
    for key in ("max_iter", "s") if raw.get("max_iter") is not None else ("min_iter",):
        if raw.get(key) is None:
            needed = "min_iter, or max_iter and s" if key == "min_iter" else "s with max_iter"
            raise DialectError(path, f"needs {needed}; write for example {key}: 3")
        found[key] = positive_integer(raw[key], (*path, key))
    if raw.get("eta") is not None:
        found["eta"] = number(raw["eta"], (*path, "eta"))
    if raw.get("strict") is not None:
        found["strict"] = raw["strict"]
    return found
