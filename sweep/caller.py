"""How the user has started a sweep: by a command or by a call, so that messages say what to write next."""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, ClassVar

PLACEHOLDER = "..."
"""A value that the user has to choose."""
_ARGUMENTS = ("name", "runs", "address", "inline", "fresh", "grace")
"""The arguments of a run. Other options are keys of the sweep file."""


class Caller(ABC):
    """The command or the call that runs a sweep. It can be repeated with changes, to resume the sweep."""

    start: ClassVar[str]
    """How any sweep is started."""

    @abstractmethod
    def option(self, name: str, value: Any) -> str:
        """How an option is written: `--runs DIR`, or `runs='DIR'`."""

    @abstractmethod
    def entry(self, key: str, value: Any) -> str:
        """How an entry of the sweep file is changed: `--set KEY=VALUE`, or `overrides={'KEY': 'VALUE'}`."""

    @abstractmethod
    def again(self, **changes: Any) -> str:
        """The command or call that resumes the sweep.

        Args:
            changes: options to set: `name`, `fresh`, or a key of the sweep file such as `stop.trials`.
        """


@dataclass(frozen=True)
class CommandLine(Caller):
    """The command line.

    Args:
        arguments: the arguments of `sweep`.
        folder: where it was given, if that is not the current folder.
    """

    arguments: Sequence[str]
    folder: str = ""
    start: ClassVar[str] = "`sweep run FILE`"

    def option(self, name: str, value: Any) -> str:
        return shlex.join(_options(name, value))

    def entry(self, key: str, value: Any) -> str:
        return shlex.join(["--set", f"{key}={value}"])

    def again(self, **changes: Any) -> str:
        kept = [argument for argument in self.arguments if argument != "--fresh"]
        command = shlex.join(["sweep", *replace(self, arguments=kept).changed(**changes).arguments])
        return f"cd {shlex.quote(self.folder)} && {command}" if self.folder else command

    def changed(self, **changes: Any) -> CommandLine:
        """The command with other options, or without those that are None."""
        arguments = self.arguments
        for name, value in changes.items():
            new = _options(name, value)
            arguments = [*_without(arguments, new), *(new if value is not None else [])]
        return replace(self, arguments=arguments)


def _options(name: str, value: Any) -> list[str]:
    if name == "stop.trials":
        return ["-n", str(value)]
    if name not in _ARGUMENTS:
        return ["--set", f"{name}={value}"]
    return [f"--{name}"] if value is True else [f"--{name}", str(value)]


def _without(arguments: Sequence[str], option: Sequence[str]) -> list[str]:
    """The arguments without an earlier value of an option."""
    flags = ("-n", "--trials") if option[0] == "-n" else (option[0],)
    kept: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        flag, equals, value = argument.partition("=")
        if flag in flags:
            given = [argument] if equals or len(option) == 1 else [argument, next(rest, "")]
            key = (value or given[-1]).partition("=")[0].strip()
            if flag == "--set" and key != option[1].partition("=")[0]:
                kept += given
        elif not (option[0] == "-n" and argument[:2] == "-n" and argument[2:].isdigit()):
            kept.append(argument)
    return kept


@dataclass(frozen=True)
class PythonCall(Caller):
    """A call of `sweep.run`.

    Args:
        what: its first argument, as Python code.
        name: the sweep's name.
        is_fresh: whether it was called with `fresh=True`.
        runs: the folder that contains the sweep; None if that is the default or was not recorded.
    """

    what: str = PLACEHOLDER
    name: str = PLACEHOLDER
    is_fresh: bool = False
    runs: str | None = None
    start: ClassVar[str] = "sweep.run(...)"

    def option(self, name: str, value: Any) -> str:
        shown = PLACEHOLDER if value == PLACEHOLDER else repr(value)
        if name == "stop.trials":
            return f"n_trials={shown}"
        group, _, key = name.rpartition(".")
        return f"{group}={{{key!r}: {shown}}}" if group else f"{name}={shown}"

    def entry(self, key: str, value: Any) -> str:
        return f"overrides={{{key!r}: {value!r}}}"

    def again(self, **changes: Any) -> str:
        changes = {"name": self.name, **({"runs": self.runs} if self.runs else {}), **changes}
        options = [self.option(name, value) for name, value in changes.items()]
        others = [] if self.what == PLACEHOLDER else [PLACEHOLDER]
        call = f"sweep.run({', '.join([self.what, *others, *options])})"
        return f"{call} without fresh=True" if self.is_fresh and "fresh" not in changes else call


_current: ContextVar[Caller] = ContextVar("caller")


def caller() -> Caller:
    """How the current sweep was started."""
    return _current.get(PythonCall())


@contextmanager
def called_by(new: Caller) -> Iterator[None]:
    """Inside the block, messages are for this caller."""
    token = _current.set(new)
    try:
        yield
    finally:
        _current.reset(token)
