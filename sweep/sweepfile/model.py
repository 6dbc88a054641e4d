"""The sweep file as frozen values: `SweepSpec` and its parts."""

from __future__ import annotations

import shlex
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from sweep.errors import suggestion
from sweep.sweepfile.base import Model
from sweep.sweepfile.command import Command, CommandError
from sweep.sweepfile.expressions import Expression, ExpressionError, Limit
from sweep.sweepfile.parameters import DEFINE_BY_RUN, Constant, DefineByRun, Parameters, dump_parameters
from sweep.sweepfile.patterns import metric_names
from sweep.sweepfile.programs import (
    as_arguments,
    as_command,
    as_environment,
    as_patterns,
    check_objective,
    check_places,
)
from sweep.sweepfile.pruners import NoPruner, Pruner
from sweep.sweepfile.repeats import Repeats, as_repeats
from sweep.sweepfile.samplers import Sampler, TpeSampler
from sweep.sweepfile.tree import flatten, group_names
from sweep.sweepfile.types import (
    Delay,
    DirectoryName,
    Flag,
    NonEmptyStr,
    NonNegativeInteger,
    NonNegativeNumber,
    Number,
    PositiveInteger,
    PositiveNumber,
    Seconds,
    invalid,
    show,
)
from sweep.sweepfile.yaml import write_yaml

GOALS = ("maximize", "minimize")


def _goal(value: Any) -> Any:
    if value not in GOALS:
        raise invalid(f"{show(value)} is no goal; {suggestion(value, GOALS)}")
    return value


class Metric(Model):
    """What the sweep optimises: the name under which trials report it, and which way is better."""

    name: NonEmptyStr
    goal: Annotated[Literal["maximize", "minimize"], BeforeValidator(_goal)]

    def better(self, a: float, b: float) -> bool:
        """Whether `a` is strictly better than `b`."""
        return a > b if self.goal == "maximize" else a < b


def _limit(value: Any) -> Any:
    try:
        Limit(str(value))
    except ExpressionError as error:
        raise invalid(str(error)) from None
    return value


class ListedMetric(Model):
    """One of several metrics: to be optimised if it has a `goal`, to be kept within a limit if it has a
    `constraint` such as `<= 20`, or both."""

    name: NonEmptyStr
    goal: Annotated[Literal["maximize", "minimize"] | None, BeforeValidator(_goal)] = None
    constraint: Annotated[str | None, BeforeValidator(_limit)] = None

    @model_validator(mode="after")
    def _check(self) -> ListedMetric:
        if self.goal is None and self.constraint is None:
            raise invalid('has no goal; write maximize or minimize, or a constraint such as "<= 20"')
        return self


def _gpu_share(value: Any) -> Any:
    if value > 1 and value != int(value):
        raise invalid(f"{value} is neither a share of one GPU (up to 1) nor a whole number of GPUs")
    return value


class Resources(Model):
    """What one trial occupies: cores (or a share of one) and GPUs (a share of one, or whole ones)."""

    cpu: NonNegativeNumber = 1
    gpu: Annotated[NonNegativeNumber, AfterValidator(_gpu_share)] = 0


class Stop(Model):
    """When the sweep has done enough. Whichever is reached first counts; without any it runs until stopped.

    `trials` are finished ones of any outcome, in all; `hours` is time the sweep ran, downtime not counted;
    `target` is a value of the metric; `failures` is a number of failed trials; `plateau` is how many trials
    in a row may be complete without one of them being the best so far.
    """

    trials: PositiveInteger | None = None
    hours: PositiveNumber | None = None
    target: Number | None = None
    failures: PositiveInteger | None = None
    plateau: PositiveInteger | None = None


CAUSES = ("crash", "oom", "lost_node", "timeout", "error")
"""Why an attempt can fail: its process died, memory ran out, its machine was lost, it overran `timeout`, the
objective raised."""


def _causes(value: Any) -> Any:
    causes = [value] if isinstance(value, str) else value
    if not isinstance(causes, list | tuple):
        raise invalid(f"expected a list of causes, got {show(value)}; {suggestion(value, CAUSES)}")
    for cause in causes:
        if cause not in CAUSES:
            raise invalid(f"{show(cause)} is no cause; {suggestion(cause, CAUSES)}")
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


class MetricsFrom(Model):
    """Where a script's metrics are looked for, besides the places that need no word.

    `regex` is a regular expression for the lines that it prints, or a list of them, with groups named after
    metrics (and `step`); or a mapping from metrics to regular expressions with one group.
    """

    regex: Annotated[tuple[str, ...] | dict[str, str], BeforeValidator(as_patterns)]


