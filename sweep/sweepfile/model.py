"""The sweep file as frozen values: `SweepSpec` and its parts."""

from __future__ import annotations

import shlex
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from sweep.errors import suggestion
from sweep.sweepfile.base import Model, require_one_of
from sweep.sweepfile.cluster_entries import RuntimeEnv
from sweep.sweepfile.command import CommandError
from sweep.sweepfile.constraints import Constraints, check_constraint_names
from sweep.sweepfile.declared_parameters import DEFINE_BY_RUN, DefineByRun, Parameters
from sweep.sweepfile.expressions import Limit
from sweep.sweepfile.parameter_forms import dump_parameters
from sweep.sweepfile.parameters import Choice, Constant
from sweep.sweepfile.patterns import metric_names
from sweep.sweepfile.pruners import NoPruner, Pruner
from sweep.sweepfile.repeats import RepeatsEntry
from sweep.sweepfile.resources import Resources
from sweep.sweepfile.samplers import Sampler, TpeSampler
from sweep.sweepfile.script_entries import (
    CommandEntry,
    Environment,
    MetricsFrom,
    check_objective,
    check_placeholders,
)
from sweep.sweepfile.tree import entry_path, flatten
from sweep.sweepfile.types import (
    Delay,
    DirectoryName,
    Flag,
    NonEmptyStr,
    NonNegativeInteger,
    Number,
    OrForms,
    PathText,
    PositiveInteger,
    PositiveIntegerOrUnlimited,
    PositiveNumber,
    Seconds,
    as_list,
    check_unique,
    expanding,
    invalid,
    short_repr,
)
from sweep.sweepfile.wandb.command import make_command
from sweep.sweepfile.yaml import write_yaml
from sweep.system.paths import expand_url

Goal = Literal["maximize", "minimize"]


class Metric(Model):
    """What the sweep optimizes: the name under which trials report it, and whether to maximize it."""

    name: NonEmptyStr
    goal: Goal

    def better(self, a: float, b: float) -> bool:
        """Whether `a` is strictly better than `b`."""
        return a > b if self.goal == "maximize" else a < b


def _limit(value: Any) -> str:
    return Limit(str(value)).text


_Limit = Annotated[
    str,
    BeforeValidator(_limit),
    WithJsonSchema({"type": "string", "pattern": r"^\s*[<>]=?\s*[-+.\d]"}),
]


class ListedMetric(Model):
    """One of several metrics: it is optimized if it has a `goal`, and kept within a limit if it has a
    `constraint` such as `<= 20`. It can have both."""

    model_config = ConfigDict(json_schema_extra=require_one_of(("goal", "constraint")))

    name: NonEmptyStr
    goal: Goal | None = None
    constraint: _Limit | None = None

    @model_validator(mode="after")
    def _check(self) -> ListedMetric:
        if self.goal is None and self.constraint is None:
            raise invalid('has no goal; write maximize or minimize, or a constraint such as "<= 20"')
        return self


class Stop(Model):
    """When the sweep stops: at the rule that is reached first. Without one it runs until the user stops it.

    `trials` is the number of finished trials, whatever their outcome; `time` is the time that the sweep ran,
    downtime excluded, in seconds or as 30m or 12h; `hours` is the same in hours; `target` is a value of the
    metric; `failures` is a number of failed trials, or `unlimited`: without it the sweep stops if the first
    five trials fail for the same reason; `plateau` is the number of complete trials in a row without a new
    best one.
    """

    trials: PositiveInteger | None = None
    time: Seconds | None = None
    hours: PositiveNumber | None = None
    target: Number | None = None
    failures: PositiveIntegerOrUnlimited | None = None
    plateau: PositiveInteger | None = None

    @model_validator(mode="after")
    def _check(self) -> Stop:
        if self.time is not None and self.hours is not None:
            raise invalid("is the same as 'hours'; leave one out", key="time")
        return self

    @property
    def seconds(self) -> float | None:
        """The limit on the time that the sweep runs, whether it is written as `time` or as `hours`."""
        return self.hours * 3600.0 if self.hours is not None else self.time


Cause = Literal["crash", "oom", "lost_node", "timeout", "error"]
CAUSES = get_args(Cause)
"""Why an attempt can fail: its process crashed, ran out of memory, was on a lost machine, exceeded `timeout`,
or the objective raised an exception."""


class TrialRules(Model):
    """Limits and rules for one trial.

    `timeout` terminates an attempt. A failed attempt is run again up to `retries` times if `retry_on` names
    its cause, after `backoff` (twice as long each time); lost machines do not count. The last
    `keep_checkpoints` checkpoints of a trial are kept. A worker process is replaced after `recycle_after`
    trials, once it occupies `recycle_at_gb` of memory, or, with `isolate`, after each trial.
    `system_metrics`: whether the use of CPU, GPU and memory is written to the run directory.
    """

    timeout: Seconds | None = None
    retries: NonNegativeInteger = 2
    retry_on: Annotated[tuple[Cause, ...], BeforeValidator(as_list), OrForms({"enum": list(CAUSES)})] = (
        "crash",
        "oom",
        "lost_node",
    )
    backoff: Delay = 0.0
    keep_checkpoints: PositiveInteger = 1
    recycle_after: PositiveInteger | None = None
    recycle_at_gb: PositiveNumber | None = None
    isolate: Flag = False
    system_metrics: Flag = True


