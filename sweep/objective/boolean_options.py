"""Notes about options of a script whose declaration turns False into True."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sweep.errors import InputError
from sweep.objective.function import parse_module
from sweep.objective.source_info import arguments_of, imports_of, in_order
from sweep.script.reference import ScriptReference
from sweep.sweepfile.command import CommandError
from sweep.sweepfile.parameters import Leaf


def boolean_option_notes(objective: Any, parameters: Mapping[str, Leaf]) -> list[str]:
    """A note for each option with argparse's `type=bool` that trials can set to False.

    `bool("False")` is True, as for every text but the empty one, so all trials would train with True.

    Args:
        objective: the sweep's objective. Only the file of a Python script is read, not what it imports.
        parameters: the search space.
    """
    if not isinstance(objective, ScriptReference) or objective.file is None or objective.file.suffix != ".py":
        return []
    with suppress(InputError):
        declared = _boolean_options(objective.file)
        return [
            f"{objective.file.name}:{line}: argparse's type=bool reads {argument} as True: declare it with "
            'action="store_true", and write command: ["${interpreter}", "${program}", "${args_argparse}"]'
            for name, line in declared.items()
            if name in parameters and (argument := _passed_as_false(objective, name, parameters[name]))
        ]
    return []


def _boolean_options(file: Path) -> dict[str, int]:
    """The names of the options with `type=bool`, and the lines in which they are declared."""
    tree = parse_module(file)
    if "argparse" not in {module.partition(".")[0] for module in imports_of(tree).values()}:
        return {}
    found = {}
    for node in in_order([tree]):
        match node:
            case ast.Call(func=ast.Attribute(attr="add_argument"), args=names):
                match arguments_of(node).get("type"):
                    case ast.Name(id="bool"):
                        for name in names:
                            if isinstance(name, ast.Constant) and str(name.value).startswith("--"):
                                found[str(name.value)[2:]] = node.lineno
    return found


def _passed_as_false(script: ScriptReference, name: str, parameter: Leaf) -> str:
    """The argument by which the script would receive False or 0; empty if no trial has that value, or if the
    command passes it in another way."""
    for value in (False, 0):
        if parameter.allows(value):
            with suppress(CommandError):
                arguments = script.as_arguments({name: value})
                return next((text for text in arguments if text == f"--{name}={value}"), "")
    return ""
