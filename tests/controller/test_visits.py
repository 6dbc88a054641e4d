"""No operation of a running sweep walks through its finished trials."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from sweep.controller.controller import Controller
from sweep.messages import Assignment, Outcome, Report
from sweep.study.bounded_tpe import HISTORY
from sweep.study.journal import Journal
from sweep.study.storage import IndexedJournalStorage
from sweep.sweepfile import SweepSpec
from sweep.system.directory import SweepDirectory
from tests.study.test_running_state import VISITS, CountingTrial

TRIALS = 2000
BOUND = 12
"""How many finished trials an operation can look at: the best one, and those that have just ended."""

GOALS = [{"name": "loss", "goal": "minimize"}, {"name": "size", "goal": "minimize"}]
DISTRIBUTIONS = {"x": FloatDistribution(0, 1), "kind": CategoricalDistribution(("a", "b", "c"))}
ONE_GOAL: dict[str, Any] = {
    "parameters": {"x": {"min": 0.0, "max": 1.0}, "kind": {"values": ["a", "b", "c"]}},
    "stop": {"trials": 5000, "plateau": 4900, "failures": 4000},
    "pruner": "median",
    "sampler": {"type": "random", "seed": 1},
    "metric": GOALS[0],
}
LIMITED = [{"name": "loss", "goal": "minimize"}, {"name": "size", "constraint": "<= 2"}]
SWEEPS: dict[str, dict[str, Any]] = {
    "random": ONE_GOAL,
    "tpe": {**ONE_GOAL, "sampler": {"type": "tpe", "seed": 1}},
    "constraints": {**ONE_GOAL, "constraints": ["x < 0.9"]},
    "asha": {**ONE_GOAL, "pruner": "asha"},
    "hyperband": {**ONE_GOAL, "pruner": {"type": "hyperband", "max_resource": 9}},
    "several goals": {**ONE_GOAL, "metrics": GOALS, "stop": {"trials": 5000}},
    "limits": {**ONE_GOAL, "metrics": LIMITED},
    "repeats": {**ONE_GOAL, "repeats": 2, "stop": {"trials": 5000}},
    "define by run": {**ONE_GOAL, "parameters": "define-by-run"},
}


@pytest.fixture(scope="module")
def journals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the journal of a study of one goal, and one of two: 1.log, 2.log."""
    folder = tmp_path_factory.mktemp("journals")
    for goals in (1, 2):
        store_trials(folder / f"{goals}.log", goals)
    return folder


def store_trials(path: Path, goals: int) -> None:
    """Store a study with finished trials. Every tenth one has failed, and every tenth one was pruned."""
    journal = Journal(path)
    storage = IndexedJournalStorage(journal, path.with_suffix(".snapshot"))
    study = optuna.create_study(study_name="demo", storage=storage, directions=["minimize"] * goals)
    with journal.batch():
        for number in range(TRIALS):
            state = {0: TrialState.FAIL, 5: TrialState.PRUNED}.get(number % 10, TrialState.COMPLETE)
            value = float((number * 7919) % TRIALS)
            study.add_trial(
                create_trial(
                    state=state,
                    values=[value, TRIALS - value][:goals] if state.name == "COMPLETE" else None,
                    params={"x": (number % 997) / 997, "kind": "abc"[number % 3]},
                    distributions=DISTRIBUTIONS,
                    intermediate_values={step: value + step for step in range(5)},
                )
            )


def start(name: str, directory: SweepDirectory, journals: Path) -> tuple[SweepSpec, Controller]:
    """A controller of a sweep with many finished trials, which count how often they are looked at."""
    keys = {**ONE_GOAL, **SWEEPS[name]}
    if "metrics" in keys:
        del keys["metric"]
    spec = SweepSpec.model_validate({"name": "demo", "objective": "a.py:f", **keys})
    directory.spec.write_text(spec.to_yaml())
    shutil.copyfile(journals / f"{len(spec.goals)}.log", directory.journal)
    controller = Controller(spec, directory, slots=4)
    for trial in controller._sweep_study.trials:
        trial.__class__ = CountingTrial
    return spec, controller


class Operations:
    """Everything that engines and running trials ask a controller for, once each."""

    def __init__(self, spec: SweepSpec, controller: Controller) -> None:
        self.spec = spec
        self.controller = controller
        self.visited: dict[str, set[int]] = {}
        """The numbers of the finished trials that each operation has looked at."""

    def _count(self, method: str, *arguments: Any) -> Any:
        """Call a method of the controller, and count the finished trials that it looks at."""
        VISITS.clear()
        result = getattr(self.controller, method)(*arguments)
        self.visited.setdefault(method, set()).update(VISITS)
        return result

    def run(self) -> None:
        for ending in ("complete", "pruned", "failed"):
            self._run_trial(ending)
        self._count("progress")
        self._count("ask_again_in")
        self._count("enqueue", [{"x": 0.5}], secrets.token_hex())
        assert self._count("resubmit", [self.failed]) == [self.failed]
        for _ in range(2):
            self._run_trial("complete")
        run = self._count("next_step", None).assignment
        self._count("return_assignment", run.number, run.attempt, run.repeat)
        self._count("stop_trial", run.number, "stopped by the user")

    def _run_trial(self, ending: str) -> None:
        runs = [self._count("next_step", None).assignment for _ in self.spec.run_labels]
        for run in runs:
            self._report(run)
            kind: Any = {"complete": "returned", "pruned": "pruned", "failed": "error"}[ending]
            value = 1.0 if kind == "returned" else None
            outcome = Outcome(
                run.number, run.attempt, kind, value, {"loss": 1.0, "size": 1.0}, repeat=run.repeat
            )
            self._count("finish", outcome)
            self._count("finish", outcome)
        if ending == "failed":
            self.failed = runs[0].number

    def _report(self, run: Assignment) -> None:
        place = (run.number, run.attempt)
        if self.spec.is_define_by_run:
            for name, distribution in DISTRIBUTIONS.items():
                assert not self._count("suggest", *place, [], run.repeat, name, distribution).problem
        for step in range(4):
            self._count("report", *place, [Report(step, float(step))], run.repeat)
            self._count("should_prune", *place, [], run.repeat)
            self._count("must_end", *place, [], run.repeat)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SWEEPS)
def test_no_operation_of_a_controller_walks_through_the_finished_trials(
    name: str, directory: SweepDirectory, journals: Path
) -> None:
    spec, controller = start(name, directory, journals)
    operations = Operations(spec, controller)
    for _ in range(3):  # pruners and samplers collect the stored trials once; Hyperband for each bracket
        operations.run()
    operations.visited.clear()
    operations.run()
    counts = {operation: len(numbers) for operation, numbers in operations.visited.items()}
    allowed = {
        "next_step": BOUND + HISTORY * (spec.sampler.type == "tpe"),
        "suggest": BOUND + HISTORY * (spec.sampler.type == "tpe"),
    }
    assert {name: count for name, count in counts.items() if count > allowed.get(name, BOUND)} == {}