def _metric(raw: Any) -> Any:
    if isinstance(raw, str):
        raise invalid(
            f"has no goal; write {{name: {raw}, goal: maximize}} or {{name: {raw}, goal: minimize}}"
        )
    return raw


def _metrics(raw: Any) -> Any:
    if isinstance(raw, (list, tuple)) and not raw:
        raise invalid("is empty; write for example [{name: val/loss, goal: minimize}]")
    return raw


def _constraints(raw: Any) -> Any:
    texts = [raw] if isinstance(raw, str) else raw
    if not isinstance(texts, (list, tuple)):
        raise invalid(f'expected a list such as ["batch_size * accum <= 1024"], got {show(raw)}')
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise invalid(f'expected an expression such as "a + b <= 8", got {show(text)}', key=(index,))
        try:
            Expression(text)
        except ExpressionError as error:
            raise invalid(str(error), key=(index,)) from None
    return tuple(texts)


DEFAULTS = "defaults"


def _enqueue(raw: Any) -> Any:
    entries = [] if raw is None else [raw] if isinstance(raw, (str, dict)) else raw
    if not isinstance(entries, (list, tuple)):
        raise invalid(f"expected a list such as [defaults, {{lr: 0.01}}], got {show(raw)}")
    for index, entry in enumerate(entries):
        if entry == DEFAULTS:
            continue
        if not isinstance(entry, dict) or not entry:
            raise invalid(
                f"expected defaults or values such as {{lr: 0.01}}, got {show(entry)}", key=(index,)
            )
    return tuple(entries)


