"""How often each trial is run."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from sweep.errors import suggestion
from sweep.sweepfile.base import Model
from sweep.sweepfile.types import invalid, show

_MOST_REPEATS = 1000
REDUCTIONS = ("mean", "median", "min", "max")


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise invalid(f"expected a whole number or a list of such seeds, got {show(value)}")
    if value < 0:
        raise invalid(f"must not be negative, got {show(value)}")
    return int(value)


def _seeds(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        count = _whole(value)
        if count == 0:
            raise invalid("must be greater than 0, got 0")
        if count > _MOST_REPEATS:
            raise invalid(
                f"each trial would be run {show(count)} times, at most {_MOST_REPEATS} are possible; "
                f"a seed is written [{show(count)}]"
            )
        return count
    if not value:
        raise invalid("is empty; give at least one seed, for example [0, 1, 2], or their number")
    seeds = [_whole(seed) for seed in value]
    for index, seed in enumerate(seeds):
        if seed >= 2**32:
            raise invalid(f"{show(seed)} is no seed; a seed is below 2**32 (4294967296)")
        if seed in seeds[:index]:
            raise invalid(f"{seed} is there twice; leave one out")
    return tuple(seeds)


def _reduction(value: Any) -> Any:
    if value not in REDUCTIONS:
        raise invalid(f"{show(value)} is not known; {suggestion(value, REDUCTIONS)}")
    return value


class Repeats(Model):
    """How often each trial is run, to tell a good configuration from a lucky seed.

    `seeds` is their number, or the seeds themselves; `reduce` makes the trial's value of theirs.
    """

    seeds: Annotated[int | tuple[int, ...], BeforeValidator(_seeds)]
    reduce: Annotated[Literal["mean", "median", "min", "max"], BeforeValidator(_reduction)] = "mean"

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of a trial's runs: those of their directories in the trial's."""
        seeds = range(self.seeds) if isinstance(self.seeds, int) else self.seeds
        return tuple(f"seed-{seed}" for seed in seeds)

    def explicit_seed(self, repeat: int) -> int | None:
        """The seed that the sweep file gives to a repeat, if it does."""
        return None if isinstance(self.seeds, int) else self.seeds[repeat]


def as_repeats(raw: Any) -> Any:
    """A number of repeats is short for `{seeds: ...}`."""
    if isinstance(raw, list):
        raise invalid(f"expected how often each trial is run, got {show(raw)}; write {{seeds: {show(raw)}}}")
    return raw if raw is None or isinstance(raw, dict | Repeats) else {"seeds": raw}
