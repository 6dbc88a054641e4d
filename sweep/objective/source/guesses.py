"""What names and defaults let one guess of a parameter's values, and of a metric's goal."""

from __future__ import annotations

import re
from typing import Any, Literal

Goal = Literal["maximize", "minimize"]

_BETTER: dict[Goal, tuple[str, ...]] = {
    "minimize": (
        *(
            "loss",
            "error",
            "err",
            "perplexity",
            "ppl",
            "rmse",
            "mse",
            "mae",
            "nll",
            "bpc",
            "wer",
            "cer",
            "fid",
        ),
        *("cost", "latency", "regret", "divergence", "distance"),
    ),
    "maximize": (
        *("acc", "accuracy", "auc", "auroc", "f1", "score", "reward", "precision", "recall", "iou", "dice"),
        *("bleu", "rouge", "psnr", "ssim", "r2", "top1", "top5", "map"),
    ),
}
_VALIDATION = ("val", "valid", "validation", "eval", "dev", "test")


def words(name: str) -> list[str]:
    """The words of a name: `val/topAccuracy` has val, top, accuracy."""
    return re.sub(r"([a-z])([A-Z])", r"\1 \2", re.sub(r"[^A-Za-z0-9]+", " ", name)).lower().split()


def goal_of(metric: str) -> Goal | None:
    """Which way a metric of this name is better, None if the name does not say."""
    for word in reversed(words(metric)):
        for goal, known in _BETTER.items():
            if word in known or any(len(one) > 3 and word.endswith(one) for one in known):
                return goal
    return None


def rank(metric: str) -> tuple[bool, bool, bool]:
    """Sorts names of metrics: the one most likely to be optimised first."""
    found = words(metric)
    return goal_of(metric) is None, not any(word in _VALIDATION for word in found), "train" in found


_FIXED = {
    *("epoch", "epochs", "steps", "iterations", "iters", "seed", "workers", "device", "gpus", "port", "rank"),
    *("interval", "every", "verbose", "debug", "resume", "save", "path", "dir", "folder", "file", "data"),
    *(
        "dataset",
        "output",
        "out",
        "input",
        "checkpoint",
        "project",
        "entity",
        "tag",
        "version",
        "test",
        "eval",
    ),
}
"""Words of what is rarely searched."""
_SHARE = {
    "momentum",
    "dropout",
    "dropouts",
    "prob",
    "probability",
    "ratio",
    "gamma",
    "beta",
    "beta1",
    "rho",
    "smoothing",
}
_LOGARITHMIC = {"lr", "wd", "decay", "reg", "eps", "epsilon", "rate", "lambda", "l1", "l2", "penalty", "tol"}
_BY_NAME: tuple[tuple[set[str], dict[str, Any]], ...] = (
    ({"batch"}, {"values": [16, 32, 64, 128]}),
    ({"optimizer", "optim", "opt"}, {"values": ["sgd", "adamw"]}),
    ({"activation", "act"}, {"values": ["relu", "gelu"]}),
    ({"layers", "depth", "blocks", "heads"}, {"min": 1, "max": 4}),
    (
        {"width", "hidden", "units", "dim", "size", "channels", "filters"},
        {"min": 16, "max": 256, "log": True},
    ),
    ({"decay", "wd", "reg", "l1", "l2", "lambda", "eps"}, {"min": 1e-6, "max": 1e-2, "log": True}),
    (_SHARE, {"min": 0.0, "max": 0.9}),
    (_LOGARITHMIC, {"min": 1e-5, "max": 1e-1, "log": True}),
)


def is_fixed(name: str) -> bool:
    """Whether a parameter of this name is rarely searched: epochs, paths, seeds."""
    return bool(_FIXED & set(words(name)))


def by_name(name: str) -> Any:
    """Values for a parameter of which nothing but its name is known."""
    found = set(words(name))
    if is_fixed(name):
        return (
            10
            if found & {"epoch", "epochs", "steps", "iterations", "iters"}
            else 0
            if "seed" in found
            else None
        )
    return next((dict(values) for known, values in _BY_NAME if known & found), {"min": 0.0, "max": 1.0})


def around(name: str, default: Any) -> Any:
    """Values around a default: floats over two decades, whole numbers from half of it to twice as much; what
    cannot be searched, or rarely is, stays as it is."""
    if isinstance(default, bool):
        return {"values": [True, False], "default": default}
    if isinstance(default, (list, dict)):
        return {"value": default}
    if is_fixed(name) or not isinstance(default, (int, float)):
        return default
    if isinstance(default, int):
        return (
            {"min": max(1, default // 2), "max": default * 2, "default": default} if default > 0 else default
        )
    found = set(words(name))
    if found & _SHARE and 0 <= default < 1:
        return {"min": 0.0, "max": max(0.95, default), "default": default}
    if default > 0:
        return {"min": _short(default / 10), "max": _short(default * 10), "log": True, "default": default}
    if default < 0:
        return {"min": _short(default * 2), "max": _short(default / 2), "default": default}
    return {"min": 0.0, "max": 0.1 if found & _LOGARITHMIC else 1.0, "default": default}


def _short(value: float) -> float:
    """Without the last digits of a computation: 0.0003 * 10 is 0.003."""
    return float(f"{value:.6g}")
