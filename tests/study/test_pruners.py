"""From a pruner in the sweep file to Optuna's, and a sweep with each of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna import pruners as optunas
from pydantic import TypeAdapter

from sweep.controller.controller import Controller
from sweep.errors import EntryError
from sweep.messages import Outcome, Report
from sweep.study import pruners
from sweep.study.bands_pruner import BandsPruner
from sweep.study.percentile_pruner import LastValuePercentilePruner
from sweep.study.pruners import first_report_note, make_pruner, pruner_notes
from sweep.study.rungs_pruner import BracketsPruner, RungsPruner
from sweep.study.wilcoxon_pruner import BestTrialWilcoxonPruner
from sweep.sweepfile import SweepSpec
from sweep.sweepfile.pruners import PRUNERS, Pruner
from sweep.system.directory import SweepDirectory
from tests.sweepfile.test_pruners import EXAMPLES


def read(pruner: Any) -> Any:
    return TypeAdapter(Pruner).validate_python(pruner)


def make(pruner: Any) -> Any:
    return make_pruner(read(pruner))


Look = Callable[[Any], Any]

OPTIONS: list[tuple[Any, type, Look, Any]] = [
    ("none", optunas.NopPruner, lambda p: None, None),
    *(
        ({"type": type_, **more, name: 3}, class_, lambda p, attribute=attribute: getattr(p, attribute), 3)
        for type_, class_, more in (
            ("median", LastValuePercentilePruner, {}),
            ("percentile", LastValuePercentilePruner, {"percentile": 75}),
        )
        for name, attribute in (
            ("startup_trials", "_n_startup_trials"),
            ("warmup_steps", "_n_warmup_steps"),
            ("interval_steps", "_interval_steps"),
            ("min_trials", "_n_min_trials"),
        )
    ),
    ({"type": "percentile", "percentile": 75}, LastValuePercentilePruner, lambda p: p._percentile, 75),
    ("median", LastValuePercentilePruner, lambda p: p._percentile, 50),
    ({"type": "asha", "min_resource": 3}, RungsPruner, lambda p: p._min_resource, 3),
    ({"type": "asha"}, RungsPruner, lambda p: p._min_resource, None),
    (
        {"type": "asha", "reduction_factor": 3},
        RungsPruner,
        lambda p: p._reduction_factor,
        3,
    ),
    (
        {"type": "asha", "min_early_stopping_rate": 1},
        RungsPruner,
        lambda p: p._min_early_stopping_rate,
        1,
    ),
    (
        {"type": "asha", "min_resource": 1, "bootstrap_count": 2},
        RungsPruner,
        lambda p: p._bootstrap_count,
        2,
    ),
    *(
        (
            {"type": "hyperband", "max_resource": 9, **options},
            BracketsPruner,
            lambda p: (p._min_resource, p._max_resource, p._reduction_factor, p._bootstrap_count),
            values,
        )
        for options, values in (
            ({}, (1, 9, 3, 0)),
            ({"min_resource": 2}, (2, 9, 3, 0)),
            ({"max_resource": "auto"}, (1, "auto", 3, 0)),
            ({"reduction_factor": 2}, (1, 9, 2, 0)),
            ({"bootstrap_count": 2}, (1, 9, 3, 2)),
        )
    ),
    *(
        (
            {"type": "threshold", **options},
            optunas.ThresholdPruner,
            lambda p: (p._lower, p._upper, p._n_warmup_steps, p._interval_steps),
            values,
        )
        for options, values in (
            ({"upper": 2}, (-float("inf"), 2, 0, 1)),
            ({"lower": 0, "upper": 2}, (0, 2, 0, 1)),
            ({"lower": 1, "n_warmup_steps": 4, "interval_steps": 5}, (1, float("inf"), 4, 5)),
        )
    ),
    (
        {"type": "wilcoxon", "p_threshold": 0.2, "n_startup_steps": 4},
        BestTrialWilcoxonPruner,
        lambda p: (p._p_threshold, p._n_startup_steps),
        (0.2, 4),
    ),
    (
        {"type": "patient", "patience": 5},
        optunas.PatientPruner,
        lambda p: (p._patience, p._min_delta, p._wrapped_pruner),
        (5, 0.0, None),
    ),
    (
        {"type": "patient", "patience": 5, "min_delta": 0.5, "wrapped": {"type": "threshold", "upper": 7}},
        optunas.PatientPruner,
        lambda p: (p._patience, p._min_delta, p._wrapped_pruner._upper),
        (5, 0.5, 7),
    ),
    (
        {"type": "bands", "max_iter": 27, "s": 2, "eta": 3, "strict": True},
        BandsPruner,
        lambda p: (p.bands, p._eta, p._strict),
        ([3, 9], 3, True),
    ),
]


@pytest.mark.parametrize(
    ("pruner", "class_", "look", "value"),
    OPTIONS,
    ids=lambda value: "" if callable(value) else str(value)[:70],
)
@pytest.mark.filterwarnings("error")
def test_every_option_reaches_the_pruner(pruner: Any, class_: type, look: Look, value: Any) -> None:
    if isinstance(pruner, dict) and pruner["type"] != "none":
        pruner = {**pruner, "metric": "loss", "steps": "counted"}  # not options of the pruner itself
    made = make(pruner)
    assert type(made) is class_
    assert look(made) == value


@pytest.mark.parametrize(
    "pruner",
    [
        {"type": "threshold", "upper": 12.5},
        {"type": "wilcoxon"},
        {"type": "bands", "min_iter": 2, "eta": 2},
        {"type": "bands", "max_iter": 8, "s": 2, "eta": 2, "strict": True},
        {"type": "patient", "patience": 2},
        {"type": "patient", "patience": 1, "wrapped": {"type": "median", "startup_trials": 1}},
    ],
    ids=str,
)
def test_a_sweep_of_fifteen_trials_is_pruned(tmp_path: Path, pruner: Any) -> None:
    spec = SweepSpec.model_validate(
        {
            "name": "demo",
            "objective": "a.py:f",
            "metric": {"name": "loss", "goal": "minimize"},
            "sampler": {"type": "random", "seed": 1},
            "pruner": pruner,
            "parameters": {"x": {"min": 0.0, "max": 1.0}},
            "stop": {"trials": 15},
        }
    )
    controller = Controller(spec, SweepDirectory(tmp_path), slots=1)
    while (assignment := controller.next_step(None).assignment) is not None:
        number = assignment.number
        for step in range(9):
            if controller.should_prune(number, 1, [Report(step, float(number + step))]):
                controller.finish(Outcome(number, 1, "pruned"))
                break
        else:
            controller.finish(Outcome(number, 1, "returned", float(number + 4)))
    counts = controller.progress().counts
    assert counts["complete"] + counts["pruned"] == 15
    assert counts["pruned"] > 0


def test_wilcoxon_without_scipy_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruners, "find_spec", lambda name: None)
    with pytest.raises(
        EntryError, match=r"^pruner\.type: wilcoxon needs the package scipy; pip install scipy"
    ):
        make("wilcoxon")


# Custom classes.

OWN = """
import optuna

