"""What a sweep file may say of the script it runs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationInfo

from sweep.errors import suggestion
from sweep.sweepfile.command import TRIAL_DIR, Command, CommandError, is_of_trial
from sweep.sweepfile.patterns import why_wrong
from sweep.sweepfile.types import Scalar, invalid, is_sound, show


def as_command(raw: Any) -> Any:
    """A list of arguments, as text."""
    if raw is None:
        return None
    if isinstance(raw, str):
        try:
            items = shlex.split(raw)
        except ValueError:
            items = raw.split()
        shown = ", ".join(f'"{item}"' for item in items)
        raise invalid(f"expected a list of arguments, for no shell reads it; write [{shown}]")
    if not isinstance(raw, list | tuple):
        raise invalid(f'expected a list such as [python, train.py, "${{args}}"], got {show(raw)}')
    if not raw:
        raise invalid('is empty; write for example [python, train.py, "${args}"], or leave it out')
    for item in raw:
        if item is None or not isinstance(item, Scalar):
            raise invalid(f"{show(item)} is no argument; write words and numbers, in quotes where needed")
    return tuple(_text(item) for item in raw)


def _text(value: Any) -> str:
    text = str(value)
    if "\0" in text or not is_sound(value):
        raise invalid(f"{show(value)} cannot be passed to a program")
    return text


def as_patterns(raw: Any) -> Any:
    """Regular expressions: those whose groups are names, or one for each metric."""
    if isinstance(raw, Mapping):
        if not raw:
            raise invalid(r"is empty; write for example {val/loss: 'loss=(\S+)'}")
        for name, pattern in raw.items():
            if not isinstance(name, str) or not isinstance(pattern, str):
                raise invalid(rf"expected a metric and a pattern, as val/loss: 'loss=(\S+)', got {show(raw)}")
            if (why := why_wrong(pattern, is_for_one=True)) is not None:
                raise invalid(why, key=name)
        return dict(raw)
    patterns = [raw] if isinstance(raw, str) else raw
    if not isinstance(patterns, list | tuple) or not patterns:
        raise invalid(rf"expected a pattern such as 'loss=(?P<loss>\S+)', got {show(raw)}")
    for pattern in patterns:
        why = why_wrong(pattern, False) if isinstance(pattern, str) else f"{show(pattern)} is no pattern"
        if why is not None:
            raise invalid(why)
    return tuple(patterns)


def check_places(
    cwd: str | None, variables: Mapping[str, str], is_script: bool, parameters: Iterable[str]
) -> None:
    """See that what `cwd` and `env` say of the trial can be known.

    Args:
        cwd: the working directory.
        variables: the environment.
        is_script: whether it is for one: a function is in a process that serves several trials.
        parameters: the names of the parameters.
    """
    if cwd is not None and "\0" in cwd:
        raise invalid(f"{show(cwd)} cannot be a directory", key="cwd")
    if cwd is not None and "${" in cwd:
        if not is_script:
            raise invalid("is the same for all trials; an objective has trial.directory", key="cwd")
        if not is_of_trial(cwd) or "${" in cwd.removeprefix(TRIAL_DIR):
            raise invalid(
                f"{show(cwd)} is not possible; write a directory, or ${{trial_dir}} at its beginning",
                key="cwd",
            )
    if not is_script:
        return
    for name, value in variables.items():
        try:
            Command((f"{value} ",)).check(parameters)  # a list cannot be a variable
        except CommandError as error:
            text = (
                str(error).replace(" '", "'", 1).replace("make it an item of its own", "a variable holds one")
            )
            raise invalid(text, key=("env", name)) from None


_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def as_environment(raw: Any) -> Any:
    """Variables, as text."""
    if not isinstance(raw, Mapping):
        raise invalid(f"expected variables such as {{DATA: /data}}, got {show(raw)}")
    found = {}
    for name, value in raw.items():
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
            raise invalid(f"{show(name)} cannot name a variable; use letters, digits and '_'", key=str(name))
        if name in ("SWEEP_TRIAL_DIR", "SWEEP_REPORTS"):
            raise invalid("is set by the sweep itself; choose another name", key=name)
        if value is None or not isinstance(value, Scalar):
            raise invalid(f"expected a word, a number, true or false, got {show(value)}", key=name)
        found[name] = str(value).lower() if isinstance(value, bool) else _text(value)  # as one writes it here
    return found


def check_objective(value: str | None, info: ValidationInfo) -> str | None:
    """See that exactly one thing is to be run. What is missing in `info` is wrong in itself."""
    if not {"program", "command", "arguments"} <= info.data.keys():
        return value
    program, command = info.data["program"], info.data["command"]
    script = [key for key in ("program", "command") if info.data[key] is not None]
    if value is not None and script:
        raise invalid(f"excludes {script[0]!r}: a sweep runs a function or a script; leave one out")
    if value is not None and info.data["arguments"] != "dotted":
        raise invalid("is a function: 'arguments' is for scripts; leave it out")
    if value is None and not script:
        raise invalid(
            "is missing; write for example objective: train.py:train (a function in a file), "
            "or program: train.py (a script)",
            key="objective",
        )
    if (
        program is None
        and command is not None
        and Command(command, info.data["arguments"] == "nested").uses("program")
    ):
        raise invalid(
            "is missing, but the command uses ${program}; write for example program: train.py", key="program"
        )
    return value


ARGUMENTS = ("dotted", "nested")


def as_arguments(value: Any) -> Any:
    """How a command gets its parameters."""
    if value not in ARGUMENTS:
        raise invalid(f"{show(value)} is not possible; {suggestion(value, ARGUMENTS)}")
    return value
