"""The rules of W&B's agent for a sweep's `command` (`arguments: nested`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from sweep.sweepfile.command import (
    ENVVAR,
    LIST_MACROS,
    TEXT_MACROS,
    Command,
    CommandContext,
    macro_values,
)

_MACRO_IN_TEXT = re.compile(r"\$\{[^:}]*\}")
"""`${lr}`, but not a resolver of OmegaConf such as `${oc.env:HOME}`, which is meant for the program."""
MACROS = (*LIST_MACROS, *TEXT_MACROS, "args_dict")
"""The macros of W&B's agent."""


@dataclass(frozen=True)
class WandbCommand(Command):
    """A command with the rules of W&B's agent: a macro is a whole item, and an unknown macro is left out."""

    as_wandb: ClassVar[bool] = True

    def uses(self, macro: str) -> bool:
        return f"${{{macro}}}" in self.items

    def of_parameters(self, parameters: Iterable[str]) -> Command:
        return super().of_parameters(())

    def with_hydra_dirs(self, parameters: Iterable[str], is_hydra_program: bool = False) -> Command:
        """This command: W&B passes nothing that the file does not contain."""
        return self

    def check(self, parameters: Iterable[str]) -> None:
        """Accept every command, as W&B does."""

    def arguments(self, params: Mapping[str, Any], context: CommandContext) -> list[str]:
        macros, variables = macro_values(params, context), context.variables
        arguments: list[str] = []
        for raw in self.items:
            # A variable that is not set becomes its own name, and the value of a variable can be a macro.
            item = ENVVAR.sub(lambda match: variables.get(match[1], match[1]), raw)
            if item.startswith("${") and item.endswith("}"):
                arguments += macros.get(item[2:-1], [])
            else:
                arguments.append(item)
        return arguments


def command_notes(items: Iterable[str]) -> list[str]:
    """Notes about macros that W&B's agent does not replace."""
    notes = []
    for item in items:
        if item.startswith("${") and item.endswith("}"):
            if item[2:-1] not in MACROS and not ENVVAR.search(item):
                notes.append(f"command: W&B has no macro {item}, and leaves it out")
        elif _MACRO_IN_TEXT.search(item):
            notes.append(
                f"command: {item!r} is passed as it is, because W&B replaces a macro only if it is a whole "
                "item; parameters are passed by ${args} and its variants (or translate the file with "
                "`sweep convert` and write arguments: dotted)"
            )
    return notes


def make_command(items: tuple[str, ...], arguments: str) -> Command:
    """The command of a sweep file.

    Args:
        items: the sweep file's `command`.
        arguments: the sweep file's `arguments`: "dotted", or "nested" for W&B's rules.
    """
    return WandbCommand(items) if arguments == "nested" else Command(items)


def nest(params: Mapping[str, Any], groups: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Parameters as W&B passes them: a group as one mapping, floats without a fraction as integers, and
    mappings among the values sorted by key.

    Args:
        params: the parameters by dotted names.
        groups: for each parameter in a group, the names of its groups and its own.
    """
    nested: dict[str, Any] = {}
    for name, value in params.items():
        *above, last = groups.get(name, (name,))
        level = nested
        for group in above:
            level = level.setdefault(group, {})
        # W&B's service passes parameters as JSON, where 2.0 becomes 2.
        level[last] = int(value) if isinstance(value, float) and value.is_integer() else _sorted(value)
    return nested


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value
