"""The entries of a sweep file about a script: `command`, `cwd`, `env`, `metrics_from` and others."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    StrictStr,
    Tag,
    ValidationInfo,
    WithJsonSchema,
)

from sweep.sweepfile.base import Model
from sweep.sweepfile.command import TRIAL_DIR, Command, CommandError, depends_on_trial
from sweep.sweepfile.patterns import check_metric_pattern, check_pattern
from sweep.sweepfile.types import OrForms, Scalar, as_list, expanding, invalid, is_valid_scalar, short_repr
from sweep.sweepfile.wandb.command import make_command
from sweep.system.paths import expand_argument, expand_variable


def _text(value: Any) -> str:
    if value is None or not isinstance(value, Scalar):
        raise invalid(f"expected a string, a number, true or false, got {short_repr(value)}")
    if "\0" in str(value) or not is_valid_scalar(value):
        raise invalid(f"{short_repr(value)} cannot be passed to a program")
    return str(value)


def _variable_value(value: Any) -> str:
    return _text(value).lower() if isinstance(value, bool) else _text(value)  # true, as in the file


_TEXT_SCHEMA = WithJsonSchema({"type": ["boolean", "number", "string"]})


def _not_a_command_line(raw: Any) -> Any:
    if isinstance(raw, str):
        try:
            items = shlex.split(raw)
        except ValueError:
            items = raw.split()
        shown = ", ".join(f'"{item}"' for item in items)
        raise invalid(f"expected a list of arguments, because no shell parses it; write [{shown}]")
    return raw


CommandEntry = Annotated[
    Annotated[
        tuple[Annotated[str, BeforeValidator(_text), expanding(expand_argument), _TEXT_SCHEMA], ...],
        Field(min_length=1),
    ]
    | None,
    BeforeValidator(_not_a_command_line),
]

_VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"


def _variable_name(name: str) -> str:
    if not re.fullmatch(_VARIABLE, name):
        raise invalid(f"{short_repr(name)} cannot name a variable; use letters, digits and '_'")
    if name in ("SWEEP_TRIAL_DIR", "SWEEP_REPORTS", "SWEEP_WANDB_MODE"):
        raise invalid("is set by the sweep itself; choose another name")
    return name


Environment = Annotated[
    dict[
        Annotated[StrictStr, AfterValidator(_variable_name)],
        Annotated[str, BeforeValidator(_variable_value), expanding(expand_variable), _TEXT_SCHEMA],
    ],
    Field(json_schema_extra={"propertyNames": {"pattern": f"^{_VARIABLE}$"}}),
]


_Patterns = Annotated[
    tuple[Annotated[StrictStr, AfterValidator(check_pattern)], ...],
    Field(min_length=1),
    BeforeValidator(as_list),
    OrForms({"type": "string"}),
]
_PatternsOfMetrics = Annotated[
    dict[StrictStr, Annotated[StrictStr, AfterValidator(check_metric_pattern)]], Field(min_length=1)
]


class MetricsFrom(Model):
    """Additional sources of a script's metrics. The default sources need no entry.

    `regex` is a regular expression for the lines that the script prints, or a list of them, with groups named
    after metrics (and `step`); or a mapping from metrics to regular expressions with one group.
    """

    regex: Annotated[
        Annotated[_Patterns, Tag("<list>")] | Annotated[_PatternsOfMetrics, Tag("<mapping>")],
        Discriminator(lambda value: "<mapping>" if isinstance(value, Mapping) else "<list>"),
    ]


def check_placeholders(
    cwd: str | None, variables: Mapping[str, str], is_script: bool, parameters: Iterable[str]
) -> None:
    """Ensure that the placeholders in `cwd` and `env` can be replaced for each trial.

    Args:
        cwd: the working directory.
        variables: the environment.
        is_script: whether the sweep runs a script. A function runs in a process that serves several trials.
        parameters: the names of the parameters.
    """
    if cwd is not None and "\0" in cwd:
        raise invalid(f"{short_repr(cwd)} cannot be a directory", key="cwd")
    if cwd is not None and "${" in cwd:
        if not is_script:
            raise invalid("is the same for all trials; an objective has trial.directory", key="cwd")
        if not depends_on_trial(cwd) or "${" in cwd.removeprefix(TRIAL_DIR):
            raise invalid(
                f"{short_repr(cwd)} is not supported; write a directory, or begin with ${{trial_dir}}",
                key="cwd",
            )
    if not is_script:
        return
    for name, value in variables.items():
        try:
            Command((f"{value} ",)).check(parameters)  # the blank makes a list macro such as ${args} invalid
        except CommandError as error:
            text = str(error).replace(f"{value} ", value, 1)
            raise invalid(text, key=("env", name)) from None


def check_objective(value: str | None, info: ValidationInfo) -> str | None:
    """Ensure that the sweep runs either a function or a script. `info` has no invalid entries."""
    if not {"program", "command", "arguments"} <= info.data.keys():
        return value
    program, command, arguments = (info.data[key] for key in ("program", "command", "arguments"))
    script = [key for key in ("program", "command") if info.data[key] is not None]
    if value is not None and script:
        raise invalid(
            f"cannot be combined with {script[0]!r}: a sweep runs a function or a script; leave one out"
        )
    if value is not None and arguments != "dotted":
        raise invalid("is a function: 'arguments' is for scripts; leave it out")
    if value is None and not script:
        raise invalid(
            "is missing; write for example objective: train.py:train (a function in a file), "
            "or program: train.py (a script)",
            key="objective",
        )
    if program is None and command is not None and make_command(command, arguments).uses("program"):
        raise invalid(
            "is missing, but the command uses ${program}; write for example program: train.py", key="program"
        )
    return value
