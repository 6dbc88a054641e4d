"""What a shell completes: sweep names, trial numbers, kinds of plots. Reads only directory listings."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from typer import Context

from sweep.system.directory import RUNS, SweepDirectory

PLOT_KINDS = (
    *("optimization-history", "curves", "intermediate-values", "parallel-coordinate", "slice", "contour"),
    *("rank", "param-importances", "edf", "pareto-front", "hypervolume-history", "terminator-improvement"),
    *("timeline", "slots", "history", "importances"),
)
"""The kinds of `sweep plot`, here as well because the import of what draws them takes a second."""


def complete_sweep(ctx: Context, incomplete: str) -> list[str]:
    """The names of the sweeps in --runs. Names that a shell would have to quote are left out."""
    return [name for name in _sweeps(_runs(ctx)) if name.startswith(incomplete)]


def complete_sweep_or_trial(ctx: Context, incomplete: str) -> list[str]:
    """The names of the sweeps, and the numbers of the trials of the last one that was named."""
    named = [name for name in ctx.params.get("arguments") or () if not name.isdecimal()]
    numbers = _numbers(_runs(ctx), named[-1]) if named else ()
    return [*complete_sweep(ctx, incomplete), *(text for text in numbers if text.startswith(incomplete))]


def complete_trial(ctx: Context, incomplete: str) -> list[str]:
    """The numbers of the trials of the sweep that was named before."""
    return [text for text in _numbers(_runs(ctx), _name(ctx)) if text.startswith(incomplete)]


def complete_run(ctx: Context, incomplete: str) -> list[str]:
    """The numbers of trials, or of their repeats after a slash: 7/seed-0."""
    number, slash, _ = incomplete.partition("/")
    if not slash or not number.isdecimal():
        return complete_trial(ctx, incomplete)
    trial = _directory(_runs(ctx), _name(ctx)).trial(int(number)).root
    labels = sorted(name for name in _entries(trial) if name.startswith("seed-"))
    return [run for label in labels if (run := f"{number}/{label}").startswith(incomplete)]


def complete_kind(incomplete: str) -> list[str]:
    """The kinds of plots."""
    return [kind for kind in PLOT_KINDS if kind.startswith(incomplete)]


def _name(ctx: Context) -> str:
    """The sweep that was named. While the value of an option is missing, arguments are not yet parsed."""
    return ctx.params.get("name") or next((text for text in ctx.args if not text.startswith("-")), "")


def _runs(ctx: Context) -> Path:
    return Path(ctx.params.get("runs") or RUNS)


def _directory(runs: Path, name: str) -> SweepDirectory:
    directory = SweepDirectory.of(runs, name)
    return directory if directory.exists() else SweepDirectory(Path(name).resolve())


def _sweeps(runs: Path) -> Iterator[str]:
    for name in sorted(_entries(runs)):
        if shlex.quote(name) == name and SweepDirectory(runs / name).exists():
            yield name


def _numbers(runs: Path, name: str) -> list[str]:
    names = _entries(_directory(runs, name).root) if name else []
    texts = (entry.removeprefix("trial-") for entry in names if entry.startswith("trial-"))
    return [str(number) for number in sorted(int(text) for text in texts if text.isdecimal())]


def _entries(folder: Path) -> list[str]:
    with suppress(OSError):
        return os.listdir(folder)
    return []
