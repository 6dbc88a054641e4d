"""Parameters as arguments, in the form in which each library for command lines reads them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any


class CommandError(ValueError):
    """A command cannot become an argument list. The message is for the user."""


HYDRA_DIRECTORIES = ("hydra.run.dir", "hydra.sweep.dir")
"""Where Hydra writes. By default both are named after the second in which the program was started."""
_HYDRA_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*")
_HYDRA_KEY = re.compile(r"[A-Za-z0-9_/\\+.$%*@?|()\[\]{}:=, \t-]+")
"""What a key of a mapping can consist of. Hydra does not allow quotes around it."""
_HYDRA_NOT_A_STRING = re.compile(r"null|true|false|[+-]?(inf|nan|[\d_.]+(e[+-]?[\d_]+)?)", re.IGNORECASE)
_HYDRA_ESCAPED = re.compile(r"[\\()\[\]{}:=, \t]")


def hydra_value(value: Any) -> str:
    """A value in the grammar of Hydra's overrides, in which it is read as the same value.

    The grammar: https://hydra.cc/docs/advanced/override_grammar/basic. A string is quoted unless it is
    certain to be read as that string; in quotes, only backslashes before a quote count as escapes.

    Raises:
        CommandError: a mapping has a key that the grammar cannot express.
    """
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(map(hydra_value, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{_hydra_key(key)}:{hydra_value(item)}' for key, item in value.items())}}}"
    if not isinstance(value, str):
        return str(value)
    if _HYDRA_PLAIN.fullmatch(value) and not _HYDRA_NOT_A_STRING.fullmatch(value):
        return value
    text = re.sub(r"(\\+)(?='|\Z)", r"\1\1", value).replace("'", r"\'")
    return f"'{text}'"


def _hydra_key(key: str) -> str:
    if key != key.strip() or not _HYDRA_KEY.fullmatch(key) or _HYDRA_NOT_A_STRING.fullmatch(key):
        raise CommandError(f"Hydra cannot read the key {key!r} of a mapping; choose another name")
    return _HYDRA_ESCAPED.sub(r"\\\g<0>", key)


def _text(value: Any) -> str:
    """A value in one argument: as Python writes it, lists and mappings as JSON."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | tuple | dict) else str(value)


def _option(name: str, value: Any) -> list[str]:
    """An option with its value; the elements of a list are separate arguments, for `nargs`."""
    if not isinstance(value, list | tuple):
        return [f"--{name}={_text(value)}"]
    for item in value:
        if isinstance(item, str) and item.startswith("-"):
            raise CommandError(f"{name}: {item!r} in a list would be read as an option")
    return [f"--{name}", *map(_text, value)]


def _argparse(name: str, value: Any) -> list[str]:
    if value is None or value is False:
        return []
    return [f"--{name}"] if value is True else _option(name, value)


def _click(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    values = value if isinstance(value, list | tuple) else [] if value is None else [value]
    return [f"--{name}={_text(item)}" for item in values]


def _tyro(name: str, value: Any) -> list[str]:
    group, dot, own = name.rpartition(".")
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--{group}{dot}no-{own}"]
    return _option(name, value)


def _hf(name: str, value: Any) -> list[str]:
    return [] if value is None else _option(name, value)


def _jsonargparse(name: str, value: Any) -> list[str]:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return [f"--{name}={text}"]


STYLES: dict[str, Callable[[str, Any], list[str]]] = {
    "args_argparse": _argparse,
    "args_tyro": _tyro,
    "args_click": _click,
    "args_hf": _hf,
    "args_jsonargparse": _jsonargparse,
    "args_hydra": lambda name, value: [f"{name}={hydra_value(value)}"],
    # W&B has these two as well, but writes values with Python's `str`, which Hydra reads as something else.
    "args_append_hydra": lambda name, value: [f"+{name}={hydra_value(value)}"],
    "args_override_hydra": lambda name, value: [f"++{name}={hydra_value(value)}"],
}
"""The arguments for one parameter, by macro."""
HYDRA_MACROS = ("${args_hydra}", "${args_append_hydra}", "${args_override_hydra}")
