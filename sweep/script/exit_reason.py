"""How a script ended, in words for people."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence

from sweep.script.errors import ScriptCrash, ScriptError

_TRACEBACK = "Traceback (most recent call last):"
_OF_CRASHES = (
    signal.SIGABRT,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGKILL,
    signal.SIGSEGV,
)
_RANK = re.compile(r"^\[rank\d+\]: ?")
"""What torch puts before each line of a traceback in a process group."""
_OF_LAUNCHERS = ("ChildFailedError", "CalledProcessError")
_END_OF_PROCESS = re.compile(
    r"^ *exitcode *: (?:-(\d+)|\d+) \(pid|died with <Signals\.\w+: (\d+)>", re.MULTILINE
)
"""How torchrun, or subprocess, says which signal, if any, has ended a process; the first one comes last."""
_HINTS = {
    "No API key configured": "wandb is kept offline here, without an account: wandb.Api needs one",
    **dict.fromkeys(
        ("Cannot use artifact when in offline mode", "not supported in offline mode"),
        "wandb is kept offline here: fetch what it has to give before the sweep",
    ),
}
"""What to write instead, by what stands in the last lines."""


def check_ended_well(status: int, tail: Sequence[str]) -> None:
    """See that a script came to its end by itself, and was content with it.

    Args:
        status: as `Popen.returncode` has it: that of its exit, or the signal that ended it, negative.
        tail: the last lines that it printed.

    Raises:
        ScriptCrash: a signal ended it, or, as a shell says by a status above 128, what it had started.
        ScriptError: its exit status is not 0.
    """
    if status == 0:
        return
    output_tail = "\n".join(tail)
    if status < 0:
        raise ScriptCrash(f"killed by {_name(-status)}", _reason(tail), output_tail)
    if status - 128 in _OF_CRASHES:
        raise ScriptCrash(f"exit status {status} ({_name(status - 128)})", _reason(tail), output_tail)
    of_process = _END_OF_PROCESS.findall(output_tail)
    if of_process and (number := int("".join(of_process[-1]) or 0)) in _OF_CRASHES:
        raise ScriptCrash(
            f"exit status {status} (a process of it was killed by {_name(number)})", "", output_tail
        )
    hint = next((hint for text, hint in _HINTS.items() if text in output_tail), None)
    raise ScriptError(f"exit status {status}", hint or _reason(tail), output_tail)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _reason(tail: Sequence[str]) -> str:
    """The line that says what was wrong: the last exception's own first one, or the last of all.

    What torchrun and accelerate raise says no more than that one of their processes has failed.
    """
    lines = [_RANK.sub("", line) for line in tail]
    traces = [index for index, line in enumerate(lines) if line.strip() == _TRACEBACK]
    ends = [next((line for line in lines[at + 1 :] if line and not line[0].isspace()), None) for at in traces]
    found = [line for line in ends if line is not None]
    own = [line for line in found if not any(name in line for name in _OF_LAUNCHERS)]
    if own or found:
        return (own or found)[-1]
    return lines[-1].strip() if lines else ""
