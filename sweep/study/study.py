"""`SweepStudy`: the Optuna study of a running sweep, opened for writing by its controller."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import optuna
from optuna.trial import FrozenTrial

from sweep.space import SearchSpace
from sweep.study.enqueue import enqueue_spec_configurations
from sweep.study.journal import Journal
from sweep.study.private import storage_of
from sweep.study.pruners import make_pruner
from sweep.study.pruning import Pruning
from sweep.study.ranking import Ranking
from sweep.study.requested import RequestedTrials
from sweep.study.samplers import make_sampler
from sweep.study.seeds import sweep_seed
from sweep.study.storage import IndexedJournalStorage, open_study
from sweep.sweepfile import SweepSpec
from sweep.system.directory import SweepDirectory


class SweepStudy:
    """Creates or loads a sweep's study with its sampler and pruner, and enqueues the first configurations.

    Args:
        spec: the sweep.
        space: its search space.
        directory: its directory.
        samples_ahead: whether configurations are sampled in a thread, before trials need them.
        known: a storage of this process that has read the journal.

    Attributes:
        optuna_study: Optuna's study.
        ranking: compares trials by the goals and limits.
        seed: the seed from which all seeds of the sweep are derived.
        pruning: the study's pruner.
        requested: enqueues trials at the request of users.
    """

    def __init__(
        self,
        spec: SweepSpec,
        space: SearchSpace,
        directory: SweepDirectory,
        samples_ahead: bool = False,
        known: IndexedJournalStorage | None = None,
    ) -> None:
        self.optuna_study: optuna.Study = open_study(spec, directory, known)
        storage = storage_of(self.optuna_study)
        self._storage = storage if isinstance(storage, IndexedJournalStorage) else None
        self._journal: Journal | None = storage.journal if self._storage is not None else None
        self.ranking = Ranking(spec)
        self.seed = sweep_seed(spec, self.optuna_study)
        self.requested = RequestedTrials(self.optuna_study)
        enqueue_spec_configurations(self.optuna_study, spec, space)
        pruning_goal = spec.goals.index(spec.pruning_metric)
        counted = getattr(spec.pruner, "steps", None) == "counted"
        self.pruning = Pruning(self.optuna_study, make_pruner(spec.pruner), pruning_goal, counted)
        # An enqueued trial exists before its parameters are sampled.
        sampled_so_far = sum(1 + len(trial.params) for trial in self.trials)
        self.optuna_study.sampler = make_sampler(
            spec.sampler, space, self.seed, sampled_so_far, len(spec.goals), pruning_goal, samples_ahead
        )

    @property
    def trials(self) -> list[FrozenTrial]:
        """Optuna's own trials, not copies. Do not change them."""
        return self.optuna_study.get_trials(deepcopy=False)

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Collect changes in the block, and write them to the journal together at its end."""
        with self._journal.batch() if self._journal is not None else nullcontext():
            yield
        if self._storage is not None:
            self._storage.write_snapshot_if_due()

    def close(self) -> None:
        """Write a snapshot, from which the study is opened the next time."""
        if self._storage is not None:
            self._storage.write_snapshot()

    def sync(self) -> None:
        """Ensure that the current batch is on the disk at its end, even if it contains no final state."""
        if self._journal is not None:
            self._journal.sync()
