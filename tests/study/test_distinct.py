"""No two trials of a continuous space are equal, whatever the sampler and whatever happens to the sweep."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import optuna
import pytest

import sweep
from sweep.controller.controller import Controller
from sweep.messages import Assignment, Outcome
from sweep.study.attributes import RESUBMISSION_OF
from sweep.study.distinct import TriedConfigurations
from sweep.sweepfile import SweepSpec
from sweep.system.directory import SweepDirectory
from tests.conftest import MakeSweep

UNSEEDED = """
import optuna

class Unseeded(optuna.samplers.RandomSampler):
    def __init__(self):
        super().__init__(0)
"""

SAMPLERS: list[Any] = [
    "random",
    {"type": "tpe", "startup_trials": 4},
    {"type": "tpe", "startup_trials": 4, "multivariate": False},
    {"type": "gp", "startup_trials": 4},
    {"type": "nsga2", "population_size": 6},
    {"type": "nsga3", "population_size": 6},
    {"type": "cmaes", "startup_trials": 2, "popsize": 4},
    "qmc",
    {"type": "qmc", "scramble": True},
    "unseeded_sampler:Unseeded",
]
SPACE = {"x": {"min": -6.0, "max": 6.0}, "z": {"min": -6.0, "max": 6.0}}
CONDITIONAL = {
    **SPACE,
    "kind": {"values": ["sgd", "adam"]},
    "momentum": {"min": 0.0, "max": 1.0, "when": {"kind": "sgd"}},
}
NEAR = ["abs(z - x) <= 0.5"]
SEVERAL = {
    "metric": None,
    "metrics": [{"name": "a", "goal": "minimize"}, {"name": "b", "goal": "maximize"}],
}


@pytest.fixture
def directory(tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> SweepDirectory:
    """A sweep directory, in a project with a sampler that draws the same numbers in each session."""
    (project / "unseeded_sampler.py").write_text(UNSEEDED)
    monkeypatch.syspath_prepend(project)
    root = tmp_path / "sweep"
    root.mkdir()
    return SweepDirectory(root)


def make_spec(sampler: Any, **keys: Any) -> SweepSpec:
    options = sampler if isinstance(sampler, dict) else {"type": sampler}
    base = {
        "name": "demo",
        "objective": "a.py:f",
        "metric": {"name": "a", "goal": "minimize"},
        "sampler": {**options, "seed": 3},
        "parameters": SPACE,
    }
    return SweepSpec.model_validate(
        {key: value for key, value in {**base, **keys}.items() if value is not None}
    )


class Turbulence:
    """A sweep with three slots: trials fail, are enqueued and resubmitted, and sessions are killed."""

    def __init__(self, spec: SweepSpec, directory: SweepDirectory) -> None:
        self._spec = spec
        self._directory = directory
        self._random = random.Random(0)
        self._requests = 0
        self.resume()

    def resume(self) -> None:
        self._controller = Controller(self._spec, self._directory, slots=3)
        self._running: list[Assignment] = []

    @property
    def study(self) -> optuna.Study:
        return self._controller._study

    def run(self, trials: int) -> None:
        while len(self.study.trials) < trials:
            while len(self._running) < 3:
                assignment = self._controller.next_step(None).assignment
                assert assignment is not None
                self._running.append(assignment)
            event = self._random.choice(["finish", "finish", "finish", "fail", "enqueue", "resubmit", "kill"])
            getattr(self, f"_{event}")()

    def _finish(self) -> None:
        run = self._running.pop(0)
        a = float(run.params["x"] ** 2 + run.params["z"])
        values = {"a": a, "b": float(run.params["z"])}
        self._controller.finish(Outcome(run.number, run.attempt, "returned", value=a, metrics=values))

    def _fail(self) -> None:
        run = self._running.pop(0)
        self._controller.finish(Outcome(run.number, run.attempt, "exception", reason="an error"))

    def _enqueue(self) -> None:
        for _ in range(2):
            self._requests += 1
            self._controller.enqueue([{"x": 0.5}], str(self._requests))

    def _resubmit(self) -> None:
        self._controller.resubmit(range(len(self.study.trials)))

    def _kill(self) -> None:
        self.resume()


@pytest.mark.parametrize(
    "keys",
    [{}, {"constraints": NEAR}, SEVERAL, {"parameters": CONDITIONAL, "constraints": NEAR}],
    ids=["plain", "constraints", "several metrics", "conditional"],
)
@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_no_two_trials_of_a_continuous_space_are_equal(
    directory: SweepDirectory, sampler: Any, keys: dict[str, Any]
) -> None:
    kind = sampler["type"] if isinstance(sampler, dict) else sampler
    if kind == "cmaes" and keys not in ({}, {"constraints": NEAR}):
        pytest.skip("cmaes supports neither choices nor several metrics")
    sweep = Turbulence(make_spec(sampler, **keys), directory)
    sweep.run(trials=10 if kind == "gp" else 30)
    sampled = [trial for trial in sweep.study.trials if RESUBMISSION_OF not in trial.user_attrs]
    configurations = [str(sorted(trial.params.items())) for trial in sampled if trial.params]
    assert len(set(configurations)) == len(configurations) > 6
    # A failed trial and its resubmission are equal, of course.
    for trial in sweep.study.trials:
        if RESUBMISSION_OF in trial.user_attrs and trial.params:
            assert trial.params == sweep.study.trials[trial.user_attrs[RESUBMISSION_OF]].params


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_no_two_define_by_run_trials_are_equal(directory: SweepDirectory, sampler: Any) -> None:
    spec = make_spec(sampler, parameters="define-by-run")
    distribution = optuna.distributions.FloatDistribution(-6, 6)
    found = []
    for _ in range(3):
        controller = Controller(spec, directory, slots=1)
        for _ in range(5 if spec.sampler.type == "gp" else 12):
            run = controller.next_step(None).assignment
            assert run is not None
            point = [
                controller.suggest(run.number, run.attempt, [], 0, name, distribution).value for name in "xz"
            ]
            found.append(tuple(point))
            controller.finish(Outcome(run.number, run.attempt, "returned", value=point[0] ** 2 + point[1]))
    assert len(set(found)) == len(found)


def test_trials_can_be_equal_if_a_range_has_no_other_number(directory: SweepDirectory) -> None:
    spec = make_spec("random", parameters={"x": {"min": 1.0, "max": 1.0000000000000002}}, stop={"trials": 5})
    controller = Controller(spec, directory, slots=5)
    found = [controller.next_step(None).assignment for _ in range(5)]
    assert all(run is not None and 1.0 <= run.params["x"] <= 1.0000000000000002 for run in found)


def test_choices_are_sampled_with_repetition(directory: SweepDirectory) -> None:
    spec = make_spec("random", parameters={"a": {"values": [1, 2]}}, stop={"trials": 40})
    controller = Controller(spec, directory, slots=40)
    found = [controller.next_step(None).assignment for _ in range(40)]
    ones = sum(run is not None and run.params["a"] == 1 for run in found)
    assert 8 <= ones <= 32


def _run_in_two_parts(make_sweep: MakeSweep, sampler: str, inline: bool) -> None:
    file = make_sweep(
        "def train(trial):\n    return trial.params.x\n",
        parameters={"x": {"min": -6.0, "max": 6.0}, "z": {"min": -6.0, "max": 6.0}},
        constraints=["abs(z - x) <= 0.5"],
        sampler={"type": sampler, "seed": 3},
        stop={"trials": 15},
    )
    sweep.run(file, inline=inline)
    rows = sweep.run(file, inline=inline, n_trials=30).trials
    assert len(rows) == 30
    assert len({tuple(row.params.values()) for row in rows}) == 30


@pytest.mark.parametrize("sampler", ["random", "tpe", "nsga2", "qmc", "cmaes", "gp"])
def test_no_two_trials_are_equal_inline(make_sweep: MakeSweep, sampler: str) -> None:
    _run_in_two_parts(make_sweep, sampler, inline=True)


def test_no_two_trials_are_equal_on_ray(make_sweep: MakeSweep, ray_cluster: None) -> None:
    _run_in_two_parts(make_sweep, "tpe", inline=False)


class _CountedTrial(optuna.trial.FrozenTrial):
    """A trial that counts how often its parameters are read."""

    reads = 0

    @property
    def params(self) -> dict[str, Any]:
        _CountedTrial.reads += 1
        return super().params

    @params.setter
    def params(self, params: dict[str, Any]) -> None:
        self._params = params


def test_a_repetition_is_found_without_a_look_at_the_finished_trials() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1) + trial.suggest_int("n", 1, 2), 500)
    running = study.ask()
    running_x = running.suggest_float("x", 0, 1)
    tried, number = TriedConfigurations(), running.number + 1
    trials = study.get_trials(deepcopy=False)
    assert not tried.contain(study, number, {"x": 2.0, "n": 1}, "x")

    _CountedTrial.reads = 0
    for trial in trials[:500]:
        trial.__class__ = _CountedTrial
    first = {"x": trials[0]._params["x"], "n": trials[0]._params["n"]}
    assert tried.contain(study, number, first, "x")
    assert tried.contain(study, number, {"x": first["x"]}, "x")
    assert not tried.contain(study, 0, first, "x")
    assert not tried.contain(study, number, {**first, "n": 3 - first["n"]}, "x")
    assert tried.contain(study, number, {"x": running_x}, "x")
    assert not tried.contain(study, running.number, {"x": running_x}, "x")
    assert _CountedTrial.reads <= 3
