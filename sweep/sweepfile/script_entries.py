"""The entries of a sweep file about a script: `command`, `cwd`, `env`, `metrics_from` and others."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo

from sweep.sweepfile.base import Model
from sweep.sweepfile.command import TRIAL_DIR, Command, CommandError, is_of_trial
from sweep.sweepfile.patterns import pattern_error
from sweep.sweepfile.types import Scalar, invalid, is_valid_scalar, short_repr
from sweep.sweepfile.wandb.command import make_command

_Text = bool | float | str


def _command(raw: Any) -> Any:
    if raw is None:
        return None
    if isinstance(raw, str):
        try:
            items = shlex.split(raw)
        except ValueError:
            items = raw.split()
        shown = ", ".join(f'"{item}"' for item in items)
        raise invalid(f"expected a list of arguments, because no shell reads it; write [{shown}]")
    if not isinstance(raw, list | tuple):
        raise invalid(f'expected a list such as [python, train.py, "${{args}}"], got {short_repr(raw)}')
    if not raw:
        raise invalid('is empty; write for example [python, train.py, "${args}"], or leave it out')
    for item in raw:
        if item is None or not isinstance(item, Scalar):
            raise invalid(f"{short_repr(item)} is not an argument; write strings and numbers")
    return tuple(_text(item) for item in raw)


def _text(value: Any) -> str:
    text = str(value)
    if "\0" in text or not is_valid_scalar(value):
        raise invalid(f"{short_repr(value)} cannot be passed to a program")
    return text


_VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"


def _environment(raw: Any) -> Any:
    if not isinstance(raw, Mapping):
        raise invalid(f"expected variables such as {{DATA: /data}}, got {short_repr(raw)}")
    found = {}
    for name, value in raw.items():
        if not isinstance(name, str) or not re.fullmatch(_VARIABLE, name):
            raise invalid(
                f"{short_repr(name)} cannot name a variable; use letters, digits and '_'", key=str(name)
            )
        if name in ("SWEEP_TRIAL_DIR", "SWEEP_REPORTS"):
            raise invalid("is set by the sweep itself; choose another name", key=name)
        if value is None or not isinstance(value, Scalar):
            raise invalid(f"expected a string, a number, true or false, got {short_repr(value)}", key=name)
        found[name] = str(value).lower() if isinstance(value, bool) else _text(value)  # true, not True
    return found


def _patterns(raw: Any) -> Any:
    if isinstance(raw, Mapping):
        if not raw:
            raise invalid(r"is empty; write for example {val/loss: 'loss=(\S+)'}")
        for name, pattern in raw.items():
            if not isinstance(name, str) or not isinstance(pattern, str):
                raise invalid(
                    rf"expected a metric and a pattern, as val/loss: 'loss=(\S+)', got {short_repr(raw)}"
                )
            if (error := pattern_error(pattern, is_for_one=True)) is not None:
                raise invalid(error, key=name)
        return dict(raw)
    patterns = [raw] if isinstance(raw, str) else raw
    if not isinstance(patterns, list | tuple) or not patterns:
        raise invalid(rf"expected a pattern such as 'loss=(?P<loss>\S+)', got {short_repr(raw)}")
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise invalid(f"{short_repr(pattern)} is not a pattern")
        if (error := pattern_error(pattern, is_for_one=False)) is not None:
            raise invalid(error)
    return tuple(patterns)


CommandEntry = Annotated[
    tuple[str, ...] | None,
    BeforeValidator(_command, json_schema_input_type=Annotated[list[_Text], Field(min_length=1)] | None),
]
Environment = Annotated[
    dict[str, str],
    BeforeValidator(
        _environment,
        json_schema_input_type=Annotated[
            dict[str, _Text],
            Field(json_schema_extra={"propertyNames": {"pattern": f"^{_VARIABLE}$"}}),
        ],
    ),
]
_Patterns = Annotated[
    tuple[str, ...] | dict[str, str],
    BeforeValidator(
        _patterns,
        json_schema_input_type=str
        | Annotated[list[str], Field(min_length=1)]
        | Annotated[dict[str, str], Field(min_length=1)],
    ),
]


class MetricsFrom(Model):
    """Where a script's metrics are looked for, in addition to the places that need no setting.

    `regex` is a regular expression for the lines that the script prints, or a list of them, with groups named
    after metrics (and `step`); or a mapping from metrics to regular expressions with one group.
    """

    regex: _Patterns


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
        if not is_of_trial(cwd) or "${" in cwd.removeprefix(TRIAL_DIR):
            raise invalid(
                f"{short_repr(cwd)} is not possible; write a directory, or begin with ${{trial_dir}}",
                key="cwd",
            )
    if not is_script:
        return
    for name, value in variables.items():
        try:
            Command((f"{value} ",)).check(parameters)  # with the blank no item is a list of arguments
        except CommandError as error:
            text = (
                str(error).replace(" '", "'", 1).replace("make it an item of its own", "a variable holds one")
            )
            raise invalid(text, key=("env", name)) from None


def check_objective(value: str | None, info: ValidationInfo) -> str | None:
    """Ensure that the sweep runs exactly one thing. Entries that are invalid themselves are not in `info`."""
    if not {"program", "command", "arguments"} <= info.data.keys():
        return value
    program, command, arguments = (info.data[key] for key in ("program", "command", "arguments"))
    script = [key for key in ("program", "command") if info.data[key] is not None]
    if value is not None and script:
        raise invalid(f"excludes {script[0]!r}: a sweep runs a function or a script; leave one out")
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