class SweepSpec(Model):
    """A whole sweep: what to run, what to vary, how to choose, and when to stop.

    It runs an `objective`, which is a function, or a `program`, which is a script, with a `command`. With
    `arguments: nested` the command is W&B's: its macros mean what they mean there, and the parameters of a
    group are passed as one mapping. `cwd` and `env` are for all of them; those of a script may
    say `${trial_dir}`. `metrics_from` says where else than in the usual places a script's metrics are.

    `metric` is what it optimises; where there are several `metrics`, it is the first of those with a goal.

    `name` is that of its directory, the file's own unless given. `parameters` are the space, or
    `define-by-run`: then the objective asks for them with `trial.suggest_float` and so on. `constraints` on
    them, such as `batch_size * accum <= 1024`, hold in every trial. `enqueue` lists configurations to begin
    with: `defaults`, or values by name. `sampler` says how configurations are chosen, `pruner` which trials
    are stopped early. At most `max_parallel` trials run at once, as many as fit unless given.
    """

    name: DirectoryName
    program: NonEmptyStr | None = None
    command: Annotated[tuple[str, ...] | None, BeforeValidator(as_command)] = None
    arguments: Annotated[Literal["dotted", "nested"], BeforeValidator(as_arguments)] = "dotted"
    cwd: NonEmptyStr | None = None
    metrics_from: MetricsFrom | None = None
    env: Annotated[dict[str, str], BeforeValidator(as_environment), Field(default_factory=dict)]
    objective: Annotated[
        NonEmptyStr | None, AfterValidator(check_objective), Field(validate_default=True)
    ] = None
    metric: Annotated[Metric, BeforeValidator(_metric)] = None  # type: ignore[assignment]
    metrics: Annotated[tuple[ListedMetric, ...] | None, BeforeValidator(_metrics)] = None
    parameters: Parameters
    constraints: Annotated[tuple[str, ...], BeforeValidator(_constraints)] = ()
    enqueue: Annotated[tuple[Any, ...], BeforeValidator(_enqueue)] = ()
    sampler: Sampler = TpeSampler()
    pruner: Pruner = NoPruner(type="none")
    repeats: Annotated[Repeats | None, BeforeValidator(as_repeats)] = None
    resources: Resources = Resources()
    max_parallel: PositiveInteger | None = None
    stop: Stop = Stop()
    trial: TrialRules = TrialRules()
    storage: Annotated[
        NonEmptyStr | None, Field(description="An Optuna storage URL instead of the journal")
    ] = None

    @model_validator(mode="after")
    def _check(self) -> SweepSpec:
        if self.metrics is None and self.metric is None:
            raise PydanticCustomError("missing", "", {"key": "metric"})
        if self.metrics is not None:
            if self.metric is not None and self.metric not in self.goals:
                raise invalid("is beside metrics; leave one out", key="metric")
            names = [metric.name for metric in self.metrics]
            for index, name in enumerate(names):
                if name in names[:index]:
                    raise invalid(f"{name!r} is there twice; write each metric once", key=("metrics", index))
            if not self.goals:
                raise invalid("none has a goal; write goal: maximize or minimize beside one", key="metrics")
            self.__dict__["metric"] = self.goals[0]
        if self.is_define_by_run:
            self._check_define_by_run()
        self._check_constraints()
        self._check_command()
        names = [goal.name for goal in self.goals]
        pruning_metric = getattr(self.pruner, "metric", None)
        if pruning_metric is not None and pruning_metric not in names:
            raise invalid(
                f"{pruning_metric!r} is no metric with a goal; {suggestion(pruning_metric, names)}",
                key=("pruner", "metric"),
            )
        return self

    def _check_define_by_run(self) -> None:
        if self.objective is None:
            raise invalid(
                "a script cannot ask for them; declare them, for example {lr: {min: 0.0, max: 0.1}}",
                key="parameters",
            )
        if self.constraints:
            raise invalid(
                "are about declared parameters; with define-by-run the objective calls trial.set_constraint",
                key="constraints",
            )

    def _check_command(self) -> None:
        check_places(self.cwd, self.env, self.objective is None, flatten(self.parameters))
        if self.metrics_from is not None:
            if self.objective is not None:
                raise invalid(
                    "is for scripts; an objective has trial.report; leave it out", key="metrics_from"
                )
            names = metric_names(self.metrics_from.regex)
            if self.metric.name not in names:
                raise invalid(
                    f"finds no {self.metric.name!r}; {suggestion(self.metric.name, names)}",
                    key=("metrics_from", "regex"),
                )
        if self.command is not None:
            try:
                Command(self.command, self.arguments == "nested").check(flatten(self.parameters))
            except CommandError as error:
                raise invalid(str(error), key="command") from None

    def _check_constraints(self) -> None:
        known = flatten(self.parameters)
        for index, text in enumerate(self.constraints):
            for name in Expression(text).names:
                if name not in known:
                    raise invalid(
                        f"there is no parameter {name!r}; {suggestion(name, known)}",
                        key=("constraints", index),
                    )

    @property
    def goals(self) -> tuple[Metric, ...]:
        """The metrics to be optimised, in the file's order; more than one make a multi-objective sweep."""
        if self.metrics is None:
            return (self.metric,)
        return tuple(Metric(name=one.name, goal=one.goal) for one in self.metrics if one.goal is not None)

    @property
    def limits(self) -> dict[str, Limit]:
        """The metrics that have to keep within a limit."""
        return {one.name: Limit(one.constraint) for one in self.metrics or () if one.constraint is not None}

    @property
    def pruning_metric(self) -> Metric:
        """The metric whose reports the pruner sees."""
        wanted = getattr(self.pruner, "metric", None) or self.metric.name
        return next(goal for goal in self.goals if goal.name == wanted)

    @property
    def is_define_by_run(self) -> bool:
        """Whether no parameter is declared, for the objective asks for them."""
        return isinstance(self.parameters, DefineByRun)

    @property
    def varied(self) -> list[str]:
        """The dotted names of the parameters in which trials differ."""
        return [
            name
            for name, node in flatten(self.parameters).items()
            if node.conditions or not isinstance(node.parameter, Constant)
        ]

    @property
    def groups(self) -> list[str]:
        """The dotted names of all groups of parameters."""
        return group_names(self.parameters)

    @property
    def work(self) -> str:
        """What it runs, in a word or two."""
        return self.objective or self.program or shlex.join(self.command or ())

    @property
    def aim(self) -> str:
        """What it is for, in words: `minimize val/loss`."""
        limited = [f"{one.name} {one.constraint}" for one in self.metrics or () if one.constraint is not None]
        return ", ".join([*(f"{goal.goal} {goal.name}" for goal in self.goals), *limited])

    @property
    def run_labels(self) -> tuple[str, ...]:
        """The names of the runs that each trial has; a nameless one without `repeats`."""
        return ("",) if self.repeats is None else self.repeats.labels

    def to_yaml(self) -> str:
        """The same sweep as a sweep file. Reading it again gives an equal spec."""
        omitted = {"parameters", "metrics" if self.metrics is None else "metric"}
        data = self.model_dump(mode="json", exclude_none=True, exclude=omitted)
        if data["arguments"] == "dotted":
            del data["arguments"]
        data = {key: value for key, value in data.items() if value not in ([], {})}
        data["parameters"] = (
            DEFINE_BY_RUN if self.is_define_by_run else dump_parameters(self.parameters.items())
        )
        return write_yaml(data)
