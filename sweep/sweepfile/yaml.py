"""Reads YAML with the line number of each key, and writes it. `1e-4` is a number, as in YAML 1.2."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml

Path = tuple[str | int, ...]

_MAX_ENTRIES = 100_000
"""Aliases of aliases can expand a few lines to more than memory can hold."""


YAML_BOOLEANS = {True: ("yes", "on"), False: ("no", "off")}
"""Texts that YAML 1.1 reads as true and false, besides these."""

_SURROGATE = re.compile("[\ud800-\udfff]")
"""Surrogates, halves of characters, cannot be encoded: no file, terminal or database accepts them."""


class DuplicateKey(NamedTuple):
    """A key that a mapping contains more than once. PyYAML keeps the last one.

    Args:
        path: the path of the entry.
        line: the line of the repeated key.
        first: the line of the key before it.
    """

    path: Path
    line: int
    first: int


class SweepLoader(yaml.SafeLoader):
    """PyYAML's SafeLoader (YAML 1.1) without its surprises: `1e-4` is a number; `16:9`, `010` and dates are
    strings."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if isinstance(node, yaml.ScalarNode) and (half := _SURROGATE.search(node.value)):
            raise yaml.MarkedYAMLError(
                problem=f"{half[0]!r} is half a character", problem_mark=node.start_mark
            )
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, LookupError, AttributeError) as error:  # for example from `!!int many`
            reason = "too many digits" if "int_max_str_digits" in str(error) else error
            raise yaml.MarkedYAMLError(
                problem=f"a value does not fit its tag: {reason}", problem_mark=node.start_mark
            ) from None


class Yaml11Loader(SweepLoader):
    """Reads numbers as PyYAML's default loader does, which W&B uses: 010 is 8, 1e-4 is a string."""


class _SweepDumper(yaml.SafeDumper):
    """Quotes every string that `SweepLoader` would not read as a string."""


# Models can hold numpy's floats and members of enums.
_SweepDumper.add_multi_representer(int, lambda dumper, value: dumper.represent_int(int(value)))
_SweepDumper.add_multi_representer(float, lambda dumper, value: dumper.represent_float(float(value)))
_SweepDumper.add_multi_representer(str, lambda dumper, value: dumper.represent_str(str.__str__(value)))


_FLOAT = re.compile(
    r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*|[0-9][0-9_]*(?=[eE]))(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)"
    r"|\.(?:nan|NaN|NAN)"
)
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|0b[01_]+)")
_REPLACED = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:float", "tag:yaml.org,2002:int")
for _class in (SweepLoader, _SweepDumper):
    _class.yaml_implicit_resolvers = {
        first: [(tag, regexp) for tag, regexp in resolvers if tag not in _REPLACED]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    _class.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(f"(?:{_FLOAT.pattern})$"), list("-+.0123456789")
    )
    _class.add_implicit_resolver(
        "tag:yaml.org,2002:int", re.compile(f"(?:{_INT.pattern})$"), list("-+0123456789")
    )

Yaml11Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def write_yaml(data: Any, flow: bool = False) -> str:
    """Plain data as YAML, with `flow` on one line. `read_document` returns equal data."""
    # Not allow_unicode: PyYAML would write some line separators (U+0085) verbatim, and read them as blanks.
    return yaml.dump(
        data,
        Dumper=_SweepDumper,
        sort_keys=False,
        default_flow_style=flow,
        width=math.inf if flow else None,
    )


@dataclass(frozen=True)
class Document:
    """The data of a YAML document, and what only its text shows.

    Args:
        data: the data.
        lines: the line (from 1) of each key or item.
        duplicates: the repeated keys; the data have the last one of each.
        retyped: the text of plain values that YAML reads differently from how they look: `on` is true, and
            `None` is a string.
    """

    data: Any
    lines: dict[Path, int] = field(default_factory=dict)
    duplicates: tuple[DuplicateKey, ...] = ()
    retyped: dict[Path, str] = field(default_factory=dict)

    def line(self, path: Path) -> int | None:
        """The line of an entry, or of the nearest entry above it that exists."""
        while path:
            if path in self.lines:
                return self.lines[path]
            path = path[:-1]
        return self.lines.get(())


