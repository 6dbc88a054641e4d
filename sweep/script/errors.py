"""The ways in which a script fails."""

from __future__ import annotations


class ScriptError(RuntimeError):
    """A script failed; the text is for people.

    Args:
        what: how.
        last: the last line it printed.
        output_tail: what it printed at last.
    """

    def __init__(self, what: str, last: str = "", output_tail: str = "") -> None:
        super().__init__(f"{what}: {last}" if last else what)
        self.output_tail = output_tail


class NeverReported(ScriptError):
    """A script ended well, but the sweep's metric never came."""


class ScriptCrash(ScriptError):
    """A signal ended a script."""
