"""The sweep file's `repeats`: how often each trial is run."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field

from sweep.sweepfile.base import Model
from sweep.sweepfile.types import invalid, short_repr

_MAX_REPEATS = 1000
_SEED_LIMIT = 2**32

Reduction = Literal["mean", "median", "min", "max"]
REDUCTIONS = get_args(Reduction)


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise invalid(f"expected a whole number or a list of such seeds, got {short_repr(value)}")
    if value < 0:
        raise invalid(f"must be at least 0, got {short_repr(value)}")
    return int(value)


def _seeds(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        count = _integer(value)
        if count == 0:
            raise invalid("must be greater than 0, got 0")
        if count > _MAX_REPEATS:
            raise invalid(
                f"each trial would be run {short_repr(count)} times, at most {_MAX_REPEATS} are possible; "
                f"a seed is written [{short_repr(count)}]"
            )
        return count
    if not value:
        raise invalid("is empty; give at least one seed, for example [0, 1, 2], or their number")
    seeds = [_integer(seed) for seed in value]
    for index, seed in enumerate(seeds):
        if seed >= _SEED_LIMIT:
            raise invalid(f"{short_repr(seed)} is not a seed; a seed is below 2**32 (4294967296)")
        if seed in seeds[:index]:
            raise invalid(f"{seed} is a duplicate; leave one out")
    return tuple(seeds)


_Count = Annotated[int, Field(ge=1, le=_MAX_REPEATS)]
_SeedList = Annotated[
    list[Annotated[int, Field(ge=0, lt=_SEED_LIMIT)]],
    Field(min_length=1, json_schema_extra={"uniqueItems": True}),
]


class Repeats(Model):
    """How often each trial is run, to tell a good configuration from a lucky seed.

    `seeds` is the number of runs, or a list of their seeds; `reduce` combines their values into the trial's.
    """

    seeds: Annotated[
        int | tuple[int, ...], BeforeValidator(_seeds, json_schema_input_type=_Count | _SeedList)
    ]
    reduce: Reduction = "mean"

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of a trial's runs, which are also their directories below the trial's."""
        seeds = range(self.seeds) if isinstance(self.seeds, int) else self.seeds
        return tuple(f"seed-{seed}" for seed in seeds)

    def explicit_seed(self, repeat: int) -> int | None:
        """The seed of a repeat, if the sweep file lists the seeds."""
        return None if isinstance(self.seeds, int) else self.seeds[repeat]


def _repeats(raw: Any) -> Any:
    if isinstance(raw, list):
        text = short_repr(raw)
        raise invalid(f"expected how often each trial is run, got {text}; write {{seeds: {text}}}")
    return raw if raw is None or isinstance(raw, dict | Repeats) else {"seeds": raw}


RepeatsEntry = Annotated[
    Repeats | None, BeforeValidator(_repeats, json_schema_input_type=Repeats | _Count | None)
]
"""A number of repeats is short for `{seeds: ...}`."""
