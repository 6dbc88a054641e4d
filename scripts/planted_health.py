#!/usr/bin/env python
"""Checks what `sweep explain` says about failures, early steps and the pruner against planted truths.

Each case is an objective with a fault: a choice that always fails, steps that say nothing, and so on. It runs
with several seeds, samplers and numbers of trials on the plain controller, without Ray. The table says in how
many sweeps `explain` said what is planted, and nothing else.

    python scripts/planted_health.py --seeds 50
    python scripts/planted_health.py --seeds 10 --cases choice broken
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sweep.analysis.failure_health import failure_statements
from sweep.analysis.pruning_health import pruning_statements
from sweep.analysis.statement import Statement
from sweep.analysis.view import SweepView
from sweep.controller.controller import Controller
from sweep.messages import Outcome, Report
from sweep.sweepfile import SweepSpec
from sweep.system.directory import SweepDirectory

PARAMETERS = {
    "lr": {"min": 1e-5, "max": 0.1, "log": True},
    "decay": {"min": 0.0, "max": 1.0},
    "optimizer": {"values": ["sgd", "adam", "lion", "rmsprop"]},
    "layers": {"min": 1, "max": 8},
    "batch": {"values": [16, 32, 64, 128, 256]},
}
STEPS = 12
Params = Mapping[str, Any]
Said = Sequence[Statement]


@dataclass(frozen=True)
class Case:
    """A sweep with a planted fault.

    Args:
        is_right: whether the statements are what they should be.
        failure: why a trial fails, from its parameters, its number and a generator; empty if it does not.
        curve: the values that a trial reports, from its final value and a generator.
        keys: entries of the sweep file.
        trials: the numbers of trials; the seeds take turns.
        samplers: the samplers; the seeds take turns.
        asks: whether trials ask if they are pruned.
    """

    is_right: Callable[[Said], bool]
    failure: Callable[[Params, int, np.random.Generator], str] = lambda params, number, generator: ""
    curve: Callable[[float, np.random.Generator], Sequence[float]] | None = None
    keys: Mapping[str, Any] = field(default_factory=dict)
    trials: Sequence[int] = (60, 100, 200)
    samplers: Sequence[str] = ("random", "tpe")
    asks: bool = True


def regions(said: Said) -> list[tuple[str, Any]]:
    """The parameters and values of the regions in which trials are said to fail."""
    return [
        (one.data["name"], one.data["value"])
        for one in said
        if one.key in ("failing_choice", "failing_range")
    ]


def verdicts(said: Said) -> dict[str, int | None]:
    """What early steps are said to be (nothing, enough, some, unclear), and which step."""
    return {one.data["verdict"]: one.data.get("step") for one in said if one.key == "early_steps"}


def keys(said: Said) -> set[str]:
    """The kinds of the statements."""
    return {one.key for one in said}


def _chance(share: float, generator: np.random.Generator) -> str:
    return "RuntimeError: no luck" if generator.random() < share else ""


def _noise_first(end: float, generator: np.random.Generator) -> Sequence[float]:
    """The first half of the steps says nothing about the end."""
    noise = generator.normal(size=STEPS)
    return [*noise[: STEPS // 2], *(end + noise[STEPS // 2 : -1] * 0.1), end]


def _noise_third(end: float, generator: np.random.Generator) -> Sequence[float]:
    """The first third of the steps says nothing about the end, and the next one is enough."""
    noise = generator.normal(size=STEPS)
    return [*noise[: STEPS // 3], *(end + noise[STEPS // 3 : -1] * 0.1), end]


def _soon_clear(end: float, generator: np.random.Generator) -> Sequence[float]:
    """The order of the trials is that of the end from the third step on."""
    return [end + 4 * np.exp(-step) + generator.normal() * (0.05 if step > 1 else 2) for step in range(STEPS)]


CASES = {
    "a choice that always fails": Case(
        lambda said: regions(said) == [("optimizer", "lion")],
        lambda params, number, generator: (
            "ValueError: no lion" if params["optimizer"] == "lion" else _chance(0.05, generator)
        ),
    ),
    "a choice that mostly fails": Case(
        lambda said: regions(said) == [("batch", 256)],
        lambda params, number, generator: (
            "OutOfMemoryError: 12 GiB" if params["batch"] == 256 and generator.random() < 0.8 else ""
        ),
        trials=(100, 200),
    ),
    "a range that fails": Case(
        lambda said: [name for name, _ in regions(said)] == ["lr"] and 0.01 < regions(said)[0][1] < 0.06,
        lambda params, number, generator: (
            "the metric is NaN" if params["lr"] > 0.03 else _chance(0.03, generator)
        ),
        trials=(100, 200),
    ),
    "two reasons, two regions": Case(
        lambda said: {name for name, _ in regions(said)} == {"lr", "layers"},
        lambda params, number, generator: (
            "the metric is NaN"
            if params["lr"] > 0.02
            else "OutOfMemoryError: 3 GiB"
            if params["layers"] >= 7
            else ""
        ),
        trials=(100, 200),
    ),
    "failures by chance": Case(
        lambda said: regions(said) == [],
        lambda params, number, generator: _chance(0.2, generator),
        trials=(30, 100, 200),
    ),
    "a machine that is broken for a while": Case(
        lambda said: regions(said) == [],
        lambda params, number, generator: "OSError: no space left" if 25 <= number < 45 else "",
    ),
    "too few trials": Case(
        lambda said: regions(said) == [] and list(verdicts(said)) == ["unclear"],
        lambda params, number, generator: _chance(0.2, generator),
        _noise_first,
        trials=(9,),
    ),
    "early steps that say nothing": Case(
        lambda said: list(verdicts(said)) == ["nothing"], curve=_noise_first, trials=(40, 100, 200)
    ),
    "first steps that say nothing, then one that is enough": Case(
        lambda said: verdicts(said) == {"nothing": STEPS // 3 - 1, "enough": STEPS // 3},
        curve=_noise_third,
        trials=(40, 100, 200),
    ),
    "an early step that is enough": Case(
        lambda said: verdicts(said).get("enough") in (1, 2, 3) and verdicts(said).get("nothing", 0) < 2,
        curve=_soon_clear,
        trials=(40, 100, 200),
    ),
    "an idle pruner": Case(
        lambda said: "pruner_idle" in keys(said), curve=_soon_clear, keys={"pruner": "median"}, asks=False
    ),
    "an eager pruner": Case(
        lambda said: "pruner_eager" in keys(said),
        curve=_noise_first,
        keys={"pruner": {"type": "percentile", "percentile": 90.0}},
    ),
    "a pruner that does its job": Case(
        lambda said: keys(said) == {"early_steps", "pruner"},
        curve=_soon_clear,
        keys={"pruner": {"type": "percentile", "percentile": 60.0, "warmup_steps": 2}},
    ),
}


def run_case(case: Case, seed: int, folder: Path) -> SweepView:
    """Run the sweep of a case; returns it."""
    sampler = case.samplers[seed % len(case.samplers)]
    trials = case.trials[seed // len(case.samplers) % len(case.trials)]
    spec = SweepSpec.model_validate(
        {
            "name": "planted",
            "objective": "planted.py:train",
            "metric": {"name": "loss", "goal": "minimize"},
            "parameters": PARAMETERS,
            "sampler": {"type": sampler, "seed": seed},
            "stop": {"trials": trials, "failures": "unlimited"},
            **case.keys,
        }
    )
    directory = SweepDirectory(folder)
    directory.spec.write_text(spec.to_yaml())
    controller = Controller(spec, directory, slots=1)
    generator = np.random.default_rng(seed)
    while (assignment := controller.next_step(None).assignment) is not None:
        params, number = assignment.params, assignment.number
        reason = case.failure(params, number, generator)
        end = float((np.log10(params["lr"]) + 2) ** 2 + params["decay"] + generator.normal() * 0.1)
        outcome = Outcome(number, 1, "returned", end)
        for step, value in enumerate(case.curve(end, generator) if case.curve else ()):
            report = [Report(step, float(value))]
            if not case.asks:
                controller.report(number, 1, report)
            elif controller.should_prune(number, 1, report):
                outcome = Outcome(number, 1, "pruned")
                break
        controller.finish(Outcome(number, 1, "error", reason=reason) if reason else outcome)
    controller.close()
    return SweepView(directory)


def said_about(case: Case, seed: int) -> Said:
    """What is said about the failures and the pruner of a case."""
    with tempfile.TemporaryDirectory() as folder:
        view = run_case(case, seed, Path(folder))
        return [*failure_statements(view), *pruning_statements(view)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--offset", type=int, default=0, help="the first seed")
    parser.add_argument("--cases", nargs="*", default=[], help="parts of their names")
    parser.add_argument("--show", action="store_true", help="print what is said where it is wrong")
    options = parser.parse_args()
    print("| planted | right |\n|---|---|")
    started = time.perf_counter()
    for name, case in CASES.items():
        if options.cases and not any(part in name for part in options.cases):
            continue
        right = 0
        for seed in range(options.offset, options.offset + options.seeds):
            said = said_about(case, seed)
            right += case.is_right(said)
            if options.show and not case.is_right(said):
                print(seed, *(f"\n    {one.text} ({one.evidence})" for one in said))
        print(f"| {name} | {right} of {options.seeds} |", flush=True)
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
