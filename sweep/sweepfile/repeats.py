"""The sweep file's `repeats`: how often each trial is run."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag

from sweep.sweepfile.base import Model
from sweep.sweepfile.types import OrForms, as_integer, check_unique, invalid, short_repr

_MAX_REPEATS = 1000

Reduction = Literal["mean", "median", "min", "max"]
REDUCTIONS = get_args(Reduction)


_Count = Annotated[int, Field(gt=0, le=_MAX_REPEATS), BeforeValidator(as_integer)]
_Seed = Annotated[int, Field(ge=0, lt=2**32), BeforeValidator(as_integer)]


def _unique(seeds: tuple[int, ...]) -> tuple[int, ...]:
    check_unique(seeds)
    return seeds


_Seeds = Annotated[
    tuple[_Seed, ...], Field(min_length=1, json_schema_extra={"uniqueItems": True}), AfterValidator(_unique)
]


class Repeats(Model):
    """How often each trial is run, to tell a good configuration from a lucky seed.

    `seeds` is the number of runs, or a list of their seeds; `reduce` combines their values into the trial's.
    """

    seeds: Annotated[
        Annotated[_Count, Tag("<count>")] | Annotated[_Seeds, Tag("<list>")],
        Discriminator(lambda value: "<list>" if isinstance(value, list | tuple) else "<count>"),
    ]
    reduce: Reduction = "mean"

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of a trial's runs, and of their subdirectories of the trial's directory."""
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
    Repeats | None,
    BeforeValidator(_repeats),
    OrForms({"type": "integer", "minimum": 1, "maximum": _MAX_REPEATS}),
]
"""A number of repeats is short for `{seeds: ...}`."""
