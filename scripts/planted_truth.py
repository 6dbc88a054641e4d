#!/usr/bin/env python
"""Checks what `sweep explain` says against sweeps whose truth is known.

Each case is an objective whose important parameters, interaction, bounds, dead parameters and noise are
planted. It runs with several seeds, samplers and numbers of trials; the output is a table: how often each
statement was right, wrong or missing, and how often the interval of the best value contained the truth.

    python scripts/planted_truth.py --seeds 50
    python scripts/planted_truth.py --seeds 10 --cases linear noisy

To add a case, write a function that returns a `Case`, decorated with `@case`. The trials run on the plain
controller, without Ray: 100 seeds take minutes.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna

from sweep.analysis.explanation import Explanation, explain
from sweep.analysis.view import SweepView
from sweep.space import SearchSpace
from sweep.sweepfile import SweepSpec
from sweep.system.directory import SweepDirectory

CASES: dict[str, Callable[[], Case]] = {}


@dataclass(frozen=True)
class Case:
    """A sweep whose truth is known.

    Args:
        parameters: as in a sweep file.
        value: the metric of a configuration without noise.
        noise: the standard deviation of the noise.
        goal: minimize or maximize.
        trials: the numbers of trials; the seeds take turns.
        samplers: the samplers; the seeds take turns.
        expected: what `explain` should say: `check(explanation)` by the statement's name is True, or False
            if it is missing; None if it is wrong.
        never: keys of statements that would be wrong, with the parameters for which they would be; `*`: all.
        repeats: the number of repeats of each trial.
        is_pruned: whether trials report six values that approach the metric, and a median pruner stops some.
        variances: the variance of what each parameter explains alone, and of what several explain together.
    """

    parameters: Mapping[str, Any]
    value: Callable[[Mapping[str, Any]], float]
    noise: float = 0.0
    goal: str = "minimize"
    trials: Sequence[int] = (50, 100, 200)
    samplers: Sequence[str] = ("random", "tpe")
    expected: Mapping[str, Callable[[Explanation], bool | None]] = field(default_factory=dict)
    never: Mapping[str, Sequence[str]] = field(default_factory=dict)
    repeats: int | None = None
    is_pruned: bool = False
    variances: Mapping[str, float] = field(default_factory=dict)


def case(function: Callable[[], Case]) -> Callable[[], Case]:
    """Register a case under the function's name."""
    CASES[function.__name__] = function
    return function


def most(name: str) -> Callable[[Explanation], bool | None]:
    """`name matters most` is said, and of no other parameter."""

    def check(explanation: Explanation) -> bool | None:
        said = [one.data["name"] for one in explanation.of("importance") if one.data["most"]]
        return None if said and said != [name] else bool(said)

    return check


def good(name: str, value: Any, trend: str | None = None) -> Callable[[Explanation], bool | None]:
    """The good range of a parameter contains the best value, and the trend is right."""

    def check(explanation: Explanation) -> bool | None:
        for one in explanation.of("importance"):
            if one.data["name"] == name and "good" in one.data:
                said = one.data["good"]
                if one.data["trend"] == "choice":
                    return True if value in said else None
                if one.data["trend"] == "flat":
                    return False
                is_right = said[0] <= value <= said[1] and trend in (None, one.data["trend"])
                return True if is_right else None
        return False

    return check


def says(key: str, name: str | None = None, **data: Any) -> Callable[[Explanation], bool | None]:
    """A statement with this key is made (about this parameter) with these data."""

    def check(explanation: Explanation) -> bool | None:
        of = [one for one in explanation.of(key) if name is None or one.data["name"] == name]
        return bool(of) and all(item in of[0].data.items() for item in data.items())

    return check


def together(*names: str) -> Callable[[Explanation], bool | None]:
    """The interaction of two parameters is said, and of no other pair."""

    def check(explanation: Explanation) -> bool | None:
        said = [set(one.data["names"]) for one in explanation.of("interaction")]
        return None if any(pair != set(names) for pair in said) else bool(said)

    return check


def variance(effect: Callable[[float], float]) -> float:
    """The variance of an effect over the positions in a parameter's range, from 0 to 1."""
    return statistics.pvariance([effect((index + 0.5) / 2000) for index in range(2000)])


