"""Count the lines of the package: code, longest files, longest functions.

Code is what is left without blank lines, comments and docstrings. Exits with status 1 if a file of the
package has more than 400 lines or a function more than 60, which `scripts/test` checks.

    python scripts/line_counts.py
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections import Counter
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "sweep"
FILE_LIMIT, FUNCTION_LIMIT = 400, 60
DEFINITIONS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
NO_CODE = (
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
)


def docstring_lines(tree: ast.Module) -> set[int]:
    """The lines of all strings that stand as statements: docstrings, also those of attributes."""
    strings = (
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
    return {line for node in strings for line in range(node.lineno, (node.end_lineno or 0) + 1)}


def code_lines(source: str) -> int:
    """How many lines of a module hold code."""
    lines = {
        line
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type not in NO_CODE
        for line in range(token.start[0], token.end[0] + 1)
    }
    return len(lines - docstring_lines(ast.parse(source)))


def functions(source: str) -> list[tuple[int, int, str]]:
    """Length, first line and name of each function of a module."""
    return [
        ((node.end_lineno or 0) - node.lineno + 1, node.lineno, node.name)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def main() -> int:
    """Print the table; the exit status."""
    code, total = Counter[str](), Counter[str]()
    too_long = []
    files = sorted(PACKAGE.rglob("*.py"))
    for file in files:
        source = file.read_text(encoding="utf-8")
        place = file.relative_to(PACKAGE.parent)
        part = place.parts[1] if len(place.parts) > 2 else "(top level)"
        lines = len(source.splitlines())
        total[part] += lines
        code[part] += code_lines(source)
        if lines > FILE_LIMIT:
            too_long.append(f"{place}: {lines} lines")
        for length, line, name in functions(source):
            if length > FUNCTION_LIMIT:
                too_long.append(f"{place}:{line}: {name} has {length} lines")
    print(f"{'package':<14}{'lines':>8}{'code':>8}")
    for part in sorted(code):
        print(f"{part:<14}{total[part]:>8}{code[part]:>8}")
    print(f"{f'{len(files)} files':<14}{total.total():>8}{code.total():>8}")
    for each in too_long:
        print(f"too long: {each}")
    return bool(too_long)


if __name__ == "__main__":
    sys.exit(main())
