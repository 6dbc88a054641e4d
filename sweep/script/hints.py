"""What to write in the sweep file, by the error message that a script ends with."""

from __future__ import annotations

import re


def _write(macro: str, why: str) -> str:
    return f'{why}: write command: ["${{interpreter}}", "${{program}}", "${{{macro}}}"]'


_FLAGS = "a flag has no value (in a W&B file, ${args_no_boolean_flags} passes it)"
_LISTS = "for this option a list is several arguments"
_ARGPARSE_LISTS = f'{_write("args_hf", _LISTS)}, or "${{args_argparse}}" if flags have no value'
_HINTS = {
    r"No API key configured": "wandb runs offline here, without an account, which wandb.Api needs",
    r"Cannot use artifact when in offline mode|not supported in offline mode": (
        "wandb runs offline here: download what the script needs before the sweep"
    ),
    r"\\r.: (command not found|No such file or directory)": (
        "a script has CRLF line ends: convert it with sed -i 's/\\r$//' SCRIPT"
    ),
    r"EADDRINUSE|[Aa]ddress already in use": (
        "another trial or program uses this port: let the system choose a free one (torchrun --standalone, "
        "port 0), or write max_parallel: 1"
    ),
    # Hydra's usage is that of argparse.
    r"--hydra-help(.*\n)+.*unrecognized arguments: -": _write(
        "args_hydra", "Hydra reads name=value, without --"
    ),
    # argparse; BooleanOptionalAction
    r"argument \S*--no-\S+: ignored explicit argument": _write("args_tyro", "the flag is --x or --no-x"),
    r"ignored explicit argument '(True|False)'": _write("args_argparse", _FLAGS),
    r"unrecognized arguments:(.* )?(True|False|--no-\S+)( |$)": _write("args_argparse", _FLAGS),
    r"argument \S+: (invalid .* value: '\[|expected (\d+ arguments|at least one argument))": _ARGPARSE_LISTS,
    r"argument \S+: invalid .* value: 'None'": _write("args_argparse", "leave an option out that is null"),
    # click, typer
    r"No such option:? '?--no-": _write("args_no_boolean_flags", "the flag is --x or nothing"),
    r"Option '\S+' does not take a value|unexpected extra arguments?(\(s\))? \((.* )?(True|False)": _write(
        "args_click", "a flag is --x or --no-x, without a value"
    ),
    r"Invalid value for '\S+': '\[": _write("args_click", _LISTS),
    r"Invalid value for '(--\S+)': '\1=|Option '\S+' requires \d+ arguments": _write("args_tyro", _LISTS),
    # tyro
    r"Unrecognized options: (.* )?(True|False)": _write("args_tyro", "a flag is --x or --no-x"),
    r"valid parse for arguments: \['\[": _write("args_tyro", _LISTS),
    # jsonargparse, LightningCLI
    r"Parser key .*(\n.*)*Given value: None": _write("args_jsonargparse", "null is not None"),
    # Hydra
    r"force-add of config groups is not supported": _write("args_hydra", "a config group has no ++"),
    r"OverrideParseException": _write("args_hydra", "this macro quotes values for Hydra"),
    r"Could not override '": _write(
        "args_override_hydra", "the config has no such key: correct its name, or, to add it"
    ),
}
"""Hints by regular expressions for the last lines of the output. The first that is found counts."""


def hint_for(output: str) -> str:
    """What the user can write instead, if the output has an error of which this is certain; otherwise empty.

    Args:
        output: the last lines of a failed script's output.
    """
    found = (hint for pattern, hint in _HINTS.items() if re.search(pattern, output, re.MULTILINE))
    return next(found, "")
