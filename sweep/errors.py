"""Errors for the user. Each message says where the mistake is, what is wrong, and what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import PurePath

from sweep.caller import caller


class SweepError(Exception):
    """The sweep failed. The command line exits with status 1."""

    exit_status = 1


class SweepStopped(SweepError):
    """The sweep cannot continue now. Its finished trials are kept, and the message says how to resume it.

    Args:
        message: why it cannot continue.
    """

    def __init__(self, message: str) -> None:
        super().__init__(f"{message}\nresume with: {caller().again()}")


class InputError(SweepError):
    """The user's input (a file, an option, a name) is invalid. The command line exits with status 2."""

    exit_status = 2


class StartInterrupted(SweepError):
    """A signal arrived while the sweep was starting. Nothing was run.

    Args:
        signal: the number of the signal.
    """

    def __init__(self, signal: int) -> None:
        super().__init__("interrupted while the sweep was starting")
        self.exit_status = 128 + signal


class OperationInterrupted(SweepError):
    """A signal arrived while a request to a running sweep had not been carried out.

    Args:
        message: what becomes of the request.
        signal: the number of the signal, if one was caught.
    """

    def __init__(self, message: str, signal: int | None) -> None:
        super().__init__(f"interrupted: {message}")
        self.exit_status = 128 + (signal or 2)


class SpecError(InputError):
    """A sweep file is invalid. The message has one line for each mistake."""


class EntryError(InputError):
    """An entry of the sweep file is invalid, or refers to something that does not exist.

    Args:
        key: the dotted key of the entry.
        message: what is wrong and what to write instead.
    """

    def __init__(self, key: str, message: str) -> None:
        super().__init__(f"{key}: {message}")
        self.key = key


def nearest(name: object, candidates: Iterable[str]) -> str | None:
    """The candidate most similar to `name`, or None if none is similar."""
    text = str(name).lower()
    options = {candidate.lower(): candidate for candidate in candidates}
    matches = difflib.get_close_matches(text, options, n=1, cutoff=0.55)
    if not matches and len(text) >= 3:
        matches = [
            option
            for option in options
            if option.startswith(text) or (len(option) >= 3 and text.startswith(option))
        ]
    return options[matches[0]] if matches else None


def nearest_file(name: str, candidates: Iterable[str]) -> str | None:
    """The file name most similar to `name` without its suffix: syn.py does not resemble nope.py."""
    suffix = PurePath(name).suffix
    by_stem = {
        PurePath(candidate).stem: candidate
        for candidate in sorted(candidates, key=lambda candidate: PurePath(candidate).suffix == suffix)
    }
    near = nearest(PurePath(name).stem, by_stem)
    return by_stem[near] if near is not None else None


def suggestion(name: object, candidates: Iterable[str]) -> str:
    """A hint: "did you mean 'x'?" if a candidate is similar to `name`, otherwise all candidates."""
    candidates = list(candidates)
    near = nearest(name, candidates)
    if near is not None:
        return f"did you mean {near!r}?"
    return "possible: " + ", ".join(candidates)
