"""Builds a trial's argument list from a command and the trial's parameters, without a shell.

The macros are those of W&B's agent (`wandb/sdk/launch/sweeps/utils.py`, `wandb/wandb_agent.py`), and those of
`argument_styles`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from sweep.errors import nearest
from sweep.sweepfile.argument_styles import HYDRA_DIRECTORIES, HYDRA_MACROS, STYLES, hydra_value
from sweep.sweepfile.argument_styles import CommandError as CommandError

NO_PROGRAM = "(none)"
"""The program of a W&B file that names none: W&B allows a function to be given later."""
EXIT_STATUS = "exit_status"
"""The metric of a W&B sweep without one: the script's exit status. A trial is complete if it is 0."""
DEFAULT_COMMAND = ("${env}", "${interpreter}", "${program}", "${args}")
ENV = "/usr/bin/env"
TRIAL_DIR = "${trial_dir}"
"""The trial's directory, in a command or `cwd`."""

ENVVAR = re.compile(r"\$\{envvar:([A-Z0-9_]*)\}")
_MACRO = re.compile(r"(\$?)\$\{([^{}]*)\}")
LIST_MACROS = (
    "args",
    "args_no_hyphens",
    "args_no_boolean_flags",
    "args_no_equals",
    *STYLES,
    "hydra_dirs",
)
"""Macros that become several arguments."""
_OVERRIDE = re.compile(r"\$\{args_no_hyphens\}|[+~]{0,2}[A-Za-z_][\w./@-]*=.*", re.DOTALL)
"""An item that can be an override of Hydra's."""
TEXT_MACROS = ("args_json", "args_json_file", "env", "interpreter", "program")
RANK_MACROS = ("gpus", "workers", "node_rank", "master_addr", "master_port")
TRIAL_MACROS = ("trial_dir", "number", "seed", "cwd", *RANK_MACROS)


def depends_on_trial(cwd: str) -> bool:
    """Whether a working directory is the trial's directory or inside it."""
    return cwd == TRIAL_DIR or cwd.startswith(f"{TRIAL_DIR}/")


