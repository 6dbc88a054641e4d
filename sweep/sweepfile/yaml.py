"""Reads YAML with the line number of each key, and writes it. `1e-4` is a number, as in YAML 1.2."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import yaml

Path = tuple[str | int, ...]

_MAX_ENTRIES = 100_000
"""Aliases of aliases can expand a few lines to more than memory can hold."""


_SURROGATE = re.compile("[\ud800-\udfff]")
"""Surrogates, halves of characters, cannot be encoded: no file, terminal or database accepts them."""


class DuplicateKey(yaml.MarkedYAMLError):
    """A mapping contains the same key twice. PyYAML would silently keep the last one."""


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

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise DuplicateKey(problem=f"key {key!r} is a duplicate", problem_mark=key_node.start_mark)
            if isinstance(key, Hashable):
                seen.add(key)
        return super().construct_mapping(node, deep)


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
    """The data of a YAML document, and the line (from 1) of each key or item."""

    data: Any
    lines: dict[Path, int] = field(default_factory=dict)

    def line(self, path: Path) -> int | None:
        """The line of an entry, or of the nearest entry above it that exists."""
        while path:
            if path in self.lines:
                return self.lines[path]
            path = path[:-1]
        return self.lines.get(())


def read_document(text: str, loader_class: type[yaml.SafeLoader] = SweepLoader) -> Document:
    """Parse one YAML document.

    Args:
        text: the document.
        loader_class: PyYAML's loader for its values.

    Raises:
        yaml.YAMLError: the text is not YAML, has a duplicate key, or more than one document.
    """
    loader = loader_class(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return Document(data=None)
        lines: dict[Path, int] = {}
        _add_lines(node, (), node.start_mark.line + 1, lines, set())
        return Document(data=loader.construct_document(node), lines=lines)
    except RecursionError:
        mark = loader.get_mark()
        raise yaml.MarkedYAMLError(problem="is nested too deeply", problem_mark=mark) from None
    finally:
        loader.dispose()


def read_value(text: str) -> Any:
    """A YAML value as in a sweep file: `1e-4`, `[1, 2]`, `adam`."""
    return read_document(text).data


def _add_lines(node: yaml.Node, path: Path, line: int, lines: dict[Path, int], above: set[int]) -> None:
    if id(node) in above:
        raise yaml.MarkedYAMLError(problem="an alias contains itself", problem_mark=node.start_mark)
    lines[path] = line
    if len(lines) > _MAX_ENTRIES:
        raise yaml.MarkedYAMLError(problem=f"more than {_MAX_ENTRIES} entries", problem_mark=node.start_mark)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                _add_lines(value, path, line, lines, above | {id(node)})
            else:
                name = _key_value(key)
                _add_lines(value, (*path, name), key.start_mark.line + 1, lines, above | {id(node)})
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _add_lines(item, (*path, index), item.start_mark.line + 1, lines, above | {id(node)})


def _key_value(node: yaml.Node) -> str | int:
    """The value of a key: a string, or an integer as in the paths of pydantic's errors."""
    if node.tag == "tag:yaml.org,2002:int" and str(node.value).isdigit():
        return int(node.value)
    return str(node.value)
