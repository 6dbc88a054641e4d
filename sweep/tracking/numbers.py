"""Reading the number of a scalar in an event file, whichever library wrote it."""

from __future__ import annotations

import struct
from typing import Any

_SCALARS = "scalars"
"""The TensorBoard plugin whose tensors are scalars."""
_TYPES = {1: ("f", "float_val"), 2: ("d", "double_val"), 3: ("i", "int_val"), 9: ("q", "int64_val")}
"""By TensorFlow's data types: float, double, int32, int64."""


class ScalarReader:
    """Reads the scalars of a file. TensorFlow, and torch on request, write them as tensors."""

    def __init__(self) -> None:
        self._tags: set[str] = set()

    def read(self, value: Any) -> float | None:
        """The number in a value of a summary, or None if it is not a scalar."""
        if value.HasField("simple_value"):
            return float(value.simple_value)
        if not value.HasField("tensor"):
            return None
        if value.metadata.plugin_data.plugin_name == _SCALARS:
            self._tags.add(value.tag)  # only the first record of a tag has to have the metadata
        return _of_tensor(value.tensor) if value.tag in self._tags else None


def _of_tensor(tensor: Any) -> float | None:
    """The number in a tensor with one element, or None."""
    if tensor.dtype not in _TYPES:
        return None
    code, field = _TYPES[tensor.dtype]
    if values := getattr(tensor, field):
        return float(values[0]) if len(values) == 1 else None
    if len(tensor.tensor_content) == struct.calcsize(code):
        return float(struct.unpack(f"<{code}", tensor.tensor_content)[0])
    return 0.0 if not tensor.tensor_content else None