@dataclass(frozen=True)
class CommandContext:
    """The values of a command's macros, in addition to the parameters.

    Args:
        interpreter: the Python interpreter for scripts.
        program: the script, if there is one.
        args_json_file: the path of the file for `${args_json_file}`.
        variables: the environment, for `${envvar:NAME}`.
        trial_dir: the trial's directory.
        number: the trial's number.
        seed: the trial's seed.
        cwd: the working directory, or the one of the sweep if that of the command is the trial's.
        ranks: the values of `RANK_MACROS`.
    """

    interpreter: str
    program: str | None
    args_json_file: str
    variables: Mapping[str, str]
    trial_dir: str
    number: int
    seed: int
    cwd: str
    ranks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Command:
    """A command with macros, which can be anywhere inside an item.

    In addition to W&B's macros there are `${name}` of a parameter, `${trial_dir}`, `${number}`, `${seed}`,
    `${cwd}` and `RANK_MACROS`; `$${...}` is a literal `${...}`. `WandbCommand` follows W&B's rules instead.

    Args:
        items: the program and its arguments.
    """

    items: tuple[str, ...]

    as_wandb: ClassVar[bool] = False

    def uses(self, macro: str) -> bool:
        """Whether the command contains a macro."""
        return any(f"${{{macro}}}" in item for item in self.items)

    def of_parameters(self, parameters: Iterable[str]) -> Command:
        """A command with only the arguments that contain parameters.

        Args:
            parameters: the names of the parameters.
        """
        passing = [name for name in LIST_MACROS if name != "hydra_dirs"]
        macros = [f"${{{name}}}" for name in (*passing, "args_json", *parameters)]
        items = [item for item in self.items[1:] if any(macro in item for macro in macros)]
        return type(self)(tuple(items))

    def with_hydra_dirs(self, parameters: Iterable[str], is_hydra_program: bool = False) -> Command:
        """A command that puts Hydra's output into the trial's directory, unless it says where else.

        Hydra's own default is a folder named after the second, which trials that start together would share.

        Args:
            parameters: the names of the parameters.
            is_hydra_program: whether the program uses Hydra even if no macro of the command does.
        """
        said = [*self.items, *parameters]
        if any(key in text for key in (*HYDRA_DIRECTORIES, "${hydra_dirs}") for text in said):
            return self
        for index, item in enumerate(self.items):
            if item in HYDRA_MACROS or (is_hydra_program and _OVERRIDE.fullmatch(item)):
                at = index + 1  # argparse, which Hydra uses, wants all overrides in one place
                return replace(self, items=(*self.items[:at], "${hydra_dirs}", *self.items[at:]))
        return self

    def check(self, parameters: Iterable[str]) -> None:
        """Ensure that every macro exists and can be used where it is.

        Args:
            parameters: the names of the parameters.

        Raises:
            CommandError: a macro is unknown, or is inside an item although it becomes several arguments.
        """
        macros = dict.fromkeys([*LIST_MACROS, *TEXT_MACROS, *TRIAL_MACROS, *parameters])
        for item in self.items:
            for escape, name in _MACRO.findall(item):
                if escape or ENVVAR.fullmatch(f"${{{name}}}"):
                    continue
                if name.startswith("envvar:"):
                    raise CommandError(f"{item!r}: ${{{name}}} names no variable; write it in capitals")
                if name not in macros:
                    near = nearest(name, macros)
                    hint = f"did you mean ${{{near}}}?" if near else f"for a literal one write $${{{name}}}"
                    raise CommandError(f"{item!r}: there is no ${{{name}}}; {hint}")
                if name in LIST_MACROS and item != f"${{{name}}}":
                    raise CommandError(f"{item!r}: ${{{name}}} is several arguments; make it a separate item")

    @property
    def variables(self) -> list[str]:
        """The names of the environment variables that the command uses."""
        return [name for item in self.items for name in ENVVAR.findall(item)]

    def arguments(self, params: Mapping[str, Any], context: CommandContext) -> list[str]:
        """The argument list of a trial.

        Args:
            params: the trial's parameters by dotted names.
            context: the values of all other macros.

        Raises:
            CommandError: the command uses a parameter that is not active in this trial, or a value cannot be
                passed in the form of its macro.
        """
        macros = macro_values(params, context)
        folder = hydra_value(f"{context.trial_dir}/hydra")
        macros["hydra_dirs"] = [f"{key}={folder}" for key in HYDRA_DIRECTORIES]
        texts: dict[str, str] = {
            "trial_dir": context.trial_dir,
            "cwd": context.cwd,
            "number": str(context.number),
            "seed": str(context.seed),
            **context.ranks,
            # After the macros above: a parameter called `seed` takes precedence.
            **{name: str(value) for name, value in params.items()},
            **{name: values[0] for name, values in macros.items() if name in TEXT_MACROS and values},
        }

        def replace(match: re.Match[str]) -> str:
            escape, name = match.groups()
            if escape:
                return match[0][1:]
            if variable := ENVVAR.fullmatch(match[0]):
                return context.variables.get(variable[1], variable[1])
            if name not in texts:
                raise CommandError(f"this trial has no {name!r} for ${{{name}}} in its command")
            return texts[name]

        arguments: list[str] = []
        for item in self.items:
            name = item[2:-1]
            if item == f"${{{name}}}" and name in STYLES:
                arguments += [text for param in params.items() for text in STYLES[name](*param)]
            elif item == f"${{{name}}}" and name in LIST_MACROS:
                arguments += macros[name]
            else:
                arguments.append(_MACRO.sub(replace, item))
        return arguments


def macro_values(params: Mapping[str, Any], context: CommandContext) -> dict[str, list[str]]:
    """The arguments that replace each of W&B's macros, as W&B writes them: values with Python's `str`."""
    pairs = [f"{name}={value}" for name, value in params.items()]
    return {
        "args": [f"--{pair}" for pair in pairs],
        "args_no_hyphens": pairs,
        "args_no_boolean_flags": [
            f"--{name}" if value is True else f"--{name}={value}"
            for name, value in params.items()
            if value is not False
        ],
        "args_no_equals": [text for name, value in params.items() for text in (f"--{name}", str(value))],
        "args_append_hydra": [f"+{pair}" for pair in pairs],
        "args_override_hydra": [f"++{pair}" for pair in pairs],
        "args_json": [json.dumps(dict(params))],
        "args_dict": list(params),
        "args_json_file": [context.args_json_file],
        "env": [ENV],
        "interpreter": [context.interpreter],
        "program": [] if context.program is None else [context.program],
    }
