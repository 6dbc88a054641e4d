"""From a command and a trial's parameters to an argument list: no shell ever reads it.

The macros are those of W&B's agent (`wandb/sdk/launch/sweeps/utils.py`, `wandb/wandb_agent.py`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sweep.errors import nearest

NO_PROGRAM = "(none)"
"""What stands for the program of a W&B file that names none: W&B lets a function be given later."""
EXIT_STATUS = "exit_status"
"""The metric of a W&B sweep that has none: what the script ends with. A trial is complete if that is 0."""
DEFAULT_COMMAND = ("${env}", "${interpreter}", "${program}", "${args}")
ENV = "/usr/bin/env"
TRIAL_DIR = "${trial_dir}"
"""In a command or `cwd`: the trial's directory."""

_ENVVAR = re.compile(r"\$\{envvar:([A-Z0-9_]*)\}")
_PLACE = re.compile(r"(\$?)\$\{([^{}]*)\}")
_LISTS = (
    "args",
    "args_no_hyphens",
    "args_no_boolean_flags",
    "args_no_equals",
    "args_append_hydra",
    "args_override_hydra",
)
_WORDS = ("args_json", "args_json_file", "env", "interpreter", "program")
_OF_TRIAL = ("trial_dir", "number", "seed")


def is_of_trial(cwd: str) -> bool:
    """Whether a working directory lies in the trial's directory."""
    return cwd == TRIAL_DIR or cwd.startswith(f"{TRIAL_DIR}/")


class CommandError(ValueError):
    """A command that cannot be turned into an argument list; the text is for people."""


@dataclass(frozen=True)
class CommandContext:
    """What a command may need besides the parameters.

    Args:
        interpreter: the Python to run scripts with.
        program: the script, if there is one.
        args_json_file: where `${args_json_file}` lies.
        variables: the environment, for `${envvar:NAME}`.
        trial_dir: the trial's directory.
        number: the trial's number.
        seed: the trial's seed.
    """

    interpreter: str
    program: str | None
    args_json_file: str
    variables: Mapping[str, str]
    trial_dir: str
    number: int
    seed: int


@dataclass(frozen=True)
class Command:
    """A command with macros.

    Args:
        items: what it consists of.
        as_wandb: whether it means exactly what it means to W&B's agent: a macro stands only for a whole item,
            and one that is not known for nothing. Otherwise `${name}` of a parameter, `${trial_dir}`,
            `${number}` and `${seed}` are known too, anywhere inside an item; `$${...}` is a literal one.
    """

    items: tuple[str, ...]
    as_wandb: bool = False

    def uses(self, macro: str) -> bool:
        """Whether a macro stands in it."""
        place = f"${{{macro}}}"
        return any(place == item or (place in item and not self.as_wandb) for item in self.items)

    def of_parameters(self, parameters: Iterable[str]) -> Command:
        """Only the arguments in which parameters are passed on.

        Args:
            parameters: their names.
        """
        places = [f"${{{name}}}" for name in [*_LISTS, "args_json", *([] if self.as_wandb else parameters)]]
        items = [item for item in self.items[1:] if any(place in item for place in places)]
        return Command(tuple(items), self.as_wandb)

    def check(self, parameters: Iterable[str]) -> None:
        """See that all macros are known.

        Args:
            parameters: the names of the parameters.

        Raises:
            CommandError: one is not, or it stands where it cannot.
        """
        if self.as_wandb:
            return
        known = dict.fromkeys([*_LISTS, *_WORDS, *_OF_TRIAL, *parameters])
        for item in self.items:
            for escape, name in _PLACE.findall(item):
                if escape or _ENVVAR.fullmatch(f"${{{name}}}"):
                    continue
                if name.startswith("envvar:"):
                    raise CommandError(f"{item!r}: ${{{name}}} names no variable; write it in capitals")
                if name not in known:
                    near = nearest(name, known)
                    hint = f"did you mean ${{{near}}}?" if near else f"for a literal one write $${{{name}}}"
                    raise CommandError(f"{item!r}: there is no ${{{name}}}; {hint}")
                if name in _LISTS and item != f"${{{name}}}":
                    raise CommandError(
                        f"{item!r}: ${{{name}}} is several arguments; make it an item of its own"
                    )

    @property
    def variables(self) -> list[str]:
        """The names of the environment variables that it asks for."""
        return [name for item in self.items for name in _ENVVAR.findall(item)]

    def arguments(self, params: Mapping[str, Any], facts: CommandContext) -> list[str]:
        """What to run.

        Args:
            params: the parameters as the macros are to see them; `nest` prepares them for W&B's.
            facts: everything else.

        Raises:
            CommandError: a parameter is not there.
        """
        macros = _macros(params, facts)
        if self.as_wandb:
            return self._as_wandb(macros, facts.variables)
        words: dict[str, str] = {
            "trial_dir": facts.trial_dir,
            "number": str(facts.number),
            "seed": str(facts.seed),
            # Behind them: who has a parameter of the name `seed` means that one.
            **{name: str(value) for name, value in params.items()},
            **{name: values[0] for name, values in macros.items() if name in _WORDS and values},
        }

        def replace(match: re.Match[str]) -> str:
            escape, name = match.groups()
            if escape:
                return match[0][1:]
            if variable := _ENVVAR.fullmatch(match[0]):
                return facts.variables.get(variable[1], variable[1])
            if name not in words:
                raise CommandError(f"this trial has no {name!r} for ${{{name}}} in its command")
            return words[name]

        found: list[str] = []
        for item in self.items:
            name = item[2:-1]
            if item == f"${{{name}}}" and name in _LISTS:
                found += macros[name]
            else:
                found.append(_PLACE.sub(replace, item))
        return found

    def _as_wandb(self, macros: Mapping[str, list[str]], variables: Mapping[str, str]) -> list[str]:
        found: list[str] = []
        for raw in self.items:
            # A variable that is not set becomes its own name, and what a variable holds may be a macro.
            item = _ENVVAR.sub(lambda match: variables.get(match[1], match[1]), raw)
            if item.startswith("${") and item.endswith("}"):
                found += macros.get(item[2:-1], [])
            else:
                found.append(item)
        return found


