"""The results of a sweep, as sentences on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console
from rich.text import Text

from sweep.analysis.explanation import Explanation, Statement, Topic
from sweep.analysis.formatting import plural, printable
from sweep.console.tables import make_console

_FIRST: tuple[Topic, ...] = ("best", "next", "health", "cost", "parameters")
"""One sentence of each topic is printed if there is space, in this order, then a second one, and so on."""
_INDENT, _DEEPER = "  ", "    "
_RESERVED = 3
"""Lines of a terminal for the title, the line that says how to see more, and the next prompt."""


def print_explanation(explanation: Explanation, counts: str, more: str, *, has_all: bool) -> None:
    """Print the sentences by topic, with their evidence.

    On a terminal they fit on the screen: if there are too many, the most useful are printed.

    Args:
        explanation: the results of the sweep.
        counts: its trials by state.
        more: the command that prints all sentences.
        has_all: print all of them.
    """
    console, statements = make_console(), explanation.statements
    blocks = [_block(console, statement) for statement in statements]
    shown = dict(enumerate(blocks))
    if sys.stdout.isatty() and not has_all:
        shorter = [_block(console, replace(statement, evidence="")) for statement in statements]
        shown = _fitting(console, statements, list(zip(blocks, shorter, strict=True)))
    _print(console, Text(f"{printable(explanation.name)}: {explanation.state}, {counts}"))
    last = None
    for index in sorted(shown):
        if statements[index].topic != last:
            last = statements[index].topic
            _print(console, Text(last.capitalize(), style="bold"))
        for line in shown[index]:
            _print(console, line)
    hidden = len(blocks) - len(shown)
    if hidden:
        _print(console, Text(f"{plural(hidden, 'more sentence')}: {more}", style="dim"))


def _print(console: Console, line: Text) -> None:
    console.print(line, soft_wrap=True)  # a command must not be torn


def _block(console: Console, statement: Statement) -> list[Text]:
    """The lines of a statement. A command has a line of its own, which is not wrapped."""
    command = statement.data.get("command") if statement.key == "next" else None
    sentence = statement.text if command is None else f"{statement.data['why']}:"
    lines = _wrapped(console, printable(sentence), _INDENT, "")
    if command is not None:
        lines.append(Text(_DEEPER + printable(command)))
    if statement.evidence:
        lines += _wrapped(console, printable(statement.evidence), _DEEPER, "dim")
    return lines


def _wrapped(console: Console, sentence: str, indent: str, style: str) -> list[Text]:
    lines = Text(sentence).wrap(console, max(20, console.width - len(indent)))
    return [Text.assemble(indent, (line.plain.rstrip(), style)) for line in lines]


def _fitting(
    console: Console, statements: Sequence[Statement], blocks: Sequence[Sequence[list[Text]]]
) -> dict[int, list[Text]]:
    """The most useful statements that fit on the screen: their lines by index.

    Args:
        console: the terminal.
        statements: all statements.
        blocks: the lines of each statement with and without its evidence; the first that fit are shown.
    """
    by_topic = {
        topic: [index for index, statement in enumerate(statements) if statement.topic == topic]
        for topic in _FIRST
    }
    height = console.height - _RESERVED
    chosen: dict[int, list[Text]] = {}
    for place in range(len(statements)):
        for indices in (group for group in by_topic.values() if place < len(group)):
            title = chosen.keys().isdisjoint(indices)
            for block in blocks[indices[place]]:
                lines = title + sum(-(-max(1, line.cell_len) // console.width) for line in block)
                if lines <= height:
                    height -= lines
                    chosen[indices[place]] = block
                    break
    return chosen
