"""The sweep file as frozen values: `SweepSpec` and its parts."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from sweep.errors import suggestion
from sweep.spec.base import Model
from sweep.spec.parameters import Parameter
from sweep.spec.pruners import NoPruner, Pruner, typed
from sweep.spec.types import (
    Delay,
    DirectoryName,
    Flag,
    NonNegativeInteger,
    NonNegativeNumber,
    Number,
    PositiveInteger,
    PositiveNumber,
    Seconds,
    Word,
    mistake,
    show,
)
from sweep.spec.yaml import write_yaml

GOALS = ("maximize", "minimize")
SAMPLERS = ("tpe", "random", "grid")


def _goal(value: Any) -> Any:
    if value not in GOALS:
        raise mistake(f"{show(value)} is no goal; {suggestion(value, GOALS)}")
    return value


class Metric(Model):
    """What the sweep optimises: the name under which trials report it, and which way is better."""

    name: Word
    goal: Annotated[Literal["maximize", "minimize"], BeforeValidator(_goal)]

    def better(self, a: float, b: float) -> bool:
        """Whether `a` is strictly better than `b`."""
        return a > b if self.goal == "maximize" else a < b


class Sampler(Model):
    """How configurations are chosen. `seed` makes their sequence repeatable."""

    type: Literal["tpe", "random", "grid"] = "tpe"
    seed: NonNegativeInteger | None = None


def _gpu_share(value: Any) -> Any:
    if value > 1 and value != int(value):
        raise mistake(f"{value} is neither a share of one GPU (up to 1) nor a whole number of GPUs")
    return value


class Resources(Model):
    """What one trial occupies: cores (or a share of one) and GPUs (a share of one, or whole ones)."""

    cpu: NonNegativeNumber = 1
    gpu: Annotated[NonNegativeNumber, AfterValidator(_gpu_share)] = 0


class Stop(Model):
    """When the sweep has done enough. Whichever is reached first counts; without any it runs until stopped.

    `trials` are finished ones of any outcome, in all; `hours` is time the sweep ran, downtime not counted;
    `target` is a value of the metric.
    """

    trials: PositiveInteger | None = None
    hours: PositiveNumber | None = None
    target: Number | None = None


CAUSES = ("crash", "oom", "lost_node", "timeout", "error")
"""Why an attempt can fail: its process died, memory ran out, its machine was lost, it overran `timeout`, the
objective raised."""


def _causes(value: Any) -> Any:
    causes = [value] if isinstance(value, str) else value
    if not isinstance(causes, list | tuple):
        raise mistake(f"expected a list of causes, got {show(value)}; {suggestion(value, CAUSES)}")
    for cause in causes:
        if cause not in CAUSES:
            raise mistake(f"{show(cause)} is no cause; {suggestion(cause, CAUSES)}")
    return tuple(dict.fromkeys(causes))


class TrialRules(Model):
    """What one trial may take, and how it is run.

    `timeout` ends an attempt. A failed attempt is run again up to `retries` times if `retry_on` names its
    cause, after `backoff` (twice as long each time); lost machines do not count. The last `keep_checkpoints`
    of a trial are kept. A worker process is replaced after `recycle_after` trials, once it occupies
    `recycle_at_gb` of memory, or, with `isolate`, after each trial.
    """

    timeout: Seconds | None = None
    retries: NonNegativeInteger = 2
    retry_on: Annotated[tuple[str, ...], BeforeValidator(_causes)] = ("crash", "oom", "lost_node")
    backoff: Delay = 0.0
    keep_checkpoints: PositiveInteger = 1
    recycle_after: PositiveInteger | None = None
    recycle_at_gb: PositiveNumber | None = None
    isolate: Flag = False


_MOST_REPEATS = 1000
REDUCTIONS = ("mean", "median", "min", "max")


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise mistake(f"expected a whole number or a list of such seeds, got {show(value)}")
    if value < 0:
        raise mistake(f"must not be negative, got {show(value)}")
    return int(value)


def _seeds(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        count = _whole(value)
        if count == 0:
            raise mistake("must be greater than 0, got 0")
        if count > _MOST_REPEATS:
            raise mistake(
                f"each trial would be run {count} times, at most {_MOST_REPEATS} are possible; "
                f"a seed is written [{count}]"
            )
        return count
    if not value:
        raise mistake("is empty; give at least one seed, for example [0, 1, 2], or their number")
    seeds = [_whole(seed) for seed in value]
    for index, seed in enumerate(seeds):
        if seed >= 2**32:
            raise mistake(f"{show(seed)} is no seed; a seed is below 2**32 (4294967296)")
        if seed in seeds[:index]:
            raise mistake(f"{seed} is there twice; leave one out")
    return tuple(seeds)


def _reduction(value: Any) -> Any:
    if value not in REDUCTIONS:
        raise mistake(f"{show(value)} is not known; {suggestion(value, REDUCTIONS)}")
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


def _repeats(raw: Any) -> Any:
    if isinstance(raw, list):
        raise mistake(f"expected how often each trial is run, got {show(raw)}; write {{seeds: {show(raw)}}}")
    return raw if raw is None or isinstance(raw, dict | Repeats) else {"seeds": raw}


def _sampler(raw: Any) -> Any:
    if isinstance(raw, dict):
        raw = {"type": "tpe", **raw}
    return typed(raw, SAMPLERS)


def _metric(raw: Any) -> Any:
    if isinstance(raw, str):
        raise mistake(
            f"has no goal; write {{name: {raw}, goal: maximize}} or {{name: {raw}, goal: minimize}}"
        )
    return raw


def _parameters(raw: Any) -> Any:
    if isinstance(raw, dict):
        if not raw:
            raise mistake("is empty; give at least one, for example lr: {min: 1e-4, max: 1e-1, log: true}")
        for name in raw:
            if not isinstance(name, str) or not name or name != name.strip():
                raise mistake(f"{show(name)} cannot name a parameter; put a word in quotes", key=name)
    return raw


class SweepSpec(Model):
    """A whole sweep: what to run, what to vary, how to choose, and when to stop."""

    name: DirectoryName
    objective: Word
    metric: Annotated[Metric, BeforeValidator(_metric)]
    parameters: Annotated[dict[str, Parameter], BeforeValidator(_parameters)]
    sampler: Annotated[Sampler, BeforeValidator(_sampler)] = Sampler()
    pruner: Pruner = NoPruner(type="none")
    repeats: Annotated[Repeats | None, BeforeValidator(_repeats)] = None
    resources: Resources = Resources()
    max_parallel: PositiveInteger | None = None
    stop: Stop = Stop()
    trial: TrialRules = TrialRules()
    storage: Annotated[Word | None, Field(description="An Optuna storage URL instead of the journal")] = None

    @property
    def run_labels(self) -> tuple[str, ...]:
        """The names of the runs that each trial has; a nameless one without `repeats`."""
        return ("",) if self.repeats is None else self.repeats.labels

    def to_yaml(self) -> str:
        """The same sweep as a sweep file. Reading it again gives an equal spec."""
        data = self.model_dump(mode="json", exclude_none=True, exclude={"parameters"})
        data["parameters"] = {
            name: parameter.model_dump(exclude_defaults=True) for name, parameter in self.parameters.items()
        }
        return write_yaml(data)
