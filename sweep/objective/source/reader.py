"""What is read alike in functions and scripts: parameters that are taken from a mapping."""

from __future__ import annotations

import ast
from typing import Any

from sweep.objective.source import guesses
from sweep.objective.source.found import Source
from sweep.objective.source.syntax import UNKNOWN, in_order, text_of, value_of

_OF_MAPPINGS = ("get", "keys", "values", "items", "as_dict", "update")


class Reader:
    """What both kinds have in common: parameters read from a mapping, `params` or `wandb.config`."""

    def __init__(self, tree: ast.Module, constants: dict[str, Any], source: Source) -> None:
        self.tree = tree
        self.constants = constants
        self.source = source

    def value(self, node: ast.expr | None) -> Any:
        return value_of(node, self.constants)

    def read_mapping(self, scope: ast.AST, is_mapping: Any) -> None:
        """Note the parameters that are taken from a mapping, and what they are compared with."""

        def name_of(node: ast.AST) -> str | None:
            match node:
                case ast.Attribute(value=value, attr=name) if (
                    is_mapping(value) and name not in _OF_MAPPINGS and not name.startswith("_")
                ):
                    return name
                case ast.Subscript(value=value, slice=key) if is_mapping(value):
                    return text_of(key)
                case ast.Call(func=ast.Attribute(value=value, attr="get"), args=[key, *_]) if is_mapping(
                    value
                ):
                    return text_of(key)
            return None

        compared: dict[str, list[str]] = {}
        for node in ast.walk(scope):
            match node:
                case ast.Compare(left=left, ops=[ast.Eq() | ast.NotEq()], comparators=[right]) if (
                    name := name_of(left)
                ):
                    compared.setdefault(name, []).append(text_of(right) or "")
                case ast.Compare(left=left, ops=[ast.In() | ast.NotIn()], comparators=[right]) if (
                    name := name_of(left)
                ):
                    options = self.value(right)
                    compared.setdefault(name, []).extend(options if isinstance(options, list) else [])
                case ast.Match(subject=subject, cases=cases) if name := name_of(subject):
                    for case in cases:
                        for one in ast.walk(case.pattern):
                            if isinstance(one, ast.MatchValue):
                                compared.setdefault(name, []).append(text_of(one.value) or "")
        for node in in_order(scope):
            if (name := name_of(node)) is None:
                continue
            options = [
                word for word in dict.fromkeys(compared.get(name, [])) if isinstance(word, str) and word
            ]
            if options:
                self.source.add(name, {"values": options}, guessed=True)
            elif (
                isinstance(node, ast.Call)
                and len(node.args) > 1
                and self.value(node.args[1]) not in (None, UNKNOWN)
            ):
                self.source.add(name, guesses.around(name, self.value(node.args[1])), guessed=True)
            else:
                self.source.add(name, guesses.by_name(name), guessed=True)