def _macros(params: Mapping[str, Any], facts: CommandContext) -> dict[str, list[str]]:
    """The macros that W&B knows. Values are written as Python's `str` writes them."""
    pairs = [f"{name}={value}" for name, value in params.items()]
    return {
        "args": [f"--{pair}" for pair in pairs],
        "args_no_hyphens": pairs,
        "args_no_boolean_flags": [
            f"--{name}" if value is True else f"--{name}={value}"
            for name, value in params.items()
            if value is not False
        ],
        "args_no_equals": [word for name, value in params.items() for word in (f"--{name}", str(value))],
        "args_append_hydra": [f"+{pair}" for pair in pairs],
        "args_override_hydra": [f"++{pair}" for pair in pairs],
        "args_json": [json.dumps(dict(params))],
        "args_dict": list(params),
        "args_json_file": [facts.args_json_file],
        "env": [ENV],
        "interpreter": [facts.interpreter],
        "program": [] if facts.program is None else [facts.program],
    }


def nest(params: Mapping[str, Any], groups: Iterable[str] | None = None) -> dict[str, Any]:
    """Parameters as W&B passes them: those of a group as one mapping, whole floats as whole numbers.

    Args:
        params: by dotted names.
        groups: the dotted names of the groups; by default every dot parts a group from its parameter.
    """
    nested: dict[str, Any] = {}
    known = None if groups is None else set(groups)
    for name, value in params.items():
        place, rest, prefix = nested, name, ""
        while True:
            group, rest_below = _split(rest, prefix, known)
            if group is None or not isinstance(place.get(group, {}), dict):
                break
            prefix, place, rest = f"{prefix}{group}.", place.setdefault(group, {}), rest_below
        place[rest] = _whole(value)
    return nested


def _split(name: str, prefix: str, known: set[str] | None) -> tuple[str | None, str]:
    """The group at the beginning of a dotted name, and what is left; no group if it begins with none."""
    parts = name.split(".")
    for count in range(1, len(parts)):
        group = ".".join(parts[:count])
        if known is None or prefix + group in known:
            return group, ".".join(parts[count:])
    return None, name


def _whole(value: Any) -> Any:
    """On their way through W&B's service, which speaks JSON, floats without a fraction become integers."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
