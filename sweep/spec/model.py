"""The sweep file as frozen values: `SweepSpec` and its parts."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from sweep.errors import suggestion
from sweep.objective.command import Command, CommandError
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
    Scalar,
    Seconds,
    Word,
    is_sound,
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


def _command(raw: Any) -> Any:
    if isinstance(raw, str):
        try:
            items = shlex.split(raw)
        except ValueError:
            items = raw.split()
        shown = ", ".join(f'"{item}"' for item in items)
        raise mistake(f"expected a list of arguments, for no shell reads it; write [{shown}]")
    if not isinstance(raw, list | tuple):
        raise mistake(f'expected a list such as [python, train.py, "${{args}}"], got {show(raw)}')
    if not raw:
        raise mistake('is empty; write for example [python, train.py, "${args}"], or leave it out')
    for item in raw:
        if item is None or not isinstance(item, Scalar):
            raise mistake(f"{show(item)} is no argument; write words and numbers, in quotes where needed")
    return tuple(_text(item) for item in raw)


def _text(value: Any) -> str:
    text = str(value)
    if "\0" in text or not is_sound(value):
        raise mistake(f"{show(value)} cannot be passed to a program")
    return text


_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _environment(raw: Any) -> Any:
    if not isinstance(raw, Mapping):
        raise mistake(f"expected variables such as {{DATA: /data}}, got {show(raw)}")
    found = {}
    for name, value in raw.items():
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
            raise mistake(f"{show(name)} cannot name a variable; use letters, digits and '_'", key=str(name))
        if name == "SWEEP_TRIAL_DIR":
            raise mistake("is set by the sweep itself; choose another name", key=name)
        if value is None or not isinstance(value, Scalar):
            raise mistake(f"expected a word, a number, true or false, got {show(value)}", key=name)
        found[name] = str(value).lower() if isinstance(value, bool) else _text(value)  # as one writes it here
    return found


def _objective(value: str | None, info: ValidationInfo) -> str | None:
    """See that exactly one thing is to be run. What is missing in `info` is wrong in itself."""
    if not {"program", "command", "arguments", "groups"} <= info.data.keys():
        return value
    program, command = info.data["program"], info.data["command"]
    script = [key for key in ("program", "command") if info.data[key] is not None]
    if value is not None and script:
        raise mistake(f"excludes {script[0]!r}: a sweep runs a function or a script; leave one out")
    if value is not None and (info.data["arguments"] != "dotted" or info.data["groups"] is not None):
        raise mistake("is a function: 'arguments' and 'groups' are for scripts; leave them out")
    if value is None and not script:
        raise mistake(
            "is missing; write for example objective: train.py:train (a function in a file), "
            "or program: train.py (a script)",
            key="objective",
        )
    if (
        program is None
        and command is not None
        and Command(command, info.data["arguments"] == "nested").uses("program")
    ):
        raise mistake(
            "is missing, but the command uses ${program}; write for example program: train.py", key="program"
        )
    return value


ARGUMENTS = ("dotted", "nested")


def _arguments(value: Any) -> Any:
    if value not in ARGUMENTS:
        raise mistake(f"{show(value)} is not possible; {suggestion(value, ARGUMENTS)}")
    return value


class SweepSpec(Model):
    """A whole sweep: what to run, what to vary, how to choose, and when to stop.

    It runs an `objective`, which is a function, or a `program`, which is a script, with a `command`. With
    `arguments: nested` the command is W&B's: its macros mean what they mean there, and parameters of a group
    (those in `groups`, or all with dots) are passed as one mapping. `cwd` and `env` are for all of them.
    """

    name: DirectoryName
    program: Word | None = None
    command: Annotated[tuple[str, ...] | None, BeforeValidator(_command)] = None
    arguments: Annotated[Literal["dotted", "nested"], BeforeValidator(_arguments)] = "dotted"
    groups: tuple[Word, ...] | None = None
    cwd: Word | None = None
    env: Annotated[dict[str, str], BeforeValidator(_environment), Field(default_factory=dict)]
    objective: Annotated[Word | None, AfterValidator(_objective), Field(validate_default=True)] = None
    metric: Annotated[Metric, BeforeValidator(_metric)]
    parameters: Annotated[dict[str, Parameter], BeforeValidator(_parameters)]
    sampler: Annotated[Sampler, BeforeValidator(_sampler)] = Sampler()
    pruner: Pruner = NoPruner(type="none")
    resources: Resources = Resources()
    max_parallel: PositiveInteger | None = None
    stop: Stop = Stop()
    trial: TrialRules = TrialRules()
    storage: Annotated[Word | None, Field(description="An Optuna storage URL instead of the journal")] = None

    @model_validator(mode="after")
    def _check_command(self) -> SweepSpec:
        if self.command is not None:
            try:
                Command(self.command, self.arguments == "nested").check(self.parameters)
            except CommandError as error:
                raise mistake(str(error), key="command") from None
        return self

    @property
    def work(self) -> str:
        """What it runs, in a word or two."""
        return self.objective or self.program or shlex.join(self.command or ())

    def to_yaml(self) -> str:
        """The same sweep as a sweep file. Reading it again gives an equal spec."""
        data = self.model_dump(mode="json", exclude_none=True, exclude={"parameters"})
        if self.arguments == "dotted":
            del data["arguments"]
        if not self.env:
            del data["env"]
        data["parameters"] = {
            name: parameter.model_dump(exclude_defaults=True) for name, parameter in self.parameters.items()
        }
        return write_yaml(data)
