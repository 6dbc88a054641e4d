"""The errors of a script."""

from __future__ import annotations


class ScriptError(RuntimeError):
    """A script failed. The text is the reason that the sweep shows.

    Args:
        what: what happened.
        last: the line of its output that explains it.
        output_tail: the last lines of its output.
    """

    def __init__(self, what: str, last: str = "", output_tail: str = "") -> None:
        super().__init__(f"{what}: {last}" if last else what)
        self.output_tail = output_tail


class NeverReported(ScriptError):
    """A script exited with status 0, but never reported the sweep's metric."""


class ScriptCrash(ScriptError):
    """A script was killed by a signal."""