UNIT = {"min": 0.0, "max": 1.0}
LR = {"min": 1e-5, "max": 1e-1, "log": True}
ADDITIVE = {
    "lr": LR,
    "width": {"min": 8, "max": 256, "log": True},
    "dropout": {"min": 0.0, "max": 0.8},
    "dead": UNIT,
    "optimizer": {"values": ["sgd", "adam", "rmsprop"]},
}
"""A learning rate that matters most, best at 1e-3; a dropout that is best at 0.3; one without effect."""


def additive(params: Mapping[str, Any]) -> float:
    return float(
        0.25 * (math.log10(params["lr"]) + 3) ** 2
        + 0.5 * (params["dropout"] - 0.3) ** 2
        - 0.06 * math.log2(params["width"] / 8)
        + {"sgd": 0.25, "adam": 0.0, "rmsprop": 0.12}[params["optimizer"]]
    )


ADDITIVE_VARIANCES = {
    "lr": variance(lambda position: 0.25 * (4 * position - 2) ** 2),
    "dropout": variance(lambda position: 0.5 * (0.8 * position - 0.3) ** 2),
    "width": variance(lambda position: -0.06 * 5 * position),
    "optimizer": statistics.pvariance([0.25, 0.0, 0.12]),
}


def additive_case(noise: float, goal: str = "minimize", **options: Any) -> Case:
    sign = -1 if goal == "maximize" else 1
    return Case(
        ADDITIVE,
        lambda params: 1 + sign * additive(params),
        noise=noise,
        goal=goal,
        expected={
            "most": most("lr"),
            "good lr": good("lr", 1e-3, "inside"),
            "good optimizer": good("optimizer", "adam"),
            "no effect": says("no_effect", "dead"),
        },
        never={
            "interaction": ["*"],
            "no_effect": ["lr", "width", "optimizer", "dropout"] if noise < 0.1 else ["lr"],
            "at_bound": ["lr", "dropout", "dead"],
            "importance": ["dead"],
            **({"noisy": ["*"]} if noise == 0 else {}),
        },
        variances=ADDITIVE_VARIANCES,
        **options,
    )


@case
def noiseless() -> Case:
    return additive_case(0.0)


@case
def little_noise() -> Case:
    return additive_case(0.03, goal="maximize")


@case
def noisy() -> Case:
    """The noise is as large as the signal's standard deviation (0.38 with lr, width and choices)."""
    made = additive_case(0.35, trials=(100, 200))
    kept = {name: check for name, check in made.expected.items() if name in ("most", "good lr")}
    return Case(**{**vars(made), "expected": {**kept, "noisy": says("noisy")}})


@case
def pruned() -> Case:
    return additive_case(0.03, is_pruned=True)


@case
def pruned_score() -> Case:
    return additive_case(0.1, goal="maximize", trials=(100, 200), is_pruned=True)


@case
def repeats() -> Case:
    made = additive_case(0.2, repeats=3)
    return Case(**{**vars(made), "expected": {"most": most("lr"), "good lr": good("lr", 1e-3)}})


@case
def interaction() -> Case:
    """The best x depends on y."""
    space = {"x": UNIT, "y": UNIT, "z": UNIT, "w": {"min": 1, "max": 10}, "kind": {"values": ["a", "b"]}}

    def value(params: Mapping[str, Any]) -> float:
        x, y, z = params["x"], params["y"], params["z"]
        return float(4 * (x - 0.5) * (y - 0.5) + x + (z - 0.4) ** 2 + 0.3 * (params["kind"] == "b"))

    return Case(
        space,
        value,
        noise=0.05,
        expected={"interaction": together("x", "y")},
        never={"no_effect": ["x", "y", "kind"], "importance": ["w"], "noisy": ["*"]},
        variances={
            "x": variance(lambda position: position),
            "y": 0.0,
            "z": variance(lambda position: (position - 0.4) ** 2),
            "kind": 0.3**2 / 4,
            "x and y": 16 / 12**2,
        },
    )


