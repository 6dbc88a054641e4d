"""The errors a person sees. Each message says what is wrong, where, and what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import PurePath


class SweepError(Exception):
    """The sweep could not do its work; the command line ends with status 1."""

    exit_status = 1


class InputError(SweepError):
    """What the user gave (a file, an option, a name) is wrong; the command line ends with status 2."""

    exit_status = 2


class StartInterrupted(SweepError):
    """A signal came before the sweep had begun anything.

    Args:
        signal: its number.
    """

    def __init__(self, signal: int) -> None:
        super().__init__("interrupted; the same command goes on")
        self.exit_status = 128 + signal


class SpecError(InputError):
    """One or more mistakes in a sweep file, each on its own line of the message."""


class EntryError(InputError):
    """An entry of the sweep file asks for something that is not there, or cannot be.

    Args:
        key: the entry, with dots.
        message: what is wrong and what to write instead.
    """

    def __init__(self, key: str, message: str) -> None:
        super().__init__(f"{key}: {message}")
        self.key = key


def nearest(word: object, candidates: Iterable[str]) -> str | None:
    """The candidate most like `word`, or None when none is like it."""
    text = str(word).lower()
    options = {candidate.lower(): candidate for candidate in candidates}
    found = difflib.get_close_matches(text, options, n=1, cutoff=0.55)
    if not found and len(text) >= 3:
        found = [
            option
            for option in options
            if option.startswith(text) or (len(option) >= 3 and text.startswith(option))
        ][:1]
    return options[found[0]] if found else None


def nearest_file(name: str, candidates: Iterable[str]) -> str | None:
    """The file name most like `name`; endings say nothing: syn.py is not like nope.py."""
    ending = PurePath(name).suffix
    by_stem = {
        PurePath(candidate).stem: candidate
        for candidate in sorted(candidates, key=lambda candidate: PurePath(candidate).suffix == ending)
    }
    near = nearest(PurePath(name).stem, by_stem)
    return by_stem[near] if near is not None else None


def suggestion(word: object, candidates: Iterable[str]) -> str:
    """Say "did you mean 'x'?" where something is near, otherwise the list of what is possible."""
    candidates = list(candidates)
    near = nearest(word, candidates)
    if near is not None:
        return f"did you mean {near!r}?"
    return "possible: " + ", ".join(candidates)