def read_document(text: str, loader_class: type[yaml.SafeLoader] = SweepLoader) -> Document:
    """Parse one YAML document. Keys that are repeated are not an error: see `Document.duplicates`.

    Args:
        text: the document.
        loader_class: PyYAML's loader for its values.

    Raises:
        yaml.YAMLError: the text is not YAML, or has more than one document.
    """
    loader = loader_class(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return Document(data=None)
        # Before the data are constructed: PyYAML then puts merged keys (`<<`) into the nodes, where they look
        # like repeated ones.
        outline = _Outline(loader)
        outline.add(node, (), node.start_mark.line + 1, frozenset())
        return Document(
            loader.construct_document(node),
            outline.lines,
            tuple(outline.duplicates.values()),
            outline.retyped,
        )
    except RecursionError:
        mark = loader.get_mark()
        raise yaml.MarkedYAMLError(problem="is nested too deeply", problem_mark=mark) from None
    finally:
        loader.dispose()


def read_value(text: str) -> Any:
    """A YAML value as in a sweep file: `1e-4`, `[1, 2]`, `adam`.

    Raises:
        yaml.YAMLError: the text is not YAML, or has a repeated key.
    """
    document = read_document(text)
    for duplicate in document.duplicates:
        raise yaml.MarkedYAMLError(problem=duplicate_text(duplicate))
    return document.data


def duplicate_text(duplicate: DuplicateKey) -> str:
    """A message about a repeated key."""
    first = f" of the one in line {duplicate.first}" if duplicate.first != duplicate.line else ""
    return f"key {duplicate.path[-1]!r} is a duplicate{first}; leave one out"


_Entries = dict[Any, tuple[yaml.Node, yaml.Node]]
_MERGE = "tag:yaml.org,2002:merge"


class _Outline:
    """Collects the lines of a document's entries from its nodes, and what else only they show."""

    def __init__(self, loader: yaml.SafeLoader) -> None:
        self.lines: dict[Path, int] = {}
        self.duplicates: dict[int, DuplicateKey] = {}
        self.retyped: dict[Path, str] = {}
        self._loader = loader
        self._count = 0

    def add(self, node: yaml.Node, path: Path, line: int, above: frozenset[int]) -> None:
        """Add a node and all nodes below it.

        Args:
            node: the node.
            path: its path.
            line: the line of its key or item.
            above: the ids of the nodes that contain it.

        Raises:
            yaml.MarkedYAMLError: the document contains itself, or expands to too many entries.
        """
        self.lines[path] = line
        if isinstance(node, yaml.MappingNode):
            for key, value in self._entries(node, path, above).values():
                self.add(value, (*path, _key_value(key)), key.start_mark.line + 1, above | {id(node)})
        elif isinstance(node, yaml.SequenceNode):
            self._enter(node, len(node.value), above)
            for index, item in enumerate(node.value):
                self.add(item, (*path, index), item.start_mark.line + 1, above | {id(node)})
        elif _is_retyped(node):
            self.retyped[path] = node.value

    def _entries(self, node: yaml.MappingNode, path: Path, above: frozenset[int]) -> _Entries:
        """The entries of a mapping by key. Its own keys override merged ones, and of those the last count."""
        self._enter(node, len(node.value), above)
        merged: _Entries = {}
        own: _Entries = {}
        for key, value in node.value:
            if key.tag == _MERGE:
                mappings = reversed(value.value) if isinstance(value, yaml.SequenceNode) else [value]
                for mapping in mappings:
                    if isinstance(mapping, yaml.MappingNode):
                        merged |= self._entries(mapping, path, above | {id(node)})
                continue
            identity = self._loader.construct_object(key, deep=True)
            if not isinstance(identity, Hashable):
                continue  # an error when the data are constructed
            if identity in own:
                first = own[identity][0].start_mark.line + 1
                place = DuplicateKey((*path, _key_value(key)), key.start_mark.line + 1, first)
                self.duplicates.setdefault(id(key), place)
            own[identity] = key, value
        return merged | own

    def _enter(self, node: yaml.Node, size: int, above: frozenset[int]) -> None:
        if id(node) in above:
            raise yaml.MarkedYAMLError(problem="an alias contains itself", problem_mark=node.start_mark)
        self._count += size
        if self._count > _MAX_ENTRIES:
            raise yaml.MarkedYAMLError(
                problem=f"more than {_MAX_ENTRIES} entries", problem_mark=node.start_mark
            )


def _is_retyped(node: yaml.Node) -> bool:
    if not isinstance(node, yaml.ScalarNode) or node.style is not None:
        return False
    is_word = node.tag == "tag:yaml.org,2002:bool" and node.value.lower() not in ("true", "false")
    return is_word or (node.tag == "tag:yaml.org,2002:str" and node.value == "None")


def _key_value(node: yaml.Node) -> str | int:
    """The value of a key: a string, or an integer or boolean as in the paths of pydantic's errors."""
    if node.tag == "tag:yaml.org,2002:bool":
        return bool(yaml.SafeLoader.bool_values[node.value.lower()])
    if node.tag == "tag:yaml.org,2002:int" and str(node.value).isdigit():
        return int(node.value)
    return str(node.value)