@case
def at_bound() -> Case:
    """lr is best at its upper bound; momentum and size are best inside."""
    space = {"lr": LR, "momentum": UNIT, "size": {"min": 1, "max": 64}}

    def value(params: Mapping[str, Any]) -> float:
        return float(
            -math.log10(params["lr"]) / 4
            + 2 * (params["momentum"] - 0.6) ** 2
            + abs(params["size"] - 40) / 64
        )

    return Case(
        space,
        value,
        noise=0.05,
        expected={
            "at bound": says("at_bound", "lr", side="upper"),
            "good lr": good("lr", 0.1, "higher"),
            "good momentum": good("momentum", 0.6, "inside"),
        },
        never={"at_bound": ["momentum", "size"], "no_effect": ["*"], "interaction": ["*"]},
        variances={
            "lr": variance(lambda position: position),
            "momentum": variance(lambda position: 2 * (position - 0.6) ** 2),
            "size": variance(lambda position: abs(0.5 + 64 * position - 40) / 64),
        },
    )


@case
def conditional() -> Case:
    """The momentum exists with sgd only, and matters there; with adam there is beta, which has no effect."""
    space = {
        "optimizer": {"values": ["sgd", "adam"]},
        "momentum": {**UNIT, "when": {"optimizer": "sgd"}},
        "beta": {**UNIT, "when": {"optimizer": "adam"}},
        "lr": LR,
        "depth": {"min": 1, "max": 8},
    }

    def value(params: Mapping[str, Any]) -> float:
        loss = (math.log10(params["lr"]) + 2.5) ** 2 / 3 + 0.02 * params["depth"]
        return float(loss + (2 * (params["momentum"] - 0.7) ** 2 if "momentum" in params else 0.3))

    return Case(
        space,
        value,
        noise=0.03,
        trials=(100, 150, 200),
        expected={"most": most("lr"), "good lr": good("lr", 10**-2.5)},
        never={
            "no_effect": ["lr", "momentum", "optimizer"],
            "at_bound": ["lr", "momentum"],
            "importance": ["beta"],
        },
    )


@case
def eight() -> Case:
    """Eight parameters, of which two matter."""
    space = {f"x{index}": UNIT for index in range(8)}

    def value(params: Mapping[str, Any]) -> float:
        return float(2 * (params["x0"] - 0.7) ** 2 + 0.5 * params["x1"])

    return Case(
        space,
        value,
        noise=0.05,
        goal="minimize",
        trials=(100, 150, 200),
        expected={
            "most": most("x0"),
            "good x0": good("x0", 0.7),
            "x1 lower": good("x1", 0.0, "lower"),
            "no effect": says("no_effect", "x5"),
        },
        never={"interaction": ["*"], "no_effect": ["x0", "x1"], "at_bound": ["x0"]},
        variances={
            "x0": variance(lambda position: 2 * (position - 0.7) ** 2),
            "x1": variance(lambda position: 0.5 * position),
        },
    )


@case
def dominated() -> Case:
    """One of four parameters has an effect, which explains everything."""
    return Case(
        {f"x{index}": UNIT for index in range(4)},
        lambda params: float(3 * (params["x0"] - 0.6) ** 2),
        noise=0.1,
        expected={"most": most("x0"), "good x0": good("x0", 0.6, "inside")},
        never={
            "importance": ["x1", "x2", "x3"],
            "interaction": ["*"],
            "at_bound": ["*"],
            "no_effect": ["x0"],
        },
        variances={"x0": 1.0},
    )


@case
def pure_noise() -> Case:
    return Case(
        {f"x{index}": UNIT for index in range(5)},
        lambda params: 0.0,
        noise=1.0,
        expected={"noisy": says("noisy")},
        never={"importance": ["*"], "interaction": ["*"], "at_bound": ["*"], "no_effect": []},
    )


@case
def ten_trials() -> Case:
    made = additive_case(0.03, trials=(10,), samplers=("random",))
    return Case(
        **{
            **vars(made),
            "expected": {"cannot tell": says("cannot_tell")},
            "never": {"importance": ["*"], "interaction": ["*"], "at_bound": ["*"], "no_effect": ["*"]},
        }
    )


