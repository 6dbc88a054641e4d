"""`GpuShares`: which share of a GPU each attempt requires."""

from __future__ import annotations

from dataclasses import dataclass, field

import optuna

from sweep.controller.gpu_sharing import GpuSharing, trials_of
from sweep.controller.live_trials import LiveTrials
from sweep.controller.runs import LiveRun
from sweep.messages import GpuUse, Outcome
from sweep.study import attributes
from sweep.sweepfile import SweepSpec

_UNMEASURED = 3
"""After this many results of trials whose memory is unknown, the user is notified."""


@dataclass(eq=False)
class GpuShares:
    """Knows the share of a GPU that each attempt requires, if the sweep file does not say it.

    A run that has run out of GPU memory gets a larger share for its next attempt. With `gpu: auto`, the
    memory that trials use decides about all of them.

    Args:
        spec: the sweep.
        study: its study, which keeps what was measured.
        live: the live trials.

    Attributes:
        share: with `gpu: auto`, the share of new attempts; None without.
    """

    spec: SweepSpec
    study: optuna.Study
    live: LiveTrials
    share: float | None = None
    _sharing: GpuSharing = field(default_factory=GpuSharing)
    _notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.spec.resources.is_auto:
            self._sharing = GpuSharing.restored(self.study.user_attrs.get(attributes.GPU_SHARING))
            self.share = self._sharing.share

    def of(self, run: LiveRun) -> float | None:
        """The share of the next attempt of a run; None for that of the sweep file.

        That can have changed since the run has got a larger one.
        """
        ordinary = self.spec.resources.gpus if self.share is None else self.share
        return run.gpu if run.gpu is not None and 0 < ordinary < run.gpu else self.share

    def record(self, run: LiveRun, outcome: Outcome) -> bool:
        """Take into account how an attempt ended.

        Returns:
            whether it failed because it shared its GPU with trials although the sweep file does not say so.
            That is not the trial's failure.
        """
        use = outcome.gpu
        if use is None:
            return False
        if self.share is not None:
            self._measure(outcome, use)
        if not use.is_exhausted or not 0 < use.share < 1:
            return False
        run.gpu = min(1.0, 2 * use.share) if self.share is None else 1.0
        self.live.of(run).store(run, attributes.GPU, run.gpu)
        return self.share is not None

    def _measure(self, outcome: Outcome, use: GpuUse) -> None:
        sharing = self._sharing
        before = sharing.trials
        if use.is_exhausted:
            sharing.add_failure(trials_of(use.share), use.peak, use.total)
        elif outcome.kind in ("returned", "pruned"):
            sharing.add_result(use.peak, use.total)
        self.study.set_user_attr(attributes.GPU_SHARING, sharing.state)
        self.share = sharing.share
        if sharing.trials < before and use.is_exhausted:
            self._notes.append(
                f"a GPU ran out of memory while {before} trials could share it; from now on "
                f"{sharing.trials} can"
            )
        elif sharing.trials != before:
            self._notes.append(
                f"trials use up to {sharing.largest / 1e9:.3g} GB of a GPU's {sharing.total / 1e9:.3g} GB: "
                f"{sharing.trials} can share it"
            )
        elif sharing.measured == 0 and sharing.done == _UNMEASURED:
            self._notes.append(
                "gpu: auto: the GPU memory of trials cannot be measured, so each has a GPU to itself; "
                "pip install 'sweep-hpo[gpu]', or let trials share GPUs with gpu: 0.5"
            )

    def take_notes(self) -> tuple[str, ...]:
        """The messages for the user since the last call."""
        notes, self._notes = tuple(self._notes), []
        return notes
