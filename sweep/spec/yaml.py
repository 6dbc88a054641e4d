"""YAML that remembers where each key stands, and reads `1e-4` as the number it is."""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import yaml

Path = tuple[str | int, ...]


class DuplicateKey(yaml.MarkedYAMLError):
    """The same key twice in one mapping: YAML would silently keep the last."""


class SweepLoader(yaml.SafeLoader):
    """PyYAML's SafeLoader (YAML 1.1) with YAML 1.2's numbers: `1e-4` is a float; dates stay words."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise DuplicateKey(problem=f"key {key!r} is there twice", problem_mark=key_node.start_mark)
            if isinstance(key, Hashable):
                seen.add(key)
        return super().construct_mapping(node, deep)


SweepLoader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
SweepLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)[eE][-+]?[0-9]+"),
    list("-+.0123456789"),
)


@dataclass(frozen=True)
class Document:
    """The data of one YAML document and the line (from 1) on which each key or item begins."""

    data: Any
    lines: dict[Path, int] = field(default_factory=dict)

    def line(self, path: Path) -> int | None:
        """The line of `path`, or of the nearest entry above it that the document has."""
        while path:
            if path in self.lines:
                return self.lines[path]
            path = path[:-1]
        return self.lines.get(())


def read_document(text: str) -> Document:
    """Parse one YAML document.

    Raises:
        yaml.YAMLError: the text is no YAML, has a duplicate key, or more than one document.
    """
    loader = SweepLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return Document(data=None)
        lines: dict[Path, int] = {}
        _note_lines(node, (), node.start_mark.line + 1, lines, set())
        return Document(data=loader.construct_document(node), lines=lines)
    finally:
        loader.dispose()


def read_value(text: str) -> Any:
    """One YAML value as it would be read in a sweep file: `1e-4`, `[1, 2]`, `adam`."""
    return read_document(text).data


def _note_lines(node: yaml.Node, path: Path, line: int, lines: dict[Path, int], above: set[int]) -> None:
    if id(node) in above:
        raise yaml.MarkedYAMLError(problem="an alias contains itself", problem_mark=node.start_mark)
    lines[path] = line
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                _note_lines(value, path, line, lines, above | {id(node)})
            else:
                name = _key_value(key)
                _note_lines(value, (*path, name), key.start_mark.line + 1, lines, above | {id(node)})
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _note_lines(item, (*path, index), item.start_mark.line + 1, lines, above | {id(node)})


def _key_value(node: yaml.Node) -> str | int:
    """Keys are compared as text, except whole numbers: that is how pydantic names them too."""
    if node.tag == "tag:yaml.org,2002:int" and str(node.value).isdigit():
        return int(node.value)
    return str(node.value)