def _metric(raw: Any) -> Any:
    if isinstance(raw, str):
        raise invalid(
            f"has no goal; write {{name: {raw}, goal: maximize}} or {{name: {raw}, goal: minimize}}"
        )
    return raw


DEFAULTS = "defaults"
_CONFIGURATION = {"anyOf": [{"const": DEFAULTS}, {"type": "object", "minProperties": 1}]}


def _enqueue(raw: Any) -> Any:
    entries = [] if raw is None else [raw] if isinstance(raw, (str, dict)) else raw
    if not isinstance(entries, (list, tuple)):
        raise invalid(f"expected a list such as [defaults, {{lr: 0.01}}], got {short_repr(raw)}")
    for index, entry in enumerate(entries):
        if entry != DEFAULTS and (not isinstance(entry, dict) or not entry):
            raise invalid(
                f"expected defaults or values such as {{lr: 0.01}}, got {short_repr(entry)}", key=index
            )
    return tuple(entries)


class SweepSpec(Model):
    """A whole sweep: what to run, the parameters, how to choose them, and when to stop.

    A sweep runs an `objective`, which is a function, or a `program`, which is a script, with a `command`.
    With `arguments: nested` W&B's rules apply to the command, and the parameters of a group are passed as one
    mapping. `cwd` and `env` are the working directory and environment; for a script they can contain
    `${trial_dir}`. `metrics_from` adds sources of a script's metrics.

    `metric` is what the sweep optimizes; with several `metrics`, it is the first of those with a goal.

    `name` is the name of the sweep's directory, by default that of the file. `parameters` is the search
    space, or `define-by-run`: then the objective suggests its parameters, as with `trial.suggest_float`.
    `constraints` on parameters, such as `batch_size * accum <= 1024`, hold in every trial. `enqueue` lists
    configurations to begin with: `defaults`, or values by name. `sampler` is how configurations are chosen,
    `pruner` which trials are stopped early. At most `max_parallel` trials run at once, by default as many as
    the machines can hold. `runtime_env` is Ray's runtime environment of the workers.
    """

    model_config = ConfigDict(
        json_schema_extra=require_one_of(("objective", "program", "command"), ("metric", "metrics"))
    )

    name: DirectoryName
    program: PathText | None = None
    command: CommandEntry = None
    arguments: Literal["dotted", "nested"] = "dotted"
    cwd: PathText | None = None
    metrics_from: MetricsFrom | None = None
    env: Annotated[Environment, Field(default_factory=dict)]
    objective: Annotated[PathText | None, AfterValidator(check_objective), Field(validate_default=True)] = (
        None
    )
    metric: Annotated[Metric, BeforeValidator(_metric)] = None  # type: ignore[assignment]
    metrics: Annotated[tuple[ListedMetric, ...], Field(min_length=1)] | None = None
    parameters: Parameters
    constraints: Constraints = ()
    enqueue: Annotated[
        tuple[Any, ...],
        BeforeValidator(_enqueue),
        WithJsonSchema({"anyOf": [_CONFIGURATION, {"type": "array", "items": _CONFIGURATION}]}),
    ] = ()
    sampler: Sampler = TpeSampler()
    pruner: Pruner = NoPruner(type="none")
    repeats: RepeatsEntry = None
    resources: Resources = Resources()
    max_parallel: PositiveInteger | None = None
    runtime_env: RuntimeEnv = Field(default_factory=dict)
    shared: Annotated[
        Flag | None,
        Field(
            description="Whether all machines of the cluster have the sweep's directory, which is found out "
            "by default; false sends all files through Ray"
        ),
    ] = None
    stop: Stop = Stop()
    trial: TrialRules = TrialRules()
    storage: Annotated[
        Annotated[NonEmptyStr, expanding(expand_url)] | None,
        Field(description="An Optuna storage URL instead of the journal"),
    ] = None

    @model_validator(mode="after")
    def _check(self) -> SweepSpec:
        if self.metrics is None and self.metric is None:
            raise PydanticCustomError("missing", "", {"key": "metric"})
        if self.metrics is not None:
            if self.metric is not None and self.metric not in self.goals:
                raise invalid("cannot be combined with metrics; leave one out", key="metric")
            check_unique([metric.name for metric in self.metrics], "metrics")
            if not self.goals:
                raise invalid("no metric has a goal; write goal: maximize or minimize for one", key="metrics")
            self.__dict__["metric"] = self.goals[0]
        if self.is_define_by_run:
            self._check_define_by_run()
        if self.arguments == "dotted":
            self._check_names_and_values()
        check_constraint_names(self.constraints, flatten(self.parameters))
        self._check_command()
        names = [goal.name for goal in self.goals]
        pruning_metric = getattr(self.pruner, "metric", None)
        if pruning_metric is not None and pruning_metric not in names:
            raise invalid(
                f"{pruning_metric!r} is not a metric with a goal; {suggestion(pruning_metric, names)}",
                key=("pruner", "metric"),
            )
        return self

    def _check_define_by_run(self) -> None:
        if self.objective is None:
            raise invalid(
                "a script cannot suggest parameters; declare them, for example {lr: {min: 0.0, max: 0.1}}",
                key="parameters",
            )
        if self.constraints:
            raise invalid(
                "require declared parameters; with define-by-run the objective calls trial.set_constraint",
                key="constraints",
            )

    def _check_names_and_values(self) -> None:
        """Ensure that names and values are distinct. W&B's rules distinguish `a.b` from `b` in the group `a`,
        and true from 1."""
        for name, flat in flatten(self.parameters).items():
            path = ("parameters", *entry_path(flat.path))
            if name != flat.name:
                raise invalid(f"the name {flat.name!r} is a duplicate; rename one", key=path)
            if isinstance(flat.parameter, Choice):
                check_unique(flat.parameter.values, (*path, "values"))

    def _check_command(self) -> None:
        check_placeholders(self.cwd, self.env, self.objective is None, flatten(self.parameters))
        if self.metrics_from is not None:
            if self.objective is not None:
                raise invalid(
                    "is for scripts; an objective calls trial.report; leave it out", key="metrics_from"
                )
            names = metric_names(self.metrics_from.regex)
            if self.metric.name not in names:
                raise invalid(
                    f"does not find {self.metric.name!r}; {suggestion(self.metric.name, names)}",
                    key=("metrics_from", "regex"),
                )
        if self.command is not None:
            try:
                make_command(self.command, self.arguments).check(flatten(self.parameters))
            except CommandError as error:
                raise invalid(str(error), key="command") from None

    @property
    def goals(self) -> tuple[Metric, ...]:
        """The metrics to optimize, in the file's order; several make a multi-objective sweep."""
        if self.metrics is None:
            return (self.metric,)
        listed = self.metrics
        return tuple(
            Metric(name=metric.name, goal=metric.goal) for metric in listed if metric.goal is not None
        )

    @property
    def limits(self) -> dict[str, Limit]:
        """The constraints on metrics."""
        limited = [metric for metric in self.metrics or () if metric.constraint is not None]
        return {metric.name: Limit(str(metric.constraint)) for metric in limited}

    @property
    def pruning_metric(self) -> Metric:
        """The metric whose reports the pruner sees."""
        name = getattr(self.pruner, "metric", None) or self.metric.name
        return next(goal for goal in self.goals if goal.name == name)

    @property
    def is_define_by_run(self) -> bool:
        """Whether the objective suggests its parameters, instead of the file declaring them."""
        return isinstance(self.parameters, DefineByRun)

    @property
    def varied(self) -> list[str]:
        """The dotted names of the parameters that can differ between trials."""
        return [
            name
            for name, flat in flatten(self.parameters).items()
            if flat.conditions or not isinstance(flat.parameter, Constant)
        ]

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """For each parameter in a group, by its dotted name: the names of its groups, and its own."""
        flat = flatten(self.parameters)
        return {name: found.path for name, found in flat.items() if found.path != (name,)}

    @property
    def entry_point(self) -> str:
        """The objective, program or command, for display."""
        return self.objective or self.program or shlex.join(self.command or ())

    @property
    def goals_text(self) -> str:
        """The goals and limits, for display: `minimize val/loss`."""
        goals = [f"{goal.goal} {goal.name}" for goal in self.goals]
        return ", ".join([*goals, *(f"{name} {limit.text}" for name, limit in self.limits.items())])

    @property
    def run_labels(self) -> tuple[str, ...]:
        """The names of each trial's runs; without `repeats` one run with an empty name."""
        return ("",) if self.repeats is None else self.repeats.labels

    def to_yaml(self) -> str:
        """The sweep as a sweep file. Reading it gives an equal spec."""
        omitted = {"parameters", "metrics" if self.metrics is None else "metric"}
        data = self.model_dump(mode="json", exclude_none=True, exclude=omitted)
        if data["arguments"] == "dotted":
            del data["arguments"]
        data = {key: value for key, value in data.items() if value not in ([], {})}
        data["resources"] = {key: value for key, value in data["resources"].items() if value != {}}
        data["parameters"] = (
            DEFINE_BY_RUN if self.is_define_by_run else dump_parameters(self.parameters.items())
        )
        return write_yaml(data)
