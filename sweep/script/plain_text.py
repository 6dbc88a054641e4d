"""Printed text as a terminal shows it: without escape codes, with the effect of backspaces."""

from __future__ import annotations

import re

_ESCAPE = re.compile(
    r"""(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]  # CSI: colours, movements of the cursor
      | (?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?  # OSC: hyperlinks, titles
      | (?:\x1b[PX^_]|[\x90\x98\x9e\x9f])[^\x1b\x9c]*(?:\x1b\\|\x9c)?  # DCS, SOS, PM, APC
      | \x1b[ -/]*[0-~]  # a character set, a keypad mode
      | [\x00-\x07\x0e-\x1a\x7f]
    """,
    re.VERBOSE,
)


def plain(text: str) -> str:
    """A line of output as a terminal shows it.

    Args:
        text: the line, without carriage returns.
    """
    text = _ESCAPE.sub("", text)
    if "\b" not in text:
        return text
    shown: list[str] = []
    cursor = 0
    for character in text:
        if character == "\b":
            cursor = max(0, cursor - 1)
        else:
            shown[cursor : cursor + 1] = [character]
            cursor += 1
    return "".join(shown)