def run_case(made: Case, seed: int, folder: Path) -> tuple[SweepView, float]:
    """Run the trials of a case; returns the sweep and the true value of its best configuration."""
    count = made.trials[seed % len(made.trials)]
    sampler = made.samplers[seed // len(made.trials) % len(made.samplers)]
    spec = SweepSpec.model_validate(
        {
            "name": "planted",
            "objective": "objective.py:train",
            "parameters": made.parameters,
            "metric": {"name": "loss", "goal": made.goal},
            "stop": {"trials": count},
            "sampler": {"type": sampler, "seed": seed},
            **({"repeats": made.repeats} if made.repeats else {}),
        }
    )
    space = SearchSpace.of(spec)
    options = {"multivariate": True, "group": True} if sampler == "tpe" and space.is_conditional else {}
    samplers = {"random": optuna.samplers.RandomSampler, "tpe": optuna.samplers.TPESampler}
    pruner = optuna.pruners.MedianPruner() if made.is_pruned else optuna.pruners.NopPruner()
    study = optuna.create_study(
        sampler=samplers[sampler](seed=seed, **options), pruner=pruner, direction=made.goal
    )
    generator = random.Random(seed)
    for _ in range(count):
        trial = study.ask()
        params = space.suggest(trial)
        draws = [made.value(params) + generator.gauss(0, made.noise) for _ in range(made.repeats or 1)]
        if made.repeats:
            trial.set_user_attr("sweep:repeats", draws)
        if made.is_pruned and _is_pruned(trial, draws[0], made.goal):
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            continue
        study.tell(trial, sum(draws) / len(draws))
    view = SweepView(SweepDirectory(folder), spec)
    view.__dict__["study"] = study
    assert view.best is not None
    return view, made.value(view.params(view.best))


def _is_pruned(trial: optuna.Trial, end: float, goal: str) -> bool:
    """Report a learning curve; returns whether the pruner stops the trial."""
    for step in range(6):
        trial.report(end + (2 if goal == "minimize" else -2) * (1 / (step + 1) - 1 / 6), step)
        if step < 5 and trial.should_prune():
            return True
    return False


def check(made: Case, explanation: Explanation, truth: float) -> dict[str, str]:
    """What is right, wrong or missing in an explanation."""
    found = {}
    for name, verify in made.expected.items():
        found[name] = {True: "right", False: "missing", None: "wrong"}[verify(explanation)]
    for key, names in made.never.items():
        wrong = [one for one in explanation.of(key) if "*" in names or one.data.get("name") in names]
        found[f"no false {key}"] = "wrong" if wrong else "right"
    for one in explanation.of("best"):
        if "low" in one.data:
            is_in = one.data["low"] <= truth <= one.data["high"]
            found["interval of the best"] = "right" if is_in else "wrong"
    whole = sum(made.variances.values())
    for one in explanation.of("importance", "interaction") if whole else ():
        name = one.data.get("name") or " and ".join(sorted(one.data["names"]))
        share = made.variances.get(name, 0.0) / whole
        # As it is shown: in percent.
        is_in = round(one.data["low"], 2) <= round(share, 2) <= round(one.data["high"], 2)
        found[f"range of the share of {name}"] = "right" if is_in else "wrong"
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--offset", type=int, default=0, help="the first seed")
    parser.add_argument("--cases", nargs="*", default=list(CASES))
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    print("| case | statement | right | wrong | missing | right (%) |")
    print("|---|---|---|---|---|---|")
    started = time.perf_counter()
    for name in options.cases:
        made = CASES[name]()
        found: dict[str, Counter[str]] = {}
        for seed in range(options.offset, options.offset + options.seeds):
            with tempfile.TemporaryDirectory() as folder:
                view, truth = run_case(made, seed, Path(folder))
                for statement, how in check(made, explain(view), truth).items():
                    found.setdefault(statement, Counter())[how] += 1
        for statement, counts in found.items():
            share = 100 * counts["right"] / sum(counts.values())
            cells = " | ".join(str(counts[how]) for how in ("right", "wrong", "missing"))
            print(f"| {name} | {statement} | {cells} | {share:.0f} |", flush=True)
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
