"""The indexed journal storage shows the same trials as Optuna's own, with and without a snapshot."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from sweep.study.journal import Journal, JournalReader
from sweep.study.private import look_at_trials
from sweep.study.snapshot import read_snapshot
from sweep.study.storage import IndexedJournalStorage

X: dict[str, optuna.distributions.BaseDistribution] = {"x": optuna.distributions.FloatDistribution(0, 1)}
STATES = [None, *((state,) for state in TrialState), (TrialState.COMPLETE, TrialState.PRUNED)]


def open_study(folder: Path) -> tuple[optuna.Study, IndexedJournalStorage]:
    storage = IndexedJournalStorage(Journal(folder / "journal.log"), folder / ".snapshot")
    return optuna.create_study(storage=storage, study_name="s", load_if_exists=True), storage


def by_state(study: optuna.Study) -> list[list[FrozenTrial]]:
    return [study.get_trials(deepcopy=False, states=states) for states in STATES]


def read_by_optuna(folder: Path) -> optuna.Study:
    backend = JournalFileBackend(str(folder / "journal.log"))
    return optuna.load_study(study_name="s", storage=JournalStorage(backend))


def read_by_us(folder: Path) -> optuna.Study:
    storage = IndexedJournalStorage(JournalReader(folder / "journal.log"), folder / ".snapshot")
    return optuna.load_study(study_name="s", storage=storage)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(["ask", "enqueue", "report", "note", "tell", "prune", "look", "snapshot", "again"]),
        max_size=40,
    )
)
def test_trials_are_those_that_optuna_reads(
    tmp_path_factory: pytest.TempPathFactory, turns: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    study, storage = open_study(folder)
    live: list[optuna.Trial] = []
    looks: list[tuple[list[FrozenTrial], str]] = []
    for index, turn in enumerate(turns):
        if turn == "ask":
            live.append(study.ask(X))
        elif turn == "enqueue":
            study.enqueue_trial({"x": 0.5}, user_attrs={"by": index})
        elif turn == "report" and live:
            live[index % len(live)].report(float(index), index)
        elif turn == "note" and live:
            live[index % len(live)].set_user_attr(str(index), [index])
        elif turn == "tell" and live:
            study.tell(live.pop(index % len(live)), float(index))
        elif turn == "prune" and live:
            study.tell(live.pop(index % len(live)), state=TrialState.PRUNED)
        elif turn == "look":
            by_state(study)
            trials = study.get_trials(deepcopy=False)
            looks.append((trials, repr(trials)))
        elif turn == "snapshot":
            storage.write_snapshot()
        elif turn == "again":
            study, storage = open_study(folder)
            live = []
    assert by_state(study) == by_state(read_by_optuna(folder)) == by_state(read_by_us(folder))
    assert all(repr(trials) == text for trials, text in looks)


def test_a_snapshot_spares_the_lines_that_it_covers(tmp_path: Path) -> None:
    study, storage = open_study(tmp_path)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    storage.write_snapshot()
    study.tell(study.ask(X), 1.0)
    found = read_snapshot(tmp_path / ".snapshot", tmp_path / "journal.log")
    assert found is not None
    assert [trial.number for trial in found.trials] == [0, 1, 2]
    assert len(read_by_us(tmp_path).trials) == 4


@pytest.mark.parametrize("damage", ["cut", "changed", "journal cut", "journal changed"])
def test_a_snapshot_that_does_not_fit_is_ignored(tmp_path: Path, damage: str) -> None:
    study, storage = open_study(tmp_path)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    storage.write_snapshot()
    path, journal = tmp_path / ".snapshot", tmp_path / "journal.log"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    elif damage == "changed":
        path.write_bytes(b"\0" + path.read_bytes()[1:])
    elif damage == "journal cut":
        journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:-1]))
    else:
        journal.write_bytes(journal.read_bytes().replace(b'"x"', b'"y"'))
    assert read_snapshot(path, journal) is None
    assert by_state(read_by_us(tmp_path)) == by_state(read_by_optuna(tmp_path))


def test_the_trials_of_a_study_are_looked_at_without_a_copy(tmp_path: Path) -> None:
    study, _ = open_study(tmp_path)
    assert list(look_at_trials(study)) == []
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    running = study.ask(X)
    looked = look_at_trials(study)
    assert look_at_trials(study) is looked
    assert list(looked) == study.get_trials(deepcopy=False)
    kept = looked[3]
    running.report(1.0, 0)
    assert kept.intermediate_values == {}
    assert look_at_trials(study)[3].intermediate_values == {0: 1.0}
