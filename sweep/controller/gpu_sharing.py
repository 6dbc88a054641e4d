"""How many trials share a GPU with `gpu: auto`, from the memory that they were seen to use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

_MEASURED_ALONE = 2
"""How many trials are measured before trials share a GPU."""
_MARGIN = 0.1
"""How much more memory than was seen a trial may need: fragmentation, a peak between two samples."""
_CONFIRMED, _CONFIRMED_VARIED = 5, 20
"""After this many results the margin is 0, if trials need the same and if they do not."""
_SAME = 0.01
"""Trials whose memory differs by less than this share of it need the same."""
_UNITS = 10_000
"""Ray counts shares of a GPU in units of 1/10,000."""


@dataclass
class GpuSharing:
    """Decides how many trials share a GPU.

    At first one: a trial that runs alone shows what it needs. Then as many as fit if each needs as much as
    the largest trial so far and a margin. The margin falls to 0 while more and more trials need no more than
    expected. If the needs differ, the largest is extrapolated from those seen. After a GPU has run out of
    memory, fewer trials share each, for the rest of the sweep.

    Before that, their number falls only if there is not enough memory for as many of the largest: each change
    replaces all workers, and an extrapolation rises a little with each larger trial.

    Attributes:
        trials: how many trials share a GPU now.
        largest: the most memory that a trial was seen to use, in bytes.
        smallest: the least memory that a trial was seen to use.
        measured: how many trials were measured.
        done: how many attempts ended since one has used more memory than expected.
        total: the memory of the smallest GPU, in bytes.
        failed: the least trials that shared a GPU which ran out of memory; 0 if none has.
    """

    trials: int = 1
    largest: int = 0
    smallest: int = 0
    measured: int = 0
    done: int = 0
    total: int = 0
    failed: int = 0

    @classmethod
    def restored(cls, state: Mapping[str, Any] | None) -> GpuSharing:
        """The state that an earlier controller has stored; a new one without."""
        sharing = cls(**state) if state else cls()
        sharing._decide()
        return sharing

    @property
    def state(self) -> dict[str, Any]:
        """The state, serializable as JSON."""
        return asdict(self)

    @property
    def share(self) -> float:
        """What each of them holds of a GPU."""
        return share_of(self.trials)

    def add_result(self, used: int | None, total: int) -> None:
        """Take into account an attempt that has not run out of memory.

        Args:
            used: the most memory that it used; None if that could not be measured.
            total: the memory of its GPU; 0 if unknown.
        """
        self.done += 1
        self._measure(used, total)
        self._decide()

    def add_failure(self, sharing: int, used: int | None, total: int) -> None:
        """Take into account an attempt that has run out of memory.

        Args:
            sharing: how many trials shared its GPU. If it was alone, no other trial was the cause.
            used: the most memory that it used before that; None if that could not be measured.
            total: the memory of its GPU; 0 if unknown.
        """
        if sharing <= 1:
            return
        # What it was seen to use is less than what it needs: that is measured when it runs again, alone.
        if used is not None and used > self.largest:
            self._measure(used, total)
        self.failed = min(self.failed or sharing, sharing)
        self._decide()

    def _decide(self) -> None:
        if self.measured < _MEASURED_ALONE or self.total <= 0:
            return
        fitting = max(1, int(self.total / (self._expected * (1 + self._margin))))
        if self.failed:
            fitting = min(fitting, max(1, self._limit))
        elif self.trials * self.largest <= self.total:
            fitting = max(fitting, self.trials)
        self.trials = min(fitting, _UNITS)

    def _measure(self, used: int | None, total: int) -> None:
        if used is None or used <= 0 or total <= 0:
            return
        if used > self._expected * (1 + _SAME):
            self.done = min(self.done, 1)
        self.measured += 1
        self.largest = max(self.largest, used)
        self.smallest = min(self.smallest or used, used)
        self.total = min(self.total or total, total)

    @property
    def _limit(self) -> int:
        """How many trials may share a GPU after one has run out of memory.

        One less than then, if what trials use explains why there was not enough memory. If not, some use more
        than was measured.
        """
        is_explained = self._expected * self.failed * (1 + _MARGIN) > self.total
        return self.failed - 1 if is_explained else self.failed // 2

    @property
    def _expected(self) -> float:
        """The most memory that a trial may need, in bytes, from the largest and the smallest of those seen.

        If the needs are spread evenly, the largest one of all is as far above the largest seen as those are
        apart on average.
        """
        return self.largest + (self.largest - self.smallest) / max(1, self.measured - 1)

    @property
    def _margin(self) -> float:
        is_varied = self.largest - self.smallest > _SAME * self.largest
        if self.failed and not is_varied:
            return 0.0
        return _MARGIN * max(0.0, 1 - self.done / (_CONFIRMED_VARIED if is_varied else _CONFIRMED))


def share_of(trials: int) -> float:
    """The share of a GPU that each of so many trials holds, rounded down to what Ray distinguishes."""
    return _UNITS // trials / _UNITS


def trials_of(share: float) -> int:
    """How many trials with this share of a GPU have room on it."""
    return _UNITS // max(1, round(share * _UNITS)) if share < 1 else 1
