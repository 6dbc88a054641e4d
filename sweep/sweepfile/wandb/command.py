"""The rules of W&B's agent for a sweep's `command` (`arguments: nested`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sweep.sweepfile.command import ENVVAR, Command, CommandContext, macro_values


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


def make_command(items: tuple[str, ...], arguments: str) -> Command:
    """The command of a sweep file.

    Args:
        items: the sweep file's `command`.
        arguments: the sweep file's `arguments`: "dotted", or "nested" for W&B's rules.
    """
    return WandbCommand(items) if arguments == "nested" else Command(items)


def nest(params: Mapping[str, Any], groups: Iterable[str] | None = None) -> dict[str, Any]:
    """Parameters as W&B passes them: a group as one mapping, floats without a fraction as integers.

    Args:
        params: the parameters by dotted names.
        groups: the dotted names of the groups; by default every dot separates a group from its parameter.
    """
    nested: dict[str, Any] = {}
    names = None if groups is None else set(groups)
    for name, value in params.items():
        level, rest, prefix = nested, name, ""
        while True:
            group, below = _split(rest, prefix, names)
            if group is None or not isinstance(level.get(group, {}), dict):
                break
            prefix, level, rest = f"{prefix}{group}.", level.setdefault(group, {}), below
        # W&B's service passes parameters as JSON, where 2.0 becomes 2.
        level[rest] = int(value) if isinstance(value, float) and value.is_integer() else value
    return nested


def _split(name: str, prefix: str, groups: set[str] | None) -> tuple[str | None, str]:
    """The group at the beginning of a dotted name, or None, and the rest of the name."""
    parts = name.split(".")
    for count in range(1, len(parts)):
        group = ".".join(parts[:count])
        if groups is None or prefix + group in groups:
            return group, ".".join(parts[count:])
    return None, name