class Mine(optuna.pruners.BasePruner):
    def __init__(self, depth):
        self.depth = depth

    def prune(self, study, trial):
        return True

class Unfinished(optuna.pruners.BasePruner): ...
"""


@pytest.fixture
def own(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module `own_pruner` in the current folder."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    (project / "own_pruner.py").write_text(OWN)
    monkeypatch.delitem(sys.modules, "own_pruner", raising=False)


@pytest.mark.usefixtures("own")
def test_a_custom_pruner_gets_its_options_but_not_the_metric() -> None:
    assert make({"type": "own_pruner:Mine", "depth": 3, "metric": "loss"}).depth == 3
    wrapped = make({"type": "patient", "patience": 1, "wrapped": {"type": "own_pruner:Mine", "depth": 3}})
    assert wrapped._wrapped_pruner.depth == 3


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("pruner", "message"),
    [
        (
            {"type": "own_pruner:Nine"},
            "pruner.type: 'own_pruner:Nine': own_pruner has no 'Nine'; did you mean",
        ),
        ({"type": "own_prunes:Mine"}, "pruner.type: 'own_prunes:Mine': there is no module 'own_prunes'"),
        (
            {"type": "own_pruner:optuna"},
            "pruner.type: 'own_pruner:optuna' is not a pruner; name a subclass of optuna",
        ),
        (
            {"type": "own_pruner:Mine"},
            "pruner: 'own_pruner:Mine' cannot be constructed with these options: TypeError",
        ),
        (
            {"type": "own_pruner:Unfinished"},
            "pruner: 'own_pruner:Unfinished' cannot be constructed with these options",
        ),
        (
            {"type": "patient", "patience": 1, "wrapped": {"type": "own_pruner:Nine"}},
            "pruner.wrapped.type: 'own_pruner:Nine': own_pruner has no 'Nine'",
        ),
    ],
)
def test_a_mistake_in_a_custom_class_is_one_error(pruner: Any, message: str) -> None:
    with pytest.raises(EntryError) as error:
        make(pruner)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("pruner", "said"),
    [
        ("none", None),
        ("median", None),
        ("asha", "asha with min_resource: auto prunes nothing until a trial is complete"),
        ({"type": "asha", "min_resource": 1}, None),
        ("hyperband", "hyperband with max_resource: auto prunes nothing until a trial is complete"),
        ({"type": "hyperband", "max_resource": 2}, "hyperband has only one bracket"),
        ({"type": "hyperband", "max_resource": 3}, None),
        ("wilcoxon", "wilcoxon treats steps as instances"),
        ({"type": "patient", "patience": 1, "wrapped": "asha"}, "asha with min_resource: auto"),
        ({"type": "patient", "patience": 1}, None),
    ],
)
def test_surprising_behaviour_of_a_pruner_is_noted(pruner: Any, said: str | None) -> None:
    notes = pruner_notes(read(pruner))
    assert len(notes) == (said is not None)
    assert all(note.startswith(str(said)) for note in notes)


@pytest.mark.parametrize("pruner", ["wilcoxon", {"type": "patient", "patience": 1, "wrapped": "wilcoxon"}])
def test_wilcoxon_is_not_noted_with_repeats_where_it_compares_seeds(pruner: Any) -> None:
    assert len(pruner_notes(read(pruner))) == 1
    assert pruner_notes(read(pruner), has_repeats=True) == []


@pytest.mark.parametrize(
    ("pruner", "is_noted"),
    [
        ("median", True),
        ({"type": "percentile", "percentile": 75}, True),
        ({"type": "percentile", "percentile": 75, "warmup_steps": 1}, False),
        ({"type": "patient", "patience": 1, "wrapped": "median"}, True),
        ({"type": "patient", "patience": 1}, False),
        ("asha", False),
        ("none", False),
    ],
)
def test_a_pruner_that_judges_the_first_report_is_noted(pruner: Any, is_noted: bool) -> None:
    assert bool(first_report_note(read(pruner))) == is_noted


def test_hyperband_below_the_noted_bound_has_one_bracket() -> None:
    for resource, brackets in ((2, 1), (3, 2)):
        pruner = make({"type": "hyperband", "max_resource": resource})
        pruner._try_initialization(None)
        assert pruner._n_brackets == brackets


@pytest.mark.parametrize("type_", PRUNERS)
def test_every_pruner_of_the_sweep_file_is_made(type_: str) -> None:
    assert isinstance(make({"type": type_, **EXAMPLES[type_]}), optunas.BasePruner)
