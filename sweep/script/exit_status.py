"""The exit status of a script, and the line of its output that explains it."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from contextlib import suppress

from sweep.script.errors import ScriptCrash, ScriptError
from sweep.script.hints import hint_for

_TRACEBACK = "Traceback (most recent call last):"
_GROUP_TRACEBACK = f"Exception Group {_TRACEBACK}"
_GROUP_MARGIN = re.compile(r"^ +(?:\+-.*|[+|] ?)")
"""What Python prints before each line of the traceback of an exception group, and between its exceptions."""
_CRASH_SIGNALS = (signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGKILL, signal.SIGSEGV)
_RANK = re.compile(r"^\[rank\d+\]: ?")
"""The prefix that torch gives to each line of a traceback in a process group."""
_LAUNCHER_ERRORS = ("ChildFailedError", "CalledProcessError")
_CHILD_EXIT = re.compile(r"^ *exitcode *: (?:-(\d+)|\d+) \(pid|died with <Signals\.\w+: (\d+)>", re.MULTILINE)
"""How torchrun and subprocess report the signal, if any, that killed a process. The root cause comes last."""
_CRASH_MESSAGE = re.compile(
    r"^\s*(?:Fatal Python error|terminate called|what\(\):|Assertion .*failed|F\d{4} "
    r"|free\(\)|malloc|munmap_chunk|double free|corrupted |\*\*\* .* detected)"
    r"|Assertion `.*' failed|Check failed:|\b(?:Killed|Aborted|Segmentation fault|Bus error)\b"
)
"""What Python, C++, glibc and shells print about a process that a signal killed."""
_ERROR = re.compile(r"(?:fatal |\S+\.py: )?error: ", re.IGNORECASE)
"""How programs begin their last words: an exception whose traceback they have printed before was handled."""
_WARNING = "Warning: "
_AFTER_THE_REASON = ("Pass --helpshort or", "Set the environment variable HYDRA_FULL_ERROR")
"""Lines that absl and Hydra print after an error's message."""


def check_exit_status(status: int, tail: Sequence[str]) -> None:
    """Check that a script has exited with status 0.

    Args:
        status: as `Popen.returncode`: the exit status, or the negative number of the signal that killed it.
        tail: the last lines of its output.

    Raises:
        ScriptCrash: a signal killed it or one of its child processes.
        ScriptError: its exit status is not 0.
    """
    if status == 0:
        return
    output_tail = "\n".join(tail)
    if status < 0:
        raise ScriptCrash(f"killed by {_signal_name(-status)}", _crash_message(tail), output_tail)
    if status - 128 in _CRASH_SIGNALS:  # a shell's status for a command that a signal killed
        what = f"exit status {status} ({_signal_name(status - 128)})"
        raise ScriptCrash(what, _crash_message(tail), output_tail)
    children = _CHILD_EXIT.findall(output_tail)
    if children and (number := int("".join(children[-1]) or 0)) in _CRASH_SIGNALS:
        raise ScriptCrash(
            f"exit status {status} (one of its processes was killed by {_signal_name(number)})",
            "",
            output_tail,
        )
    reason = "; ".join(filter(None, [_reason(tail), hint_for(output_tail)]))
    raise ScriptError(f"exit status {status}", reason, output_tail)


def _signal_name(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"


def _crash_message(tail: Sequence[str]) -> str:
    """What a process printed because it crashed. Whatever else it printed is unrelated to the signal."""
    found = [line.strip() for line in tail if _CRASH_MESSAGE.search(line)]
    return found[-1] if found else ""


def _reason(tail: Sequence[str]) -> str:
    """The first line of the last exception's message, or the last line of the output."""
    lines = [_RANK.sub("", line) for line in tail]
    message = _last_exception(lines)
    if message:
        return message
    lines = [line for line in lines if not line.startswith(_AFTER_THE_REASON)]
    if lines and lines[-1].startswith("╰"):  # the error is the first line in a box of rich (typer, tyro)
        top = max((index for index, line in enumerate(lines) if line.startswith("╭")), default=-1)
        return lines[top + 1].strip("│ ")
    others = [
        line.strip()
        for before, line in zip(["", *lines], lines, strict=False)
        if not _is_unrelated(line) and not (line[:1].isspace() and _WARNING in before)
    ]
    return others[-1] if others else ""


def _last_exception(lines: list[str]) -> str:
    """The first line of the last exception's message that says something; empty if there is no traceback.

    Exceptions of torchrun and accelerate are skipped: they say only that one of their processes has failed.
    """
    if f"  + {_GROUP_TRACEBACK}" in lines:
        lines = [_GROUP_MARGIN.sub("", line) for line in lines]
    traces = [index for index, line in enumerate(lines) if line.strip() in (_TRACEBACK, _GROUP_TRACEBACK)]
    ends = [
        next((at for at in range(trace + 1, len(lines)) if lines[at][:1].strip()), None) for trace in traces
    ]
    messages = [at for at in ends if at is not None]
    causes = [at for at in messages if not any(name in lines[at] for name in _LAUNCHER_ERRORS)]
    if not messages:
        return ""
    end = (causes or messages)[-1]
    later = [line for line in lines[end + 1 :] if line.strip()]
    errors = [line for line in later if _ERROR.match(line)]
    if errors:
        return errors[-1]
    if lines[end].rstrip().endswith(":") and later:
        return f"{lines[end].rstrip()} {later[0].strip()}"
    return lines[end]


def _is_unrelated(line: str) -> bool:
    """Whether a line of output is a metric or a warning: these do not say why a script exits."""
    return _WARNING in line or (line.startswith("{") and line.endswith("}"))
